"""Norse: cells in a Python loop, modules over time, and recurrence."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import norse.torch as norse
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from torch import nn

from zoo.base import READ_OUTS, Rolled, ZooNet, integrator, neuron, settle, spread

NETS: list[ZooNet] = []
DT = 0.001


def constant(value: Any) -> torch.Tensor:
    return torch.as_tensor(value)


class Cells(Rolled):
    """``SequentialState`` called step by step, the idiom of Norse's tutorials."""

    def __init__(self, layers: Sequence[nn.Module], **options: Any) -> None:
        super().__init__(**options)
        self.net = norse.SequentialState(*layers)

    def start(self, *inputs: Any) -> None:
        self.state: Any = None

    def step(self, x: Any) -> Any:
        y, self.state = self.net(x, self.state)
        return y


class OverTime(nn.Module):
    """Modules that run over the whole sequence ``[T, B, ...]`` themselves."""

    def __init__(self, layers: Sequence[nn.Module], steps: int, kind: str, read_out: str) -> None:
        super().__init__()
        self.net = norse.SequentialState(*layers)
        self.steps, self.kind, self.read_out = steps, kind, read_out

    def forward(self, x: Any) -> Any:
        if self.kind == "static":
            x = x.unsqueeze(0).expand(self.steps, *x.shape)
        if self.kind == "BT":
            x = x.transpose(0, 1)
        y, _ = self.net(x)
        return y if self.read_out == "stack" else READ_OUTS[self.read_out](list(y.unbind(0)))


class Lifted(norse.Lift):
    """A cell that is lifted over time; what it gives besides its output is dropped."""

    def forward(self, x: Any) -> Any:
        return super().forward(x)[0]


def add(
    name: str,
    layers: Callable[[], list[nn.Module]],
    expected: Sequence[Any] | None,
    *,
    features: tuple[int, ...] = (12,),
    over_time: bool = False,
    steps: int = 4,
    kind: str = "static",
    read_out: str = "sum",
    gain: float = 1.0,
    **more: Any,
) -> None:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)  # recurrent layers draw their own weights
            made = layers()
            net: nn.Module = (
                OverTime(made, steps, kind, read_out)
                if over_time
                else Cells(made, steps=steps, kind=kind, read_out=read_out)
            )
        return settle(net, gain)

    known = None if expected is None or "refused" in more else tuple(expected)
    NETS.append(ZooNet(f"norse/{name}", build, (features,), kind, steps, known, **more))


def box_parameters(
    a: Any = 0.2, *, v_leak: Any = 0.0, v_th: Any = 1.0, v_reset: Any = 0.0, subtract: bool = False
) -> Any:
    return norse.LIFBoxParameters(
        tau_mem_inv=constant(a) / DT,
        v_leak=constant(v_leak),
        v_th=constant(v_th),
        v_reset=constant(v_reset),
        reset_method=norse.reset_subtract if subtract else norse.reset_value,
    )


def lif_parameters(
    a: Any = 0.3, b: Any = 0.4, *, v_leak: Any = 0.0, v_th: Any = 1.0, v_reset: Any = 0.0
) -> Any:
    return norse.LIFParameters(
        tau_mem_inv=constant(a) / DT,
        tau_syn_inv=constant(b) / DT,
        v_leak=constant(v_leak),
        v_th=constant(v_th),
        v_reset=constant(v_reset),
    )


def mlp(name: str, make: Callable[[int], nn.Module], found: Callable[[int], Any] | None, *,
        over_time: bool = False, **more: Any) -> None:  # fmt: skip
    def layers() -> list[nn.Module]:
        linear = [nn.Linear(12, 10), nn.Linear(10, 6)]
        return [linear[0], make(10), linear[1], make(6)]

    known = None if found is None else (found(10), found(6))
    add(name, layers, known, over_time=over_time, **more)


# -- LIFBox ----------------------------------------------------------------------------------------

for label, a, options in [
    ("zero", 0.2, {}),
    ("low_reset", 0.5, {"v_reset": -0.3}),
    ("leak", 0.25, {"v_leak": 0.2, "v_th": 0.8}),
    ("leak_and_reset", 0.4, {"v_leak": 0.1, "v_reset": 0.3}),
]:
    mlp(
        f"lifbox_{label}",
        lambda n, a=a, o=options: norse.LIFBoxCell(box_parameters(a, **o)),
        lambda n, a=a, o=options: neuron(
            1 - a,
            o.get("v_th", 1.0),
            "hard",
            v_reset=o.get("v_reset", 0.0),
            leak_bias=a * o.get("v_leak", 0.0),
            v_init=o.get("v_leak", 0.0),
        ),
        gain=3.0 if a < 0.3 else 1.8,
        kind="TB" if a in (0.2, 0.4) else "static",
        steps=4 if a < 0.3 else 3,
    )
