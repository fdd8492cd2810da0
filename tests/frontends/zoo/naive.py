"""Naive exports, of which only one step is left, and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zoo.base import settle
from zoo.loops import SOFT
from zoo.variant import VARIANTS, WAYS, Variant, way

# -- naive exports: one step of a net whose state is hidden ----------------------------------------


class Held(nn.Module):
    """Keeps its membranes as attributes between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)
        self.v: Any = None
        self.w: Any = None

    def forward(self, x: Any) -> Any:
        x = self.a(x)
        v = 0.8 * (torch.zeros_like(x) if self.v is None else self.v) + x
        s = (v > 1.0).float()
        self.v = v - s
        x = self.b(s)
        w = 0.8 * (torch.zeros_like(x) if self.w is None else self.w) + x
        s = (w > 1.0).float()
        self.w = w - s
        return s


def naive(make: Callable[[], nn.Module], stale: bool) -> Callable[[str], Any]:
    def export(name: str) -> Any:
        module = make()
        if stale:
            batch = 3 if name.endswith("_dyn") else 1
            with torch.no_grad():
                module(
                    0.4 + 0.6 * torch.randn(batch, 12, generator=torch.Generator().manual_seed(1))
                )
        return way(name, module, (-1, 12))

    return export


def of_frameworks() -> None:
    """Add the naive exports of the frameworks."""
    import norse.torch as norse
    import snntorch as snn
    from spikingjelly.activation_based import layer
    from spikingjelly.activation_based import neuron as sj

    from zoo.norse_parts import box_parameters

    def snntorch_hidden() -> nn.Module:
        return settle(
            nn.Sequential(
                nn.Linear(12, 10),
                snn.Leaky(beta=0.9, init_hidden=True),
                nn.Linear(10, 6),
                snn.Leaky(beta=0.9, init_hidden=True),
            )
        )

    def snntorch_synaptic() -> nn.Module:
        return settle(
            nn.Sequential(
                nn.Linear(12, 10),
                snn.Synaptic(alpha=0.6, beta=0.9, init_hidden=True),
                nn.Linear(10, 6),
                snn.Leaky(beta=0.9, init_hidden=True),
            )
        )

    def spikingjelly() -> nn.Module:
        return settle(
            nn.Sequential(
                layer.Linear(12, 10),
                sj.LIFNode(tau=2.0, decay_input=False),
                layer.Linear(10, 6),
                sj.IFNode(),
            )
        )

    class NorseOnce(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = norse.SequentialState(
                nn.Linear(12, 10),
                norse.LIFBoxCell(box_parameters(0.4)),
                nn.Linear(10, 6),
                norse.LIFBoxCell(box_parameters(0.4)),
            )

        def forward(self, x: Any) -> Any:
            return self.net(x)[0]

    for label, make in [
        ("held", lambda: settle(Held())),
        ("snntorch_hidden", snntorch_hidden),
        ("snntorch_synaptic", snntorch_synaptic),
        ("spikingjelly", spikingjelly),
    ]:
        VARIANTS.append(
            Variant(f"naive/{label}", naive(make, False), refused="only the first step")
        )
        VARIANTS.append(Variant(f"naive/{label}_stale", naive(make, True), refused="a stale state"))
    VARIANTS.append(
        Variant(
            "naive/norse_once",
            naive(lambda: settle(NorseOnce(), 2.0), False),
            refused="only the first step",
        )
    )


# -- wrong exports ---------------------------------------------------------------------------------


class Trained(nn.Module):
    """Dropout and norms in training mode."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)
        self.mid = nn.BatchNorm1d(10) if part == "norm" else nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        v, w = torch.zeros(x.shape[0], 10), torch.zeros(x.shape[0], 6)
        total = torch.zeros(x.shape[0], 6)
        for _ in range(3):
            v = 0.8 * v + self.mid(self.a(x))
            s = (v > 1.0).float()
            v = v - s
            w = 0.8 * w + self.b(s)
            z = (w > 1.0).float()
            w = w - z
            total = total + z
        return total


def in_training(part: str) -> Callable[[str], Any]:
    def export(name: str) -> Any:
        module = settle(Trained(part)).train()
        legacy = name.startswith("legacy")
        more: dict[str, Any] = {}
        if legacy:
            more = {"training": torch.onnx.TrainingMode.TRAINING, "do_constant_folding": False}
        return way(name, module, (-1 if name.endswith("_dyn") else 3, 12), **more)

    return export


class Baked(nn.Module):
    """The states have the batch size of the example."""

    def __init__(self, random: bool) -> None:
        super().__init__()
        self.a, self.random = nn.Linear(12, 10), random

    def forward(self, x: Any) -> Any:
        v = torch.zeros(3, 10)
        if self.random:
            v = torch.linspace(-0.5, 0.9, 30).reshape(3, 10)
        total = torch.zeros(3, 10)
        for _ in range(3):
            v = 0.8 * v + self.a(x)
            s = (v > 1.0).float()
            v = v - s
            total = total + s
        return total


class BakedReshape(nn.Module):
    """Time and batch are merged by numbers: ``x.view(T * B, ...)`` with Python integers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a = nn.Conv2d(1, 3, 3), nn.Linear(48, 5)

    def forward(self, x: Any) -> Any:  # [T, B, 1, 6, 6]
        steps, batch = int(x.shape[0]), int(x.shape[1])
        y = self.conv(x.reshape(steps * batch, 1, 6, 6)).reshape(steps, batch, 3, 4, 4)
        v, outs = torch.zeros_like(y[0]), []
        for t in range(steps):
            v = 0.8 * v + y[t]
            s = (v > 1.0).float()
            v = v - s
            outs.append(s)
        y = self.a(torch.stack(outs).reshape(steps * batch, 48)).reshape(steps, batch, 5)
        w, outs = torch.zeros_like(y[0]), []
        for t in range(steps):
            w = 0.8 * w + y[t]
            s = (w > 1.0).float()
            w = w - s
            outs.append(s)
        return torch.stack(outs)


VARIANTS += [
    Variant("wrong/training_dropout", in_training("dropout"), refused="training mode"),
    # torch.export writes a norm in training mode as one in inference: nothing is left to see
    Variant("wrong/training_norm", in_training("norm"), refused="training mode", ways=WAYS[2:]),
    Variant(
        "wrong/baked_batch",
        lambda name: way(name, settle(Baked(False)), (-1, 12)),
        (SOFT,),
        refused="a batch size is baked in",
        optional=True,
        ways=("legacy_dyn",),
    ),
    Variant(
        "wrong/baked_state",
        lambda name: way(name, settle(Baked(True)), (-1, 12)),
        refused="a batch size is baked in",
        ways=("legacy_dyn",),
    ),
    Variant(
        "wrong/baked_reshape",
        lambda name: way(name, settle(BakedReshape()), (3, -1, 1, 6, 6), axis=1),
        (SOFT, SOFT),
        optional=True,
        ways=("legacy_dyn", "legacy_fixed", "dynamo_fixed"),
    ),
]
