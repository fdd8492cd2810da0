"""snnTorch with hidden states, convolutions, and what no neuron expresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch as snn
import torch
from torch import nn

from zoo.base import Rolled, ZooNet, neuron, settle, spread
from zoo.snntorch_others import synaptic
from zoo.snntorch_parts import NETS, Hidden, Stepped, leaky, mlp

# -- hidden states ---------------------------------------------------------------------------------


def hidden(
    name: str, layers: Callable[[], list[nn.Module]], size: int, expected: Any, **options: Any
) -> None:
    steps, kind = options.pop("steps", 3), options.pop("kind", "static")
    read_out, more = options.pop("read_out", "sum"), options

    def build() -> nn.Module:
        return settle(Hidden(nn.Sequential(*layers()), steps, kind, read_out))

    NETS.append(ZooNet(f"snntorch/{name}", build, ((size,),), kind, steps, expected, **more))


hidden(
    "init_hidden_spikes",
    lambda: [
        nn.Linear(9, 8),
        snn.Leaky(beta=0.8, init_hidden=True, reset_mechanism="zero"),
        nn.Linear(8, 5),
        snn.Leaky(beta=0.7, init_hidden=True),
    ],
    9,
    (neuron(0.8, 1.0, "hard"), neuron(0.7, 1.0, "soft", after_leak=True)),
)
hidden(
    "init_hidden_membrane",
    lambda: [
        nn.Linear(9, 8),
        snn.Synaptic(alpha=0.5, beta=0.8, init_hidden=True),
        nn.Linear(8, 5),
        snn.Leaky(beta=0.7, init_hidden=True, output=True),
    ],
    9,
    (synaptic("subtract", 0.5, 0.8), neuron(0.7, 1.0, "soft", after_leak=True)),
    kind="TB",
    read_out="stack",
    steps=4,
)

# -- convolutions ----------------------------------------------------------------------------------


def conv(
    name: str,
    layers: Callable[[], list[nn.Module]],
    expected: Any,
    *,
    gain: float = 1.0,
    features: tuple[int, ...] = (1, 8, 8),
    steps: int = 3,
    kind: str = "static",
    read_out: str = "sum",
    out: str = "spikes",
    **more: Any,
) -> None:
    """Add a net of given layers."""

    def build() -> nn.Module:
        return settle(Stepped(layers(), out, steps=steps, kind=kind, read_out=read_out), gain)

    NETS.append(ZooNet(f"snntorch/{name}", build, (features,), kind, steps, expected, **more))


SOFT = neuron(0.9, 1.0, "soft", after_leak=True)
for kind in ("static", "TB", "BT"):
    conv(
        f"conv_pool_{kind}",
        lambda: [
            nn.Conv2d(1, 4, 3, padding=1),
            snn.Leaky(beta=0.9),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3),
            snn.Leaky(beta=0.9),
            nn.Flatten(),
            nn.Linear(24, 5),
            snn.Leaky(beta=0.9),
        ],
        (SOFT, SOFT, SOFT),
        kind=kind,
    )
conv(
    "conv_pool_before",  # the tutorial's order: pooling before the neuron
    lambda: [
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9),
        nn.Conv2d(4, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.AvgPool2d(2),
        snn.Leaky(beta=0.9),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        snn.Leaky(beta=0.9),
    ],
    (SOFT, SOFT, SOFT),
    gain=0.6,
)
conv(
    "conv_per_channel",
    lambda: [
        nn.Conv2d(1, 4, 3),
        snn.Leaky(beta=spread(4, 0.5, 0.9)[:, None, None]),
        nn.Flatten(),
        nn.Linear(144, 5),
        snn.Leaky(beta=0.9),
    ],
    (neuron(spread(4, 0.5, 0.9).tolist(), 1.0, "soft", after_leak=True), SOFT),
    gain=0.8,
)
conv(
    "conv_recurrent",
    lambda: [
        nn.Conv2d(1, 3, 3),
        snn.RLeaky(beta=0.8, conv2d_channels=3, kernel_size=3),
        nn.Flatten(),
        nn.Linear(48, 5),
        snn.Leaky(beta=0.9),
    ],
    (neuron(0.8, 1.0, "soft", after_leak=True, recurrent=True), SOFT),
    features=(1, 6, 6),
    gain=1.2,
    optional=True,
)
conv(
    "conv1d",
    lambda: [
        nn.Conv1d(2, 5, 3, stride=2),
        snn.Leaky(beta=0.9),
        nn.MaxPool1d(2),
        nn.Conv1d(5, 4, 3, dilation=2),
        snn.Leaky(beta=0.9),
        nn.Flatten(),
        nn.Linear(12, 5),
        snn.Leaky(beta=0.9),
    ],
    (SOFT, SOFT, SOFT),
    features=(2, 29),
)
conv(
    "dropout_layernorm",
    lambda: [
        nn.Linear(9, 8),
        nn.Dropout(0.5),
        nn.LayerNorm(8),
        snn.Leaky(beta=0.9),
        nn.Linear(8, 5),
        nn.Dropout(0.3),
        snn.Leaky(beta=0.9),
    ],
    (SOFT, SOFT),
    features=(9,),
)
conv(
    "norm_of_input",
    lambda: [
        nn.BatchNorm1d(9),
        nn.Linear(9, 8),
        snn.Leaky(beta=0.9),
        nn.BatchNorm1d(8),
        nn.Linear(8, 5),
        snn.Leaky(beta=0.9),
    ],
    (SOFT, SOFT),
    features=(9,),
    kind="TB",
)

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("leaky_inhibition", leaky(0.9, inhibition=True), lambda n: SOFT, refused="inhibition")
for mechanism in ("subtract", "zero"):
    mlp(
        f"alpha_{mechanism}",
        lambda n, m=mechanism: snn.Alpha(alpha=0.8, beta=0.6, reset_mechanism=m),
        lambda n: SOFT,
        refused="two synaptic currents",
        gain=2.0,
    )
mlp(
    "leaky_state_quant",
    leaky(0.9, state_quant=lambda m: torch.round(m * 4) / 4),
    lambda n: SOFT,
    refused="quantized state",
)


class Lstm(Rolled):
    """Spiking LSTM, dense or convolutional."""

    def __init__(self, cell: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__(3, "TB", "stack")
        self.cell, self.shape = cell, shape

    def start(self, x: Any) -> None:
        self.state = (x.new_zeros(x.shape[1], *self.shape), x.new_zeros(x.shape[1], *self.shape))

    def step(self, x: Any) -> Any:
        spikes, *state = self.cell(x, *self.state)
        self.state = tuple(state)
        return spikes


def _lstm(
    name: str, cell: Callable[[], nn.Module], shape: tuple[int, ...], features: tuple[int, ...]
) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return Lstm(cell(), shape).eval().requires_grad_(False)

    NETS.append(ZooNet(f"snntorch/{name}", build, (features,), "TB", 3, None, refused="LSTM"))


_lstm("slstm", lambda: snn.SLSTM(7, 6, threshold=0.02), (6,), (7,))
_lstm("sconv2dlstm", lambda: snn.SConv2dLSTM(1, 3, 3, threshold=0.02), (3, 6, 6), (1, 6, 6))