for label, leak in (("", 0.0), ("_leak", 0.2)):
    mlp(
        f"lifbox_subtract{label}",
        lambda n, v=leak: norse.LIFBoxCell(box_parameters(0.3, v_leak=v, subtract=True)),
        lambda n, v=leak: neuron(0.7, 1.0, "soft", leak_bias=0.3 * v, v_init=v),
        gain=2.5,
        kind="BT" if leak else "static",
        steps=8 if leak else 3,
    )
mlp(
    "lifbox_per_neuron",
    lambda n: norse.LIFBoxCell(box_parameters(spread(n, 0.2, 0.6), v_th=spread(n, 0.7, 1.2))),
    lambda n: neuron((1 - spread(n, 0.2, 0.6)).tolist(), spread(n, 0.7, 1.2).tolist(), "hard"),
    gain=2.5,
)

# -- LIF: a leaky synaptic current -----------------------------------------------------------------

for label, a, b, options in [
    ("default", 0.1, 0.2, {}),
    ("fast", 0.3, 0.4, {}),
    ("low_reset", 0.5, 0.7, {"v_reset": -0.3}),
    ("leak", 0.25, 0.5, {"v_leak": 0.2, "v_th": 0.8}),
]:
    for over_time in (False, True):
        cell = norse.LIF if over_time else norse.LIFCell
        mlp(
            f"lif_{'time' if over_time else 'cell'}_{label}",
            lambda n, a=a, b=b, o=options, c=cell: c(lif_parameters(a, b, **o)),
            lambda n, a=a, b=b, o=options: neuron(
                1 - a,
                o.get("v_th", 1.0),
                "hard",
                v_reset=o.get("v_reset", 0.0),
                leak_bias=a * o.get("v_leak", 0.0),
                v_init=o.get("v_leak", 0.0),
                alpha_syn=1 - b,
            ),
            over_time=over_time,
            gain=4.0 if a == 0.1 else 2.0,
            steps=8 if a == 0.1 and not over_time else 4,
            kind="TB" if over_time == (a < 0.3) else "static",
            read_out="stack" if over_time else "sum",
        )
mlp(
    "lif_per_neuron",
    lambda n: norse.LIFCell(lif_parameters(spread(n, 0.2, 0.5), spread(n, 0.3, 0.6))),
    lambda n: neuron(
        (1 - spread(n, 0.2, 0.5)).tolist(), 1.0, "hard", alpha_syn=(1 - spread(n, 0.3, 0.6)).tolist()
    ),
    gain=2.0,
)
mlp("lif_no_synapse", lambda n: norse.LIFCell(lif_parameters(0.3, 1.0)),
    lambda n: (neuron(0.7, 1.0, "hard"), neuron(0.7, 1.0, "hard", alpha_syn=0.0)), gain=2.0)  # fmt: skip
mlp("iaf_cell", lambda n: norse.IAFCell(), lambda n: neuron(1.0, 1.0, "hard"), gain=0.8)
mlp("iaf_reset", lambda n: norse.IAFCell(norse.IAFParameters(v_reset=constant(-0.25), v_th=constant(0.7))),
    lambda n: neuron(1.0, 0.7, "hard", v_reset=-0.25, v_init=0.0), kind="TB")  # fmt: skip
mlp("iaf_time", lambda n: norse.IAF(), lambda n: neuron(1.0, 1.0, "hard"), over_time=True, gain=0.8)

# -- recurrence ------------------------------------------------------------------------------------

CUBA = neuron(0.7, 1.0, "hard", alpha_syn=0.6, recurrent=True)
for autapses in (False, True):
    add(
        f"lif_recurrent_{'autapses' if autapses else 'plain'}",
        lambda a=autapses: [
            norse.LIFRecurrent(12, 9, lif_parameters(), autapses=a), nn.Linear(9, 5),
            norse.LIF(lif_parameters(0.3, 0.4)),
        ],  # fmt: skip
        (CUBA, {**CUBA, "recurrent": False}),
        over_time=True,
        kind="TB",
        read_out="stack",
        gain=2.5,
    )
add(
    "lif_recurrent_cell",
    lambda: [
        norse.LIFRecurrentCell(12, 9, lif_parameters()), nn.Linear(9, 5),
        norse.LIFBoxCell(box_parameters(0.4)),
    ],  # fmt: skip
    (CUBA, neuron(0.6, 1.0, "hard")),
    kind="static",
    steps=3,
    gain=3.0,
)
add(
    "sequential_recurrent",
    lambda: [
        nn.Linear(12, 8), norse.LIFRecurrentCell(8, 8, lif_parameters()), nn.Linear(8, 5),
        norse.LICell(),
    ],  # fmt: skip
    (CUBA, integrator(0.9, alpha_syn=0.8)),
    kind="TB",
    steps=3,
    read_out="last",
    gain=1.5,
)

# -- read-outs and convolutions --------------------------------------------------------------------

BOX = neuron(0.6, 1.0, "hard")


def box() -> nn.Module:
    return norse.LIFBoxCell(box_parameters(0.4))


