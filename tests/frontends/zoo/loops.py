"""Time loops that stay loops: scripted ones and higher-order scans."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.base import neuron, settle
from zoo.export import quiet
from zoo.variant import VARIANTS, WAYS, Variant, way

# -- loops -----------------------------------------------------------------------------------------


class Looped(nn.Module):
    """A time loop for ``torch.jit.script``; the number of steps is that of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros(x.shape[1], 10)
        w = torch.zeros(x.shape[1], 6)
        outs: list[torch.Tensor] = []
        for t in range(x.shape[0]):
            v = 0.8 * v + self.a(x[t])
            s = (v > 1.0).float()
            v = v - s
            w = 0.5 * w + self.b(s)
            z = (w >= 0.7).float()
            w = w * (1.0 - z)
            outs.append(z)
        return torch.stack(outs)


class LoopedSum(nn.Module):
    """The same, summing as it goes, with a fixed number of steps and a static input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.a(x)
        v = torch.zeros_like(current)
        w = torch.zeros(x.shape[0], 6)
        total = torch.zeros(x.shape[0], 6)
        for _ in range(4):
            v = 0.8 * v + current
            s = (v > 1.0).float()
            v = v - s
            w = 0.5 * w + self.b(s)
            z = (w >= 0.7).float()
            w = w * (1.0 - z)
            total = total + z
        return total / 4.0


def lif_loop(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """One neuron layer as a scripted function, as in SpikingJelly 0.0.0.0.14."""
    v = torch.zeros_like(x[0])
    outs = torch.zeros_like(x)
    for t in range(x.shape[0]):
        v = alpha * v + x[t]
        s = (v > 1.0).to(x.dtype)
        v = v - s
        outs[t] = s
    return outs


def as_script(what: Any) -> Any:
    """Script without the warning that scripting is deprecated."""
    with quiet():
        return torch.jit.script(what)


scripted_lif = as_script(lif_loop)


class ScriptedParts(nn.Module):
    """A traced net with scripted neuron loops in it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scripted_lif(self.b(scripted_lif(self.a(x), 0.8)), 0.8)


class Scanned(nn.Module):
    """Time by the higher-order scan."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops.scan import scan

        def combine(states: Any, current: Any) -> Any:
            v, w = states
            v = 0.8 * v + self.a(current)
            s = (v > 1.0).float()
            w = 0.5 * w + self.b(s)
            z = (w >= 0.7).float()
            return (v - s, w * (1.0 - z)), z.clone()

        batch = x.shape[1]
        _, out = scan(combine, (torch.zeros(batch, 10), torch.zeros(batch, 6)), x)
        return out


class ScannedNeuron(nn.Module):
    """A scan per neuron layer, synapses over the whole sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)

    def run(self, current: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops.scan import scan

        def combine(v: Any, x: Any) -> Any:
            v = 0.8 * v + x
            s = (v > 1.0).float()
            return v - s, s.clone()

        return scan(combine, torch.zeros_like(current[0]), current)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(self.b(self.run(self.a(x))))


SOFT = neuron(0.8, 1.0, "soft")
LOOP = (SOFT, neuron(0.5, 0.7, "hard", equal=True))


def scripted(name: str, module: nn.Module, *shapes: tuple[int, ...], axis: int = 0) -> Any:
    return way(name, as_script(settle(module)), *shapes, axis=axis)


LEGACY, DYNAMO = WAYS[2:], WAYS[:2]
VARIANTS += [
    Variant(
        "loop/scripted",
        lambda name: scripted(name, Looped(), (4, -1, 12), axis=1),
        LOOP,
        ways=LEGACY,
    ),
    Variant(
        "loop/scripted_sum", lambda name: scripted(name, LoopedSum(), (-1, 12)), LOOP, ways=LEGACY
    ),
    Variant(
        "loop/scripted_parts",
        lambda name: way(name, settle(ScriptedParts()), (4, -1, 12), axis=1),
        (SOFT, SOFT),
        ways=LEGACY,
    ),
    Variant(
        "loop/scan",
        lambda name: way(name, settle(Scanned()), (4, -1, 12), axis=1),
        LOOP,
        ways=DYNAMO,
    ),
    Variant(
        "loop/scan_neuron",
        lambda name: way(name, settle(ScannedNeuron()), (4, -1, 12), axis=1),
        (SOFT, SOFT),
        ways=DYNAMO,
    ),
]
