"""Hand-written cells in modules; every cell in an MLP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from zoo.base import Rolled, ZooNet, settle
from zoo.handwritten_cells import CELLS, Cell

NETS: list[ZooNet] = []
SOFT = CELLS["soft"][1]
STBP = CELLS["stbp"][1]
TET = CELLS["tet"][1]


class Neuron(nn.Module):
    """A cell with its state."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.state: Any = None

    def forward(self, x: Any) -> Any:
        out, self.state = self.cell(x, self.state)
        return out


class Integrator(nn.Module):
    """A membrane that only leaks."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.state: Any = None

    def forward(self, x: Any) -> Any:
        self.state = x if self.state is None else self.alpha * self.state + x
        return self.state


class Stepped(Rolled):
    """Layers that are run step by step; ``step`` may be overridden."""

    def __init__(self, layers: Sequence[nn.Module] = (), **options: Any) -> None:
        super().__init__(**options)
        self.layers = nn.ModuleList(layers)

    def start(self, *inputs: Any) -> None:
        for part in self.modules():
            if isinstance(part, (Neuron, Integrator)):
                part.state = None

    def step(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def add(
    name: str,
    make: Callable[..., nn.Module],
    expected: Sequence[Any] | None,
    *,
    features: Sequence[tuple[int, ...]] = ((12,),),
    steps: int = 4,
    kind: str = "static",
    read_out: str = "sum",
    gain: float = 1.0,
    **more: Any,
) -> None:
    """Add a net; ``make`` takes steps, kind and read_out."""

    def build() -> nn.Module:
        return settle(make(steps=steps, kind=kind, read_out=read_out), gain)

    known = None if expected is None or "refused" in more else tuple(expected)
    NETS.append(ZooNet(f"handwritten/{name}", build, tuple(features), kind, steps, known, **more))


def row(
    name: str, layers: Callable[[], list[nn.Module]], expected: Sequence[Any] | None, **options: Any
) -> None:
    add(name, lambda **o: Stepped(layers(), **o), expected, **options)


for name, (cell, found, options) in CELLS.items():
    chosen = {"read_out": "stack" if options.get("kind") == "TB" else "sum", **options}
    if found is None or callable(found):
        known = None if found is None else (found(10), found(6))
    else:
        known = (found, found)
    row(
        f"cell_{name}",
        lambda c=cell: [nn.Linear(12, 10), Neuron(c), nn.Linear(10, 6), Neuron(c)],
        known,
        **chosen,
    )
