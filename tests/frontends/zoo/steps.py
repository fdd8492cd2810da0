"""Single-step graphs with states as inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from zoo.base import neuron, settle
from zoo.handwritten_cells import CELLS
from zoo.variant import VARIANTS, Variant, way

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
    ("soft", 1, 1.0),
    ("stbp", 2, 1.0),
    ("soft_delayed", 2, 1.0),
    ("where_reset", 1, 1.0),
    ("tet", 1, 1.0),
    ("cuba", 2, 0.7),
    ("clamped_below", 1, 1.0),
    ("adaptive_hard", 2, 1.0),
    ("refractory_counter", 2, 1.0),
    ("counts_floor", 1, 1.5),
]:

    def cell_step(name: str, label: str = label, count: int = count, gain: float = gain) -> Any:
        states = [(-1, 10)] * count + [(-1, 6)] * count
        return way(name, settle(CellStep(label, count), gain), (-1, 12), *states)

    VARIANTS.append(
        Variant(
            f"step/handwritten_{label}",
            cell_step,
            (CELLS[label][1],) * 2,
            optional=label not in ("soft", "stbp", "where_reset", "tet", "cuba"),
        )
    )


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
        (
            "leaky_subtract",
            lambda n: snn.Leaky(beta=0.9),
            1,
            neuron(0.9, 1.0, "soft", after_leak=True),
        ),
        (
            "leaky_zero",
            lambda n: snn.Leaky(beta=0.9, reset_mechanism="zero"),
            1,
            neuron(0.9, 1.0, "hard"),
        ),
        (
            "leaky_none",
            lambda n: snn.Leaky(beta=0.9, reset_mechanism="none"),
            1,
            neuron(0.9, 1.0, "none"),
        ),
        (
            "leaky_per_neuron",
            lambda n: snn.Leaky(beta=spread(n, 0.5, 0.9), threshold=spread(n, 0.6, 1.2)),
            1,
            None,
        ),
        (
            "synaptic",
            lambda n: snn.Synaptic(alpha=0.6, beta=0.8),
            2,
            neuron(0.8, 1.0, "soft", after_leak=True, alpha_syn=0.6),
        ),
        (
            "synaptic_zero",
            lambda n: snn.Synaptic(alpha=0.6, beta=0.8, reset_mechanism="zero"),
            2,
            neuron(0.8, 1.0, "hard", refractory=1, alpha_syn=0.6),
        ),
        (
            "leaky_now",
            lambda n: snn.Leaky(beta=0.9, reset_mechanism="zero", reset_delay=False),
            1,
            None,
        ),
    ]:
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
                (
                    neuron(0.5, 1.0, reset, v_reset=rest, leak_bias=rest / 2, equal=True),
                    neuron(1.0, 1.0, reset, v_reset=rest, equal=True),
                ),
            )
        )


def _norse() -> None:
    import norse.torch as norse
    from norse.torch.functional.lif import LIFFeedForwardState

    from zoo.norse_parts import lif_parameters

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
            lambda name: way(
                name, settle(Step(), 2.0), (-1, 12), (-1, 10), (-1, 10), (-1, 6), (-1, 6)
            ),
            None,
        )
    )


def of_frameworks() -> None:
    """Add the steps of the frameworks."""
    _snntorch()
    _spikingjelly()
    _norse()
