"""Hand-written structures: joins, residuals, recurrence, heads, norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.base import integrator
from zoo.handwritten_cells import CELLS, Cell, soft, stbp, stbp_on_equal, tet
from zoo.handwritten_parts import SOFT, STBP, TET, Integrator, Neuron, Stepped, add, row

# -- structures ------------------------------------------------------------------------------------


class Concatenated(Stepped):
    """Two layers side by side and the input, concatenated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b, self.c = nn.Linear(12, 7), nn.Linear(12, 5), nn.Linear(12, 6)
        self.na, self.nb, self.nc = Neuron(soft), Neuron(stbp), Neuron(tet)

    def step(self, x: Any) -> Any:
        return self.nc(self.c(torch.cat([self.na(self.a(x)), self.nb(self.b(x))], 1)))


add("concatenated", Concatenated, (SOFT, STBP, TET), kind="TB")


class Currents(Stepped):
    """Sums of currents: a skip connection past a layer, and one from the input."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b, self.skip, self.c = (
            nn.Linear(12, 8),
            nn.Linear(8, 8),
            nn.Linear(12, 8),
            nn.Linear(8, 5),
        )
        self.na, self.nb, self.nc = Neuron(soft), Neuron(soft), Neuron(soft)

    def step(self, x: Any) -> Any:
        s = self.na(self.a(x))
        s = self.nb(self.b(s) + self.skip(x) + s)
        return self.nc(self.c(s))


add("sum_of_currents", Currents, (SOFT,) * 3, gain=0.8)
add("sum_of_currents_sequence", Currents, (SOFT,) * 3, gain=0.8, kind="BT", read_out="stack_bt")


class TwoInputs(Stepped):
    """Two sensors, joined as currents."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b, self.c = nn.Linear(12, 8), nn.Linear(7, 8), nn.Linear(8, 5)
        self.na, self.nc = Neuron(soft), Neuron(soft)

    def step(self, x: Any, y: Any) -> Any:
        return self.nc(self.c(self.na(self.a(x) + self.b(y))))


add("two_inputs", TwoInputs, (SOFT, SOFT), features=((12,), (7,)), kind="TB", gain=0.8)
add("two_inputs_static", TwoInputs, (SOFT, SOFT), features=((12,), (7,)), gain=0.8)


class TwoOutputs(Stepped):
    """Spikes of the hidden layer, and a membrane read-out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 5)
        self.na, self.out = Neuron(soft), Integrator(0.9)

    def step(self, x: Any) -> Any:
        s = self.na(self.a(x))
        return s, self.out(self.b(s))


add("two_outputs", TwoOutputs, (SOFT, integrator(0.9)), read_out="stack")
add("two_outputs_mean", TwoOutputs, (SOFT, integrator(0.9)), read_out="mean", kind="TB")
for read_out in ("last", "max", "mean", "sum", "softmax", "stack"):
    row(
        f"integrator_{read_out}",
        lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5), Integrator(0.85)],
        (SOFT, integrator(0.85)),
        read_out=read_out,
    )
row(
    "accumulator_last",
    lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5), Integrator(1.0)],
    None,
    read_out="last",
)
row(
    "current_read_out",
    lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5)],
    (SOFT,),
    read_out="mean",
)


class Headed(Stepped):
    """An ordinary network on the rates."""

    def __init__(self, **options: Any) -> None:
        super().__init__([nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 8), Neuron(soft)], **options)
        self.head = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 5))

    def forward(self, *inputs: Any) -> Any:
        return self.head(super().forward(*inputs)).softmax(-1)


add("rates_into_a_head", Headed, (SOFT, SOFT), read_out="mean")


class Bodied(Stepped):
    """An ordinary network in front, run once."""

    def __init__(self, **options: Any) -> None:
        super().__init__([Neuron(soft), nn.Linear(8, 5), Neuron(soft)], **options)
        self.body = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 8))

    def forward(self, *inputs: Any) -> Any:
        return super().forward(self.body(inputs[0]))


add("body_before", Bodied, (SOFT, SOFT))


class Recurrent(Stepped):
    """Recurrent weights, with a bias of their own."""

    def __init__(self, cell: Cell = soft, bias: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.r, self.b = nn.Linear(12, 8), nn.Linear(8, 8, bias=bias), nn.Linear(8, 5)
        self.na, self.nb = Neuron(cell), Neuron(soft)

    def start(self, *inputs: Any) -> None:
        super().start(*inputs)
        x = inputs[0]
        batch = x.shape[1] if self.kind == "TB" else x.shape[0]
        self.s = torch.zeros(batch, 8)

    def step(self, x: Any) -> Any:
        self.s = self.na(self.a(x) + self.r(self.s))
        return self.nb(self.b(self.s))


for label in ("soft", "stbp", "adaptive_hard", "cuba"):
    cell, found, _ = CELLS[label]
    add(
        f"recurrent_{label}",
        lambda c=cell, **o: Recurrent(c, **o),
        ({**found, "recurrent": True}, SOFT),
        gain=0.6,
        kind="TB" if label == "soft" else "static",
        steps=4,
    )


class Feedback(Stepped):
    """The second layer feeds back into the first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.f, self.b = nn.Linear(12, 8), nn.Linear(5, 8, bias=False), nn.Linear(8, 5)
        self.na, self.nb = Neuron(soft), Neuron(soft)

    def start(self, *inputs: Any) -> None:
        super().start(*inputs)
        self.back: Any = None

    def step(self, x: Any) -> Any:
        current = self.a(x) if self.back is None else self.a(x) + self.f(self.back)
        self.back = self.nb(self.b(self.na(current)))
        return self.back