LI = norse.LIParameters(
    tau_syn_inv=constant(0.3 / DT), tau_mem_inv=constant(0.2 / DT), v_leak=constant(0.1)
)
LI_FOUND = integrator(0.8, alpha_syn=0.7, leak_bias=0.02, v_init=0.1)
for read_out in ("last", "stack", "mean", "max", "log_softmax", "softmax"):
    add(f"li_cell_{read_out}",
        lambda: [nn.Linear(12, 10), box(), nn.Linear(10, 6), norse.LICell(LI)], (BOX, LI_FOUND),
        read_out=read_out, gain=2.0)  # fmt: skip
add("li_linear", lambda: [nn.Linear(12, 10), box(), norse.LILinearCell(10, 6, LI)], (BOX, LI_FOUND),
    read_out="last", gain=2.0, kind="TB")  # fmt: skip
add("li_time", lambda: [nn.Linear(12, 10), norse.LIF(lif_parameters(0.3, 0.4)), nn.Linear(10, 6),
                        norse.LI(LI)],
    ({**CUBA, "recurrent": False}, LI_FOUND), over_time=True, read_out="max", gain=2.0)  # fmt: skip
add("li_box",
    lambda: [nn.Linear(12, 10), box(), nn.Linear(10, 6),
             norse.LIBoxCell(LIBoxParameters(tau_mem_inv=constant(250.0)))],
    (BOX, integrator(0.75)), read_out="max", gain=2.0)  # fmt: skip
add(
    "conv_cells",
    lambda: [
        nn.Conv2d(1, 4, 3), box(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2, bias=False), box(),
        nn.Flatten(), nn.Linear(24, 7), box(), norse.LILinearCell(7, 5, LI),
    ],  # fmt: skip
    (BOX, BOX, BOX, LI_FOUND),
    features=(1, 8, 8),
    read_out="max",
    gain=2.0,
)
add(
    "lift",
    lambda: [
        norse.Lift(nn.Conv2d(1, 4, 3)), norse.LIF(lif_parameters(0.3, 0.4)),
        norse.Lift(nn.AvgPool2d(2)), norse.Lift(nn.Conv2d(4, 5, 3)), norse.Lift(nn.BatchNorm2d(5)),
        norse.LIF(lif_parameters(0.3, 0.4)), nn.Flatten(2), nn.Linear(5, 4), norse.LI(LI),
    ],  # fmt: skip
    ({**CUBA, "recurrent": False}, {**CUBA, "recurrent": False}, LI_FOUND),
    features=(1, 8, 8),
    over_time=True,
    kind="TB",
    read_out="stack",
    gain=2.0,
    steps=3,
)
add("lift_cell", lambda: [norse.Lift(nn.Linear(12, 10)), Lifted(box()), nn.Linear(10, 6),
                          Lifted(box())],
    (BOX, BOX), over_time=True, kind="BT", read_out="mean", gain=2.0)  # fmt: skip
add("conv_of_time", lambda: [norse.LConv2d(2, 4, 3), Lifted(box()), nn.Flatten(2),
                             nn.Linear(64, 6), Lifted(box())],
    (BOX, BOX), features=(2, 6, 6), over_time=True, kind="TB", read_out="stack", gain=2.0,
    steps=3)  # fmt: skip



class Encoded(Rolled):
    """``ConstantCurrentLIFEncoder``'s equations, then cells."""

    def __init__(self) -> None:
        super().__init__(4, "static", "sum")
        self.net = norse.SequentialState(nn.Linear(12, 8), box())

    def start(self, x: Any) -> None:
        self.state: Any = None
        self.v = torch.zeros_like(x)

    def step(self, x: Any) -> Any:
        spikes, self.v = norse.lif_current_encoder(4 * x, self.v, lif_parameters(0.3))
        y, self.state = self.net(spikes, self.state)
        return y


NETS.append(ZooNet("norse/current_encoder", lambda: settle(Encoded(), 2.0), ((12,),), "static", 4,
                   (neuron(0.7, 1.0, "hard"), BOX)))  # fmt: skip

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("lif_adex", lambda n: norse.LIFAdExCell(), None, refused="exponential", gain=4.0)
mlp("lif_ex", lambda n: norse.LIFExCell(), None, refused="exponential", gain=3.0)
mlp("lsnn", lambda n: norse.LSNNCell(), None, refused="the input comes one step late", gain=6.0)
mlp("lif_refrac", lambda n: norse.LIFRefracCell(
        norse.LIFRefracParameters(lif=lif_parameters(), rho_reset=constant(2.0))), None,
    refused="spikes are suppressed in the refractory time", gain=2.0)  # fmt: skip
mlp("izhikevich", lambda n: norse.IzhikevichCell(norse.tonic_spiking), None,
    refused="Izhikevich", gain=30.0, steps=8)  # fmt: skip
add("lsnn_recurrent", lambda: [norse.LSNNRecurrentCell(12, 9, norse.LSNNParameters(
        tau_syn_inv=constant(400.0), tau_mem_inv=constant(300.0), tau_adapt_inv=constant(100.0)))],
    None, refused="the input comes one step late", gain=1.5, kind="TB", steps=4)  # fmt: skip
