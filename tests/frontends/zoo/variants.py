"""Exports that are not a net unrolled over time: steps, loops, scans, naive and wrong ones.

Each is made by a function; what it must become is said as for the nets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import nn

from zoo.base import Neuron, neuron, settle
from zoo.export import export_module
from zoo.handwritten_cells import CELLS

WAYS = ("dynamo_fixed", "dynamo_dyn", "legacy_fixed", "legacy_dyn")


@dataclass(frozen=True)
class Variant:
    """One unusual export.

    Attributes:
        name: unique, ``<group>/<what>``.
        export: makes the model, by one of :data:`WAYS`.
        expected, refused, optional: as for ``ZooNet``.
        ways: the ways that make sense.
    """

    name: str
    export: Callable[[str], onnx.ModelProto]
    expected: tuple[Neuron | tuple[Neuron, ...], ...] | None = None
    refused: str = ""
    optional: bool = False
    ways: tuple[str, ...] = WAYS


VARIANTS: list[Variant] = []


def way(name: str, module: nn.Module, *shapes: tuple[int, ...], axis: int = 0, **more: Any) -> Any:
    """Export by the name of a way; shapes have the batch at ``axis``, as -1."""
    dynamic = name.endswith("_dyn")
    generator = torch.Generator().manual_seed(0)
    example = tuple(
        0.4 + 0.6 * torch.randn([3 if d == -1 and dynamic else abs(d) for d in shape], generator=generator)
        for shape in shapes
    )
    return export_module(
        module,
        example,
        dynamo=name.startswith("dynamo"),
        batch_axes=[axis] * len(shapes) if dynamic else None,
        **more,
    )


# -- one step, states in and out -------------------------------------------------------------------


class CellStep(nn.Module):
    """One step of two hand-written layers."""

    def __init__(self, label: str, states: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)
        self.cell, self.count = CELLS[label][0], states

    def forward(self, x: Any, *states: Any) -> Any:
        first, second = states[: self.count], states[self.count :]
        single = self.count == 1 and self.cell.__name__ == "tet"
        s, one = self.cell(self.a(x), first[0] if single else first)
        s, two = self.cell(self.b(s), second[0] if single else second)
        pack = (lambda state: (state,)) if single else tuple
        return (s, *pack(one), *pack(two))


for label, count, gain in [
    ("soft", 1, 1.0), ("stbp", 2, 1.0), ("soft_delayed", 2, 1.0), ("where_reset", 1, 1.0),
    ("tet", 1, 1.0), ("cuba", 2, 0.7), ("clamped_below", 1, 1.0), ("adaptive_hard", 2, 1.0),
    ("refractory_counter", 2, 1.0), ("counts_floor", 1, 1.5),
]:  # fmt: skip

    def cell_step(name: str, label: str = label, count: int = count, gain: float = gain) -> Any:
        states = [(-1, 10)] * count + [(-1, 6)] * count
        return way(name, settle(CellStep(label, count), gain), (-1, 12), *states)

    VARIANTS.append(Variant(f"step/handwritten_{label}", cell_step, (CELLS[label][1],) * 2,
                            optional=label not in ("soft", "stbp", "where_reset", "tet", "cuba")))  # fmt: skip


def snntorch_step(name: str, make: Callable[[int], Any], states: int) -> Any:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)
            self.na, self.nb = make(10), make(6)

        def forward(self, x: Any, *held: Any) -> Any:
            s, *one = self.na(self.a(x), *held[:states])
            s, *two = self.nb(self.b(s), *held[states:])
            return (s, *one, *two)

    return way(name, settle(Step(), 0.8), (-1, 12), *[(-1, 10)] * states, *[(-1, 6)] * states)


def _snntorch() -> None:
    import snntorch as snn

    from zoo.base import spread

    for label, make, states, found in [
        ("leaky_subtract", lambda n: snn.Leaky(beta=0.9), 1, neuron(0.9, 1.0, "soft", after_leak=True)),
        ("leaky_zero", lambda n: snn.Leaky(beta=0.9, reset_mechanism="zero"), 1, neuron(0.9, 1.0, "hard")),
        ("leaky_none", lambda n: snn.Leaky(beta=0.9, reset_mechanism="none"), 1, neuron(0.9, 1.0, "none")),
        ("leaky_per_neuron",
         lambda n: snn.Leaky(beta=spread(n, 0.5, 0.9), threshold=spread(n, 0.6, 1.2)), 1, None),
        ("synaptic", lambda n: snn.Synaptic(alpha=0.6, beta=0.8), 2,
         neuron(0.8, 1.0, "soft", after_leak=True, alpha_syn=0.6)),
        ("synaptic_zero", lambda n: snn.Synaptic(alpha=0.6, beta=0.8, reset_mechanism="zero"), 2,
         neuron(0.8, 1.0, "hard", refractory=1, alpha_syn=0.6)),
        ("leaky_now", lambda n: snn.Leaky(beta=0.9, reset_mechanism="zero", reset_delay=False), 1, None),
    ]:  # fmt: skip
        VARIANTS.append(
            Variant(
                f"step/snntorch_{label}",
                lambda name, m=make, k=states: snntorch_step(name, m, k),
                None if found is None else (found, found),
                optional=label in ("leaky_now", "synaptic_zero"),
            )
        )


def _spikingjelly() -> None:
    from spikingjelly.activation_based import functional, surrogate

    class Step(nn.Module):
        def __init__(self, v_reset: Any) -> None:
            super().__init__()
            self.a, self.b, self.v_reset = nn.Linear(12, 10), nn.Linear(10, 6), v_reset

        def forward(self, x: Any, v: Any, w: Any) -> Any:
            spike = surrogate.ATan()
            s, v = functional.lif_step(self.a(x), v, 2.0, False, 1.0, self.v_reset, spike)
            s, w = functional.if_step(self.b(s), w, 1.0, self.v_reset, spike)
            return s, v, w

    for label, v_reset in (("hard", 0.0), ("low", -0.2), ("soft", None)):
        rest = v_reset or 0.0
        reset = "soft" if v_reset is None else "hard"
        VARIANTS.append(
            Variant(
                f"step/spikingjelly_{label}",
                lambda name, v=v_reset: way(name, settle(Step(v)), (-1, 12), (-1, 10), (-1, 6)),
                (neuron(0.5, 1.0, reset, v_reset=rest, leak_bias=rest / 2, equal=True),
                 neuron(1.0, 1.0, reset, v_reset=rest, equal=True)),
            )  # fmt: skip
        )


def _norse() -> None:
    import norse.torch as norse
    from norse.torch.functional.lif import LIFFeedForwardState

    from zoo.norse_nets import lif_parameters

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(12, 10), nn.Linear(10, 6)
            self.na, self.nb = norse.LIFCell(lif_parameters()), norse.LICell()

        def forward(self, x: Any, v: Any, i: Any, w: Any, j: Any) -> Any:
            s, one = self.na(self.a(x), LIFFeedForwardState(v, i))
            y, two = self.nb(self.b(s), norse.LIState(w, j))
            return y, one.v, one.i, two.v, two.i

    VARIANTS.append(
        Variant(
            "step/norse_lif_li",
            lambda name: way(name, settle(Step(), 2.0), (-1, 12), (-1, 10), (-1, 10), (-1, 6), (-1, 6)),
            None,
        )
    )


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


@torch.jit.script
def scripted_lif(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """One neuron layer as a scripted function, as in SpikingJelly 0.0.0.0.14."""
    v = torch.zeros_like(x[0])
    outs = torch.zeros_like(x)
    for t in range(x.shape[0]):
        v = alpha * v + x[t]
        s = (v > 1.0).to(x.dtype)
        v = v - s
        outs[t] = s
    return outs


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
    return way(name, torch.jit.script(settle(module)), *shapes, axis=axis)


LEGACY, DYNAMO = WAYS[2:], WAYS[:2]
VARIANTS += [
    Variant("loop/scripted", lambda name: scripted(name, Looped(), (4, -1, 12), axis=1), LOOP, ways=LEGACY),
    Variant("loop/scripted_sum", lambda name: scripted(name, LoopedSum(), (-1, 12)), LOOP, ways=LEGACY),
    Variant("loop/scripted_parts", lambda name: way(name, settle(ScriptedParts()), (4, -1, 12), axis=1),
            (SOFT, SOFT), ways=LEGACY),
    Variant("loop/scan", lambda name: way(name, settle(Scanned()), (4, -1, 12), axis=1), LOOP, ways=DYNAMO),
    Variant("loop/scan_neuron", lambda name: way(name, settle(ScannedNeuron()), (4, -1, 12), axis=1),
            (SOFT, SOFT), ways=DYNAMO),
]  # fmt: skip

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
                module(0.4 + 0.6 * torch.randn(batch, 12, generator=torch.Generator().manual_seed(1)))
        return way(name, module, (-1, 12))

    return export


def _naive() -> None:
    import norse.torch as norse
    import snntorch as snn
    from spikingjelly.activation_based import layer
    from spikingjelly.activation_based import neuron as sj

    from zoo.norse_nets import box_parameters

    def snntorch_hidden() -> nn.Module:
        return settle(nn.Sequential(nn.Linear(12, 10), snn.Leaky(beta=0.9, init_hidden=True),
                                    nn.Linear(10, 6), snn.Leaky(beta=0.9, init_hidden=True)))  # fmt: skip

    def snntorch_synaptic() -> nn.Module:
        return settle(nn.Sequential(nn.Linear(12, 10), snn.Synaptic(alpha=0.6, beta=0.9, init_hidden=True),
                                    nn.Linear(10, 6), snn.Leaky(beta=0.9, init_hidden=True)))  # fmt: skip

    def spikingjelly() -> nn.Module:
        return settle(nn.Sequential(layer.Linear(12, 10), sj.LIFNode(tau=2.0, decay_input=False),
                                    layer.Linear(10, 6), sj.IFNode()))  # fmt: skip

    class NorseOnce(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = norse.SequentialState(
                nn.Linear(12, 10), norse.LIFBoxCell(box_parameters(0.4)), nn.Linear(10, 6),
                norse.LIFBoxCell(box_parameters(0.4)),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return self.net(x)[0]

    for label, make in [
        ("held", lambda: settle(Held())),
        ("snntorch_hidden", snntorch_hidden),
        ("snntorch_synaptic", snntorch_synaptic),
        ("spikingjelly", spikingjelly),
    ]:
        VARIANTS.append(Variant(f"naive/{label}", naive(make, False), refused="only the first step"))
        VARIANTS.append(Variant(f"naive/{label}_stale", naive(make, True), refused="a stale state"))
    VARIANTS.append(Variant("naive/norse_once", naive(lambda: settle(NorseOnce(), 2.0), False),
                            refused="only the first step"))  # fmt: skip


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
    Variant("wrong/training_norm", in_training("norm"), refused="training mode"),
    Variant("wrong/baked_batch", lambda name: way(name, settle(Baked(False)), (-1, 12)), (SOFT,),
            refused="a batch size is baked in", optional=True, ways=("legacy_dyn",)),
    Variant("wrong/baked_state", lambda name: way(name, settle(Baked(True)), (-1, 12)),
            refused="a batch size is baked in", ways=("legacy_dyn",)),
    Variant("wrong/baked_reshape", lambda name: way(name, settle(BakedReshape()), (3, -1, 1, 6, 6), axis=1),
            (SOFT, SOFT), optional=True, ways=("legacy_dyn", "legacy_fixed", "dynamo_fixed")),
]  # fmt: skip


def variants() -> list[Variant]:
    """Return all of them; the frameworks are imported at the first call."""
    if not any(v.name.startswith("naive/") for v in VARIANTS):
        _snntorch()
        _spikingjelly()
        _norse()
        _naive()
    return VARIANTS
