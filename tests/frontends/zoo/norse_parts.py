"""How Norse nets are run: cells step by step, or modules over time; LIFBox and LIF."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import norse.torch as norse
import torch
from torch import nn

from zoo.base import READ_OUTS, Rolled, ZooNet, neuron, settle, spread

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


def mlp(
    name: str,
    make: Callable[[int], nn.Module],
    found: Callable[[int], Any] | None,
    *,
    over_time: bool = False,
    **more: Any,
) -> None:
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
        (1 - spread(n, 0.2, 0.5)).tolist(),
        1.0,
        "hard",
        alpha_syn=(1 - spread(n, 0.3, 0.6)).tolist(),
    ),
    gain=2.0,
)
mlp(
    "lif_no_synapse",
    lambda n: norse.LIFCell(lif_parameters(0.3, 1.0)),
    lambda n: (neuron(0.7, 1.0, "hard"), neuron(0.7, 1.0, "hard", alpha_syn=0.0)),
    gain=2.0,
)
mlp("iaf_cell", lambda n: norse.IAFCell(), lambda n: neuron(1.0, 1.0, "hard"), gain=0.8)
mlp(
    "iaf_reset",
    lambda n: norse.IAFCell(norse.IAFParameters(v_reset=constant(-0.25), v_th=constant(0.7))),
    lambda n: neuron(1.0, 0.7, "hard", v_reset=-0.25, v_init=-0.25),
    kind="TB",
)
mlp("iaf_time", lambda n: norse.IAF(), lambda n: neuron(1.0, 1.0, "hard"), over_time=True, gain=0.8)
