"""Hand-written nets: every cell of ``handwritten_cells`` in an MLP, and structures around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from zoo.base import Rolled, ZooNet, integrator, settle
from zoo.handwritten_cells import CELLS, Cell, soft, stbp, stbp_on_equal, tet

NETS: list[ZooNet] = []
SOFT, STBP = CELLS["soft"][1], CELLS["stbp"][1]
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


def row(name: str, layers: Callable[[], list[nn.Module]], expected: Sequence[Any] | None,
        **options: Any) -> None:  # fmt: skip
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
        self.a, self.b, self.skip, self.c = (nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(12, 8),
                                             nn.Linear(8, 5))  # fmt: skip
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
    row(f"integrator_{read_out}",
        lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5), Integrator(0.85)],
        (SOFT, integrator(0.85)), read_out=read_out)  # fmt: skip
row("accumulator_last", lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5), Integrator(1.0)],
    None, read_out="last")  # fmt: skip
row("current_read_out", lambda: [nn.Linear(12, 9), Neuron(soft), nn.Linear(9, 5)], (SOFT,),
    read_out="mean")  # fmt: skip


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
    add(f"recurrent_{label}", lambda c=cell, **o: Recurrent(c, **o),
        ({**found, "recurrent": True}, SOFT), gain=0.6, kind="TB" if label == "soft" else "static",
        steps=4)  # fmt: skip


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


add("weighted_steps", lambda **o: TimeWeighted([nn.Linear(12, 8), Neuron(soft)], **o), (SOFT,),
    read_out="stack")  # fmt: skip


class Latency(Stepped):
    """The first spike counts."""

    def forward(self, *inputs: Any) -> Any:
        y = super().forward(*inputs)
        return y.argmax(0).to(y.dtype)


add("first_spike", lambda **o: Latency([nn.Linear(12, 8), Neuron(soft)], **o), (SOFT,),
    read_out="stack", optional=True)  # fmt: skip


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
row("norm_on_spikes", lambda: [nn.Linear(12, 8), Neuron(soft), nn.BatchNorm1d(8), nn.Linear(8, 5),
                               Neuron(soft)], (SOFT, SOFT), kind="TB")  # fmt: skip
row("norm_on_current", lambda: [nn.Linear(12, 8), nn.BatchNorm1d(8), Neuron(soft), nn.Linear(8, 5),
                                nn.BatchNorm1d(5, affine=False), Neuron(soft)], (SOFT, SOFT))  # fmt: skip
row("norm_of_pixels", lambda: [nn.Flatten(1), nn.BatchNorm1d(36), nn.Unflatten(1, (1, 6, 6)),
                               nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), Neuron(soft)], (SOFT,),
    features=((1, 6, 6),))  # fmt: skip
row("norm_then_pool", lambda: [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.AvgPool2d(2), Neuron(soft),
                               nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2), Neuron(soft)], (SOFT, SOFT),
    features=((1, 8, 8),), gain=1.3)  # fmt: skip
row("dropout", lambda: [nn.Dropout(0.2), nn.Linear(12, 8), nn.Dropout(0.2), Neuron(soft),
                        nn.Dropout(0.5), nn.Linear(8, 5), Neuron(soft)], (SOFT, SOFT))  # fmt: skip
row("layer_norm", lambda: [nn.Linear(12, 8), nn.LayerNorm(8), Neuron(soft), nn.Linear(8, 5),
                           nn.LayerNorm(5), Neuron(soft)], (SOFT, SOFT), kind="TB")  # fmt: skip
row("group_norm", lambda: [nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), Neuron(soft)], (SOFT,),
    features=((1, 6, 6),))  # fmt: skip
row("relu_before_neuron", lambda: [nn.Linear(12, 8), nn.ReLU(), Neuron(soft), nn.Linear(8, 5),
                                   Neuron(soft)], (SOFT, SOFT))  # fmt: skip

# -- convolutions ----------------------------------------------------------------------------------


class Fn(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


for name, layers, features in [
    ("grouped", lambda: [nn.Conv2d(2, 4, 3, groups=2), Neuron(soft), nn.Conv2d(4, 4, 3, groups=4),
                         Neuron(soft)], (2, 7, 7)),
    ("dilated", lambda: [nn.Conv2d(1, 4, 3, dilation=2), Neuron(soft), nn.Conv2d(4, 3, 2, stride=2),
                         Neuron(soft)], (1, 8, 8)),
    ("transposed", lambda: [nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1),
                            Neuron(soft), nn.Conv2d(4, 2, 3), Neuron(soft)], (2, 3, 3)),
    ("conv1d", lambda: [nn.Conv1d(3, 5, 3, padding=1), Neuron(soft), nn.AvgPool1d(2),
                        nn.Conv1d(5, 4, 3, stride=2), Neuron(soft)], (3, 12)),
    ("conv3d", lambda: [nn.Conv3d(1, 3, 2), Neuron(soft), nn.MaxPool3d(2), nn.Flatten(),
                        nn.Linear(3, 4), Neuron(soft)], (1, 4, 4, 4)),
    ("padded", lambda: [Fn(lambda x: F.pad(x, (1, 0, 1, 2))), nn.Conv2d(1, 3, 3), Neuron(soft),
                        Fn(lambda x: F.pad(x, (0, 1, 0, 1))), nn.Conv2d(3, 3, 2), Neuron(soft)],
     (1, 5, 5)),
    ("padding_modes", lambda: [nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"), Neuron(soft),
                               nn.Conv2d(3, 3, 3, padding="same"), Neuron(soft)], (1, 5, 5)),
    ("adaptive_pool", lambda: [nn.Conv2d(1, 4, 3, padding=1), Neuron(soft), nn.AdaptiveAvgPool2d(2),
                               nn.Conv2d(4, 5, 1), Neuron(soft), nn.AdaptiveMaxPool2d(1),
                               nn.Flatten(), nn.Linear(5, 4), Neuron(soft)], (1, 6, 6)),
    ("global_mean", lambda: [nn.Conv2d(1, 4, 3), Neuron(soft), Fn(lambda x: x.mean((2, 3))),
                             nn.Linear(4, 5), Neuron(soft)], (1, 6, 6)),
    ("pool_with_padding", lambda: [nn.Conv2d(1, 4, 3), Neuron(soft), nn.MaxPool2d(3, 2, 1),
                                   nn.Conv2d(4, 3, 2), Neuron(soft), nn.AvgPool2d(2, 1, 1),
                                   nn.Flatten(), nn.Linear(27, 4), Neuron(soft)], (1, 7, 7)),
    ("upsampled", lambda: [nn.Conv2d(1, 4, 2), Neuron(soft), nn.Upsample(scale_factor=2),
                           nn.Conv2d(4, 3, 3), Neuron(soft)], (1, 4, 4)),
    ("shuffled", lambda: [nn.Conv2d(1, 4, 3), Neuron(soft), nn.ChannelShuffle(2),
                          nn.Conv2d(4, 4, 2, groups=2), Neuron(soft), nn.PixelShuffle(2)], (1, 5, 5)),
]:  # fmt: skip
    found = (SOFT,) * sum(isinstance(part, Neuron) for part in layers())
    row(f"conv_{name}", layers, found, features=(features,), steps=3, gain=1.2,
        kind="TB" if name in ("grouped", "conv1d", "padded", "upsampled") else "static",
        optional=name in ("transposed", "upsampled", "shuffled", "padding_modes"))  # fmt: skip


class Bottleneck(Stepped):
    """A membrane shortcut: the sum of two currents feeds a neuron and the next sum (MS-ResNet)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.a, self.b, self.c = (nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1),
                                  nn.Conv2d(4, 4, 3, padding=1))  # fmt: skip
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
        y = (q @ k.mT) @ v if self.order == "qk" else q @ (k.mT @ v)
        return self.n[4](self.o(self.n[3](0.5 * y)))