add("feedback", Feedback, None, refused="one layer feeds back into an earlier one")


class Shared(Stepped):
    """The same weights twice, with neurons of their own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 8)
        self.n = nn.ModuleList([Neuron(soft), Neuron(soft), Neuron(stbp)])

    def step(self, x: Any) -> Any:
        s = self.n[0](self.a(x))
        return self.n[2](self.b(self.n[1](self.b(s))))


add("shared_weights", Shared, (SOFT, SOFT, STBP))


class TimeWeighted(Stepped):
    """Each step counts with its own weight."""

    def forward(self, *inputs: Any) -> Any:
        y = super().forward(*inputs)  # [T, B, N]
        return (y * torch.linspace(1.0, 0.2, self.steps)[:, None, None]).sum(0)


add(
    "weighted_steps",
    lambda **o: TimeWeighted([nn.Linear(12, 8), Neuron(soft)], **o),
    (SOFT,),
    read_out="stack",
)


class Latency(Stepped):
    """The first spike counts."""

    def forward(self, *inputs: Any) -> Any:
        y = super().forward(*inputs)
        return y.argmax(0).to(y.dtype)


add(
    "first_spike",
    lambda **o: Latency([nn.Linear(12, 8), Neuron(soft)], **o),
    (SOFT,),
    read_out="stack",
    optional=True,
)


class Double(Stepped):
    """Runs in float64 inside."""

    def __init__(self, **options: Any) -> None:
        neurons = Neuron(stbp_on_equal), Neuron(stbp_on_equal)
        super().__init__([nn.Linear(12, 8), neurons[0], nn.Linear(8, 5), neurons[1]], **options)
        self.double()

    def forward(self, *inputs: Any) -> Any:
        return super().forward(inputs[0].double()).float()


add("double_inside", Double, (CELLS["stbp_on_equal"][1],) * 2, kind="TB")

# -- norms and dropout in every position -----------------------------------------------------------

row("norm_first", lambda: [nn.BatchNorm1d(12), nn.Linear(12, 8), Neuron(soft)], (SOFT,))
row(
    "norm_on_spikes",
    lambda: [nn.Linear(12, 8), Neuron(soft), nn.BatchNorm1d(8), nn.Linear(8, 5), Neuron(soft)],
    (SOFT, SOFT),
    kind="TB",
)
row(
    "norm_on_current",
    lambda: [
        nn.Linear(12, 8),
        nn.BatchNorm1d(8),
        Neuron(soft),
        nn.Linear(8, 5),
        nn.BatchNorm1d(5, affine=False),
        Neuron(soft),
    ],
    (SOFT, SOFT),
)
row(
    "norm_of_pixels",
    lambda: [
        nn.Flatten(1),
        nn.BatchNorm1d(36),
        nn.Unflatten(1, (1, 6, 6)),
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        Neuron(soft),
    ],
    (SOFT,),
    features=((1, 6, 6),),
)
row(
    "norm_then_pool",
    lambda: [
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.AvgPool2d(2),
        Neuron(soft),
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 4, 2),
        Neuron(soft),
    ],
    (SOFT, SOFT),
    features=((1, 8, 8),),
    gain=1.3,
)
row(
    "dropout",
    lambda: [
        nn.Dropout(0.2),
        nn.Linear(12, 8),
        nn.Dropout(0.2),
        Neuron(soft),
        nn.Dropout(0.5),
        nn.Linear(8, 5),
        Neuron(soft),
    ],
    (SOFT, SOFT),
)
row(
    "layer_norm",
    lambda: [
        nn.Linear(12, 8),
        nn.LayerNorm(8),
        Neuron(soft),
        nn.Linear(8, 5),
        nn.LayerNorm(5),
        Neuron(soft),
    ],
    (SOFT, SOFT),
    kind="TB",
)
row(
    "group_norm",
    lambda: [nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), Neuron(soft)],
    (SOFT,),
    features=((1, 6, 6),),
)
row(
    "relu_before_neuron",
    lambda: [nn.Linear(12, 8), nn.ReLU(), Neuron(soft), nn.Linear(8, 5), Neuron(soft)],
    (SOFT, SOFT),
)
