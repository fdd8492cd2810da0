"""Sums that hold several steps: when they are states, of which step, and which are the same."""

from __future__ import annotations

from snnquant.frontends.onnx.recognition.binary import is_binary
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import STATIC, Bounded, Count, Shaped, Spike, State

#: Atoms that hold a state.
RECURRENT = (State, Spike, Bounded, Count, Shaped)


def in_spikes(poly: Poly) -> Poly | None:
    """Return a polynomial of few spikes, sums that have a name taken apart; None if it is none."""
    if is_binary(poly):
        return poly
    if any(not a.binary and not isinstance(a, State) for a in poly.atoms()):
        return None
    if any(isinstance(a, State) and not is_binary(a.definition) for a in poly.atoms()):
        return None
    opened = poly.replaced(lambda a: a.definition if isinstance(a, State) else None)
    return opened if is_binary(opened) else None


def is_mixed(poly: Poly) -> bool:
    """Whether a polynomial holds atoms of several steps, or a state beside a static current."""
    times = {atom.time for atom in poly.atoms()}
    if STATIC in times and any(isinstance(atom, RECURRENT) for atom in poly.atoms()):
        return True
    return len(times - {STATIC}) > 1


def is_recurrent(poly: Poly) -> bool:
    """Whether a polynomial holds states or spikes, rather than currents only."""
    return any(isinstance(atom, RECURRENT) for atom in poly.atoms())


def state_time(definition: Poly) -> int:
    """Return the step of a state: one after the states that it goes on from.

    Spikes alone may be a current of this step (a layer without a synapse in front), or the reset of
    the step before (a membrane that keeps nothing): then the currents beside them are of no step.
    """
    atoms = definition.atoms()
    if len(atoms) == 1 and isinstance(next(iter(atoms)), Bounded):
        return definition.time
    earlier = [a.time + 1 for a in atoms if isinstance(a, (State, Bounded))]
    now = [a.time for a in atoms if a.time != STATIC]
    spikes = {a for a in atoms if isinstance(a, (Spike, Count))}
    last = max((a.time for a in spikes), default=STATIC)
    beside = atoms - spikes
    if spikes and not earlier and beside and all(a.time < last for a in beside):
        earlier = [last + 1]
    return max([*earlier, *now], default=0)


def after_reset(poly: Poly) -> tuple[Spike, float] | None:
    """Return the spikes and the value that they leave, if a membrane was set to it just now.

    That is ``h*(1 - s) + s*value`` of a membrane and its own spikes in one step.
    """
    spikes = [a for a in poly.atoms() if isinstance(a, Spike)]
    if len(spikes) != 1 or spikes[0].threshold.atoms():
        return None
    (spike,) = spikes
    left = poly.coefficient(spike)
    whole = poly.without((spike,))
    expected = Poly.of(spike.state) - Poly.of(spike.state) * Poly.of(spike)
    return (spike, left) if isinstance(left, float) and whole.equals(expected) else None


def is_stronger(first: Spike, second: Spike) -> bool:
    """Whether a state that is above one constant threshold is above another too."""
    if first.threshold.atoms() or second.threshold.atoms():
        return False
    a, b = first.threshold.coefficient(), second.threshold.coefficient()
    if not isinstance(a, float) or not isinstance(b, float):
        return False
    return a > b or (a == b and second.on_equal and not first.on_equal)


def state_of(poly: Poly) -> tuple[State, float, float] | None:
    """Return (state, factor, constant) if a polynomial is a multiple of a state and a constant."""
    products = [product for product in poly.terms if product]
    constant = poly.coefficient()
    if len(products) != 1 or len(products[0]) != 1 or not isinstance(constant, float):
        return None
    atom, factor = products[0][0], poly.terms[products[0]]
    if not isinstance(atom, State) or not isinstance(factor, float):
        return None
    return atom, factor, constant


def leading(poly: Poly) -> float:
    """Return the number by which a polynomial is divided to compare it with its multiples."""
    products = [p for p, c in poly.terms.items() if p and isinstance(c, float)]
    if not products:
        return 1.0
    first = max(products, key=lambda p: (max(a.time for a in p), [-a.number for a in p]))
    found = poly.terms[first]
    return found if isinstance(found, float) else 1.0
