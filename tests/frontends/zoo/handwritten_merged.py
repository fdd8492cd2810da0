"""Hand-written nets that merge time with batch, and odd sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from zoo.handwritten_cells import soft, stbp, tet
from zoo.handwritten_parts import SOFT, STBP, TET, Neuron, Stepped, add, row

# -- time merged with batch ------------------------------------------------------------------------


class Merged(nn.Module):
    """Synapses see time and batch as one axis, neurons loop over time (tdBN and its like)."""

    def __init__(
        self, layers: Sequence[nn.Module], batch_major: bool, steps: int, kind: str, read_out: str
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.batch_major, self.steps, self.kind, self.read_out = batch_major, steps, kind, read_out

    def forward(self, x: Any) -> Any:
        time = 1 if self.batch_major else 0
        if self.kind == "static":
            x = x.unsqueeze(time).expand(*x.shape[:time], self.steps, *x.shape[time:])
        elif (self.kind == "TB") == self.batch_major:
            x = x.transpose(0, 1)
        for layer in self.layers:
            if isinstance(layer, Neuron):
                layer.state = None
                x = torch.stack([layer(step) for step in x.unbind(time)], time)
            else:
                shape = (-1, self.steps) if self.batch_major else (self.steps, -1)
                x = layer(x.flatten(0, 1)).unflatten(0, shape)
        return {"stack": lambda: x, "sum": lambda: x.sum(time), "mean": lambda: x.mean(time)}[
            self.read_out
        ]()


for batch_major in (False, True):
    for kind in ("static", "TB", "BT"):
        add(
            f"merged_{'batch' if batch_major else 'time'}_major_{kind}",
            lambda b=batch_major, **o: Merged(
                [
                    nn.Conv2d(1, 4, 3),
                    nn.BatchNorm2d(4),
                    Neuron(soft),
                    nn.AvgPool2d(2),
                    nn.Conv2d(4, 5, 2, bias=False),
                    nn.BatchNorm2d(5),
                    Neuron(stbp),
                    nn.Flatten(),
                    nn.Linear(20, 6),
                    Neuron(soft),
                    nn.Linear(6, 4),
                ],
                b,
                **o,
            ),
            (SOFT, STBP, SOFT),
            features=((1, 8, 8),),
            kind=kind,
            read_out="mean" if kind == "static" else "stack",
            steps=3,
        )


class TimeLast(nn.Module):
    """Time is the last axis, as in the code of STBP-tdBN."""

    def __init__(self, steps: int, kind: str, read_out: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(9, 8), nn.Linear(8, 5)
        self.na, self.nb = Neuron(stbp), Neuron(stbp)
        self.steps = steps

    def forward(self, x: Any) -> Any:  # [B, 9, T]
        self.na.state = self.nb.state = None
        s = torch.zeros(x.shape[0], 8, self.steps)
        for t in range(self.steps):
            s[..., t] = self.na(self.a(x[..., t]))
        y = torch.zeros(x.shape[0], 5, self.steps)
        for t in range(self.steps):
            y[..., t] = self.nb(self.b(s[..., t]))
        return y.mean(-1)


add("time_last", TimeLast, (STBP, STBP), features=((9, 4),), steps=4)


class Deep(Stepped):
    """Nine layers, so that nothing is quadratic unseen."""

    def __init__(self, **options: Any) -> None:
        layers: list[nn.Module] = [nn.Linear(12, 9), Neuron(soft)]
        for _ in range(8):
            layers += [nn.Linear(9, 9), Neuron(soft)]
        super().__init__(layers, **options)


add("deep", Deep, (SOFT,) * 9, steps=3, gain=1.3)
row(
    "width_1",
    lambda: [nn.Linear(1, 1), Neuron(soft), nn.Linear(1, 1), Neuron(soft)],
    (SOFT, SOFT),
    features=((1,),),
    gain=2.0,
)
row(
    "two_kinds",
    lambda: [
        nn.Linear(12, 8),
        Neuron(soft),
        nn.Linear(8, 8),
        Neuron(stbp),
        nn.Linear(8, 5),
        Neuron(tet),
    ],
    (SOFT, STBP, TET),
    kind="BT",
    read_out="stack_bt",
)
row(
    "neuron_first",
    lambda: [Neuron(soft), nn.Linear(12, 5), Neuron(soft)],
    (SOFT, SOFT),
    kind="TB",
    gain=1.2,
)
row("neuron_alone", lambda: [Neuron(soft)], (SOFT,), kind="TB", read_out="stack")
