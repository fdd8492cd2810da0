"""Hand-written convolutional nets, attention, time merged with batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional as F

from zoo.handwritten_cells import soft
from zoo.handwritten_parts import SOFT, Neuron, Stepped, add, row

# -- convolutions ----------------------------------------------------------------------------------


class Fn(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


for name, layers, features in [
    (
        "grouped",
        lambda: [
            nn.Conv2d(2, 4, 3, groups=2),
            Neuron(soft),
            nn.Conv2d(4, 4, 3, groups=4),
            Neuron(soft),
        ],
        (2, 7, 7),
    ),
    (
        "dilated",
        lambda: [
            nn.Conv2d(1, 4, 3, dilation=2),
            Neuron(soft),
            nn.Conv2d(4, 3, 2, stride=2),
            Neuron(soft),
        ],
        (1, 8, 8),
    ),
    (
        "transposed",
        lambda: [
            nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1),
            Neuron(soft),
            nn.Conv2d(4, 2, 3),
            Neuron(soft),
        ],
        (2, 3, 3),
    ),
    (
        "conv1d",
        lambda: [
            nn.Conv1d(3, 5, 3, padding=1),
            Neuron(soft),
            nn.AvgPool1d(2),
            nn.Conv1d(5, 4, 3, stride=2),
            Neuron(soft),
        ],
        (3, 12),
    ),
    (
        "conv3d",
        lambda: [
            nn.Conv3d(1, 3, 2),
            Neuron(soft),
            nn.MaxPool3d(2),
            nn.Flatten(),
            nn.Linear(3, 4),
            Neuron(soft),
        ],
        (1, 4, 4, 4),
    ),
    (
        "padded",
        lambda: [
            Fn(lambda x: F.pad(x, (1, 0, 1, 2))),
            nn.Conv2d(1, 3, 3),
            Neuron(soft),
            Fn(lambda x: F.pad(x, (0, 1, 0, 1))),
            nn.Conv2d(3, 3, 2),
            Neuron(soft),
        ],
        (1, 5, 5),
    ),
    (
        "padding_modes",
        lambda: [
            nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"),
            Neuron(soft),
            nn.Conv2d(3, 3, 3, padding="same"),
            Neuron(soft),
        ],
        (1, 5, 5),
    ),
    (
        "adaptive_pool",
        lambda: [
            nn.Conv2d(1, 4, 3, padding=1),
            Neuron(soft),
            nn.AdaptiveAvgPool2d(2),
            nn.Conv2d(4, 5, 1),
            Neuron(soft),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(5, 4),
            Neuron(soft),
        ],
        (1, 6, 6),
    ),
    (
        "global_mean",
        lambda: [
            nn.Conv2d(1, 4, 3),
            Neuron(soft),
            Fn(lambda x: x.mean((2, 3))),
            nn.Linear(4, 5),
            Neuron(soft),
        ],
        (1, 6, 6),
    ),
    (
        "pool_with_padding",
        lambda: [
            nn.Conv2d(1, 4, 3),
            Neuron(soft),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(4, 3, 2),
            Neuron(soft),
            nn.AvgPool2d(2, 1, 1),
            nn.Flatten(),
            nn.Linear(27, 4),
            Neuron(soft),
        ],
        (1, 7, 7),
    ),
    (
        "upsampled",
        lambda: [
            nn.Conv2d(1, 4, 2),
            Neuron(soft),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4, 3, 3),
            Neuron(soft),
        ],
        (1, 4, 4),
    ),
    (
        "shuffled",
        lambda: [
            nn.Conv2d(1, 4, 3),
            Neuron(soft),
            nn.ChannelShuffle(2),
            nn.Conv2d(4, 4, 2, groups=2),
            Neuron(soft),
            nn.PixelShuffle(2),
        ],
        (1, 5, 5),
    ),
]:
    found = (SOFT,) * sum(isinstance(part, Neuron) for part in layers())
    row(
        f"conv_{name}",
        layers,
        found,
        features=(features,),
        steps=3,
        gain=1.2,
        kind="TB" if name in ("grouped", "conv1d", "padded", "upsampled") else "static",
        optional=name in ("transposed", "upsampled", "shuffled", "padding_modes"),
    )


class Bottleneck(Stepped):
    """A membrane shortcut: the sum of two currents feeds a neuron and the next sum (MS-ResNet)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b, self.c = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        self.na, self.nb, self.nc = Neuron(soft), Neuron(soft), Neuron(soft)
        self.head = nn.Linear(64, 5)
        self.nh = Neuron(soft)

    def step(self, x: Any) -> Any:
        u = self.a(x)
        u = u + self.b(self.na(u))
        u = u + self.c(self.nb(u))
        return self.nh(self.head(self.nc(u).flatten(1)))


add("membrane_shortcut", Bottleneck, (SOFT,) * 4, features=((1, 4, 4),), gain=0.55)


class Attention(Stepped):
    """Products of spikes per step."""

    def __init__(self, order: str = "qk", **options: Any) -> None:
        super().__init__(**options)
        self.order = order
        self.q, self.k, self.v, self.o = (nn.Linear(6, 6) for _ in range(4))
        self.n = nn.ModuleList([Neuron(soft) for _ in range(5)])

    def step(self, x: Any) -> Any:  # [B, tokens, 6]
        q, k, v = self.n[0](self.q(x)), self.n[1](self.k(x)), self.n[2](self.v(x))
        y = (q @ k.transpose(-1, -2)) @ v if self.order == "qk" else q @ (k.transpose(-1, -2) @ v)
        return self.n[4](self.o(self.n[3](0.5 * y)))


for order in ("qk", "kv"):
    add(
        f"attention_{order}",
        lambda o=order, **options: Attention(o, **options),
        (SOFT,) * 5,
        features=((5, 6),),
        kind="TB",
        read_out="stack",
        gain=1.2,
    )
