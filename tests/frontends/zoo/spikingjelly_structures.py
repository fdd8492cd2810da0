"""SpikingJelly nets around the neurons: containers, residuals, attention; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spikingjelly.activation_based import functional, layer, surrogate
from spikingjelly.activation_based import neuron as sj
from torch import nn

from zoo.base import ZooNet, settle
from zoo.spikingjelly_parts import NETS, add, leak_first, whole

# -- layers around them ----------------------------------------------------------------------------

LIF2 = leak_first(2.0, 0.0)


def lif() -> nn.Module:
    return sj.LIFNode(tau=2.0, decay_input=False, surrogate_function=surrogate.ATan())


def hidden_if() -> nn.Module:
    return sj.IFNode(surrogate_function=surrogate.ATan())


add(
    "csnn",
    lambda: nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        hidden_if(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(4, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        hidden_if(),
        layer.MaxPool2d(2, 2),
        layer.Flatten(),
        layer.Linear(24, 8, bias=False),
        hidden_if(),
        layer.Linear(8, 5, bias=False),
        hidden_if(),
    ),
    (whole(0.0),) * 4,
    features=(1, 8, 8),
    gain=0.9,
)
add(
    "avg_pool_norm_dropout",
    lambda: nn.Sequential(
        layer.Conv2d(2, 4, 3),
        layer.BatchNorm2d(4),
        lif(),
        layer.AvgPool2d(2),
        layer.Dropout2d(0.2),
        layer.Conv2d(4, 6, 2, groups=2),
        layer.GroupNorm(2, 6),
        lif(),
        layer.AdaptiveAvgPool2d(1),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(6, 5),
        layer.BatchNorm1d(5),
        lif(),
    ),
    (LIF2,) * 3,
    features=(2, 8, 8),
    kind="TB",
    gain=0.8,
    steps=3,
)
add(
    "voting",
    lambda: nn.Sequential(
        layer.Linear(9, 8), lif(), layer.Linear(8, 12), lif(), layer.VotingLayer(3)
    ),
    (LIF2, LIF2),
    features=(9,),
    gain=1.2,
)
add(
    "conv1d",
    lambda: nn.Sequential(
        layer.Conv1d(2, 5, 3, dilation=2),
        layer.BatchNorm1d(5),
        lif(),
        layer.MaxPool1d(2),
        layer.Flatten(),
        layer.Linear(25, 6),
        lif(),
    ),
    (LIF2, LIF2),
    features=(2, 14),
    steps=3,
)
add(
    "deconvolution",
    lambda: nn.Sequential(
        layer.ConvTranspose2d(3, 4, 2, stride=2), lif(), layer.Conv2d(4, 2, 3, stride=2), lif()
    ),
    (LIF2, LIF2),
    features=(3, 3, 3),
    steps=3,
    gain=1.5,
    optional=True,
)
add(
    "container",
    lambda: nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
        lif(),
        layer.SeqToANNContainer(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 6)),
        lif(),
    ),
    (LIF2, LIF2),
    features=(1, 8, 8),
    modes="m",
    read_out="stack",
    kind="TB",
)
add(
    "multi_step_container",
    lambda: nn.Sequential(
        layer.SeqToANNContainer(nn.Linear(9, 7)),
        layer.MultiStepContainer(sj.LIFNode(tau=2.0, decay_input=False)),
        layer.SeqToANNContainer(nn.Linear(7, 6)),
        lif(),
    ),
    (LIF2, LIF2),
    features=(9,),
    modes="m",
)


class Encoder(nn.Module):
    """The first convolution sees the picture once, the neuron its current T times."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.conv, self.norm, self.sn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), lif()
        self.rest = nn.Sequential(layer.AvgPool2d(2), layer.Flatten(), layer.Linear(36, 6), lif())
        functional.set_step_mode(self, "m")
        self.steps = steps

    def forward(self, x: Any) -> Any:
        functional.reset_net(self)
        current = self.norm(self.conv(x))
        return self.rest(self.sn(current.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1))).mean(0)


NETS.append(
    ZooNet(
        "spikingjelly/encoder_once",
        lambda: settle(Encoder(4)),
        ((1, 8, 8),),
        "static",
        4,
        (LIF2, LIF2),
    )
)


class Sew(nn.Module):
    """A spike-element-wise residual block."""

    def __init__(self, mode: str, make: Callable[[], nn.Module], width: int = 4) -> None:
        super().__init__()
        self.mode = mode
        self.first = nn.Sequential(
            layer.Conv2d(1, width, 3, padding=1), layer.BatchNorm2d(width), make()
        )
        self.branch = nn.Sequential(
            layer.Conv2d(width, width, 3, padding=1, bias=False),
            layer.BatchNorm2d(width),
            make(),
            layer.Conv2d(width, width, 3, padding=1, bias=False),
            layer.BatchNorm2d(width),
            make(),
        )
        self.last = nn.Sequential(
            layer.AvgPool2d(2), layer.Flatten(), layer.Linear(width * 9, 6), make()
        )

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        y = self.branch(x)
        if self.mode == "ADD":
            y = y + x
        elif self.mode == "AND":
            y = y * x
        elif self.mode == "IAND":
            y = (1.0 - y) * x
        elif self.mode == "OR":
            y = x + y - x * y
        return self.last(y)


for connection in ("ADD", "AND", "IAND", "OR"):
    for label, make, found in (("if", hidden_if, whole(0.0)), ("lif", lif, LIF2)):
        add(
            f"sew_{connection.lower()}_{label}",
            lambda c=connection, m=make: Sew(c, m),
            (found,) * 4,
            features=(1, 6, 6),
            kind="static" if label == "if" else "TB",
            gain=1.5 if connection == "AND" else 0.9,
            steps=4,
        )


class Shortcut(nn.Module):
    """A residual sum of currents, with a convolution on the shortcut (as in spiking ResNets)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4), lif())
        self.branch = nn.Sequential(
            layer.Conv2d(4, 6, 3, stride=2, padding=1),
            layer.BatchNorm2d(6),
            lif(),
            layer.Conv2d(6, 6, 3, padding=1),
            layer.BatchNorm2d(6),
        )
        self.shortcut = nn.Sequential(layer.Conv2d(4, 6, 1, stride=2), layer.BatchNorm2d(6))
        self.sn = lif()
        self.last = nn.Sequential(layer.Flatten(), layer.Linear(54, 5), lif())

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        return self.last(self.sn(self.branch(x) + self.shortcut(x)))


add("spiking_resnet", Shortcut, (LIF2,) * 4, features=(1, 6, 6), steps=3, gain=0.8)