for order in ("qk", "kv"):
    add(f"attention_{order}", lambda o=order, **options: Attention(o, **options), (SOFT,) * 5,
        features=((5, 6),), kind="TB", read_out="stack", gain=1.2)  # fmt: skip

# -- time merged with batch ------------------------------------------------------------------------


class Merged(nn.Module):
    """Synapses see time and batch as one axis, neurons loop over time (tdBN and its like)."""

    def __init__(self, layers: Sequence[nn.Module], batch_major: bool, steps: int, kind: str,
                 read_out: str) -> None:  # fmt: skip
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
                    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), Neuron(soft), nn.AvgPool2d(2),
                    nn.Conv2d(4, 5, 2, bias=False), nn.BatchNorm2d(5), Neuron(stbp), nn.Flatten(),
                    nn.Linear(20, 6), Neuron(soft), nn.Linear(6, 4),
                ],  # fmt: skip
                b, **o,
            ),  # fmt: skip
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
row("width_1", lambda: [nn.Linear(1, 1), Neuron(soft), nn.Linear(1, 1), Neuron(soft)], (SOFT, SOFT),
    features=((1,),), gain=2.0)  # fmt: skip
row("two_kinds", lambda: [nn.Linear(12, 8), Neuron(soft), nn.Linear(8, 8), Neuron(stbp),
                          nn.Linear(8, 5), Neuron(tet)], (SOFT, STBP, TET), kind="BT",
    read_out="stack_bt")  # fmt: skip
row("neuron_first", lambda: [Neuron(soft), nn.Linear(12, 5), Neuron(soft)], (SOFT, SOFT), kind="TB",
    gain=1.2)  # fmt: skip
row("neuron_alone", lambda: [Neuron(soft)], (SOFT,), kind="TB", read_out="stack")


