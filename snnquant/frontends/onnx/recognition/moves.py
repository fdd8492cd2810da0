"""What a value of one step is at another step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import (
    STATIC,
    Atom,
    Computed,
    Count,
    Pick,
    Source,
    Spike,
    State,
)

if TYPE_CHECKING:
    from snnquant.frontends.onnx.recognition.chains import Chains


class Moves:
    """Moves polynomials along time; what was found once is kept.

    Args:
        chains: tells membranes of successive steps.
    """

    def __init__(self, chains: Chains) -> None:
        self._chains = chains
        self._moved: dict[tuple[Atom, int], Poly | None] = {}
        self._named: dict[frozenset[tuple[int, ...]], list[tuple[State, Poly]]] | None = None

    def shift(self, poly: Poly, steps: int) -> Poly | None:
        """Return what a polynomial is ``steps`` steps later; None if the graph has no such value.

        What is the same at every step stays.
        """
        if steps == 0:
            return poly
        missing = False

        def moved(atom: Atom) -> Poly | None:
            nonlocal missing
            found = self._atom(atom, steps)
            missing |= found is None
            return found

        result = poly.replaced(moved)
        return None if missing else result

    def _atom(self, atom: Atom, steps: int) -> Poly | None:
        if atom.time == STATIC:
            return Poly.of(atom)
        key = (atom, steps)
        if key not in self._moved:
            self._moved[key] = self._new(atom, steps)
        return self._moved[key]

    def _new(self, atom: Atom, steps: int) -> Poly | None:
        if isinstance(atom, Pick):
            return self._pick(atom, steps)
        if isinstance(atom, Source):
            return self._chains.values.source(atom.name, atom.time + steps)
        if isinstance(atom, Computed):
            return self._operation(atom, steps)
        if isinstance(atom, State):
            return self._state(atom, steps)
        state = later(getattr(atom, "state", None), steps)
        if state is None:
            return None
        if isinstance(atom, Spike):
            return self._spike(atom, state, steps)
        if isinstance(atom, Count):
            kind = (atom.divisor, atom.offset, atom.most)
            for other in self._chains.spikes_of(state):
                if isinstance(other, Count) and (other.divisor, other.offset, other.most) == kind:
                    return Poly.of(other)
        return None

    def _state(self, atom: State, steps: int) -> Poly | None:
        state = later(atom, steps)
        if state is not None:
            return Poly.of(state)
        if not self._chains.opens(atom):
            return None
        found = self._chains.implicit(atom, steps)
        return None if found is None else self._known(found)

    def _known(self, poly: Poly) -> Poly:
        """Return a sum as the silent state that it is, if an operation takes such a state."""
        if self._named is None:
            self._named = {}
            taken = {
                operand.single
                for atom in self._chains.live
                if isinstance(atom, (Computed, Pick))
                for operand in (atom.operands if isinstance(atom, Computed) else (atom.of,))
                if isinstance(operand, Poly)
            }
            for state in taken:
                if isinstance(state, State) and self._chains.opens(state):
                    equation = self._chains.equation(state)
                    self._named.setdefault(equation.products(), []).append((state, equation))
        for state, equation in self._named.get(poly.products(), ()):
            if equation.equals(poly):
                return Poly.of(state)
        return poly

    def _pick(self, atom: Pick, steps: int) -> Poly | None:
        if atom.of.time != STATIC:
            of, index = self.shift(atom.of, steps), atom.index
        else:
            of, index = atom.of, atom.index + steps
        return None if of is None else self._chains.values.known_pick(of, atom.axis, index)

    def _operation(self, atom: Computed, steps: int) -> Poly | None:
        operands = []
        for operand in atom.operands:
            moved = self.shift(operand, steps) if isinstance(operand, Poly) else operand
            if moved is None and operand is not None:
                return None
            operands.append(moved)
        return self._chains.values.known_operation(atom, tuple(operands))

    def _spike(self, atom: Spike, state: State, steps: int) -> Poly | None:
        alone = self._chains.spikes_of(state)
        if len(alone) == 1 and isinstance(alone[0], Spike):
            return Poly.of(alone[0]) if alone[0].on_equal == atom.on_equal else None
        threshold = self.shift(atom.threshold, steps)
        for spike in state.spikes:
            if spike.on_equal == atom.on_equal and (
                threshold is not None and spike.threshold.equals(threshold)
            ):
                return Poly.of(spike)
        return None


def later(state: State | None, steps: int) -> State | None:
    """Return a membrane some steps later (or earlier), or None."""
    while state is not None and steps:
        state = state.later if steps > 0 else state.follows
        steps -= 1 if steps > 0 else -1
    return state
