"""Which states are one neuron at successive steps, and what a value is at another step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from snnquant.frontends.onnx.interpreter import Interpreter
from snnquant.frontends.onnx.polynomials import Poly
from snnquant.frontends.onnx.symbols import (
    STATIC,
    Atom,
    Bounded,
    Computed,
    Count,
    Pick,
    Source,
    Spike,
    Stack,
    State,
)


@dataclass(eq=False)
class Chain:
    """The membrane of one layer of neurons, step by step.

    Attributes:
        states: membrane per step; the first is of step :attr:`start`.
        start: step of the first, -1 where it comes from outside.
    """

    states: list[State] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Step of the first membrane."""
        return self.states[0].time

    @property
    def last(self) -> State:
        """Membrane at the last step."""
        return self.states[-1]

    @property
    def model(self) -> State:
        """Membrane at the last step at which it is compared: that step stands for all."""
        return next(state for state in reversed(self.states) if state.spikes)


def states_in(poly: Poly) -> Iterator[State]:
    """Yield the states that a polynomial holds, or whose spikes and bounds it holds."""
    for atom in sorted(poly.atoms(), key=lambda a: a.number):
        if isinstance(atom, State):
            yield atom
        elif isinstance(atom, (Spike, Count)):
            yield atom.state
        elif isinstance(atom, Bounded):
            yield from states_in(atom.of)


class Chains:
    """All chains of a graph, and the way from a value at one step to the same at another.

    Args:
        values: the interpreted graph.
    """

    def __init__(self, values: Interpreter) -> None:
        self.values = values
        self.spiking: list[Chain] = []
        self.of: dict[State, Chain] = {}
        self.live = _live_atoms(values)
        #: States whose spikes mean something.
        self.fires = {a.state for a in self.live if isinstance(a, (Spike, Count))}
        fires = self.fires
        #: What a silent state is at a step that the graph has no name for, once that is known.
        self.implicit: Callable[[State, int], Poly | None] = lambda state, steps: None
        carried = {other for state in values.states for other in states_in(state.definition)}
        # Where several go on from one state, the next is the one that fires, or goes on itself.
        for state in sorted(values.states, key=lambda s: (s not in fires, s not in carried)):
            before = self._before(state)
            if before is not None and before.later is None:
                state.follows, before.later = before, state
        for state in values.states:
            if state.follows is None and state in fires:
                self._follow(state)

    def _before(self, state: State) -> State | None:
        """Return the state of the same membrane one step before."""
        within = list(states_in(self.equation(state)))
        for other in within:
            # Under a bound stands a silent state of the same step.
            if other.time == state.time and other not in self.fires and other is not state:
                within += states_in(self.equation(other))
        found = [other for other in dict.fromkeys(within) if other.time == state.time - 1]
        spiking = [other for other in found if other in self.fires]
        if spiking:
            own = [other for other in spiking if other.later is None]
            return own[0] if len(own) == 1 else None
        if state in self.fires:
            return None
        silent = [other for other in found if other in self.equation(state).atoms()]
        return _membrane_of(silent)

    def equation(self, state: State) -> Poly:
        """Return what a state is, without the silent states of the same step between."""
        return self.opened(state.definition, state.time, state)

    def opened(self, poly: Poly, time: int, within: State | None = None) -> Poly:
        """Return a polynomial with its silent states of one step taken apart."""

        def parts(atom: Atom) -> Poly | None:
            silent = isinstance(atom, State) and atom.time == time and atom not in self.fires
            if silent and atom is not within and isinstance(atom, State):
                return self.opened(atom.definition, time, atom)
            return None

        return poly.replaced(parts)

    def spikes_of(self, state: State) -> list[Spike | Count]:
        """Return the kinds of spikes of a state that mean something."""
        found: list[Spike | Count] = [
            a for a in self.live if isinstance(a, (Spike, Count)) and a.state is state
        ]
        return sorted(found, key=lambda a: a.number)

    def _follow(self, first: State) -> None:
        chain = Chain([first])
        while chain.last.later is not None:
            chain.states.append(chain.last.later)
        self.spiking.append(chain)
        for state in chain.states:
            self.of[state] = chain

    def shift(self, poly: Poly, steps: int) -> Poly | None:
        """Return what a polynomial is ``steps`` steps later; None if the graph has no such value.

        What is the same at every step stays.
        """
        if steps == 0:
            return poly
        missing = False

        def moved(atom: Atom) -> Poly | None:
            nonlocal missing
            found = self._moved(atom, steps)
            missing |= found is None
            return found

        result = poly.replaced(moved)
        return None if missing else result

    def _moved(self, atom: Atom, steps: int) -> Poly | None:
        if atom.time == STATIC:
            return Poly.of(atom)
        if isinstance(atom, Pick):
            return self._moved_pick(atom, steps)
        if isinstance(atom, Source):
            return self.values.source(atom.name, atom.time + steps)
        if isinstance(atom, Computed):
            return self._moved_operation(atom, steps)
        if isinstance(atom, State):
            return self._moved_state(atom, steps)
        state = _later(getattr(atom, "state", None), steps)
        if state is None:
            return None
        if isinstance(atom, Spike):
            return self._moved_spike(atom, state, steps)
        if isinstance(atom, Count):
            return next(
                (
                    Poly.of(other)
                    for other in self.values.all_atoms(Count)
                    if other.state is state
                    and (other.divisor, other.offset, other.most)
                    == (atom.divisor, atom.offset, atom.most)
                ),
                None,
            )
        return None

    def _moved_state(self, atom: State, steps: int) -> Poly | None:
        state = _later(atom, steps)
        if state is not None:
            return Poly.of(state)
        if atom in self.fires:
            return None
        if atom.follows is None and atom.later is None:
            definition = self.shift(atom.definition, steps)
            return None if definition is None else self.values.known(definition)
        return self.implicit(atom, steps)

    def _moved_pick(self, atom: Pick, steps: int) -> Poly | None:
        if atom.of.time != STATIC:
            of = self.shift(atom.of, steps)
            index = atom.index
        else:
            of, index = atom.of, atom.index + steps
        if of is None:
            return None
        return self.values.known_pick(of, atom.axis, index)

    def _moved_operation(self, atom: Computed, steps: int) -> Poly | None:
        operands = []
        for operand in atom.operands:
            moved = self.shift(operand, steps) if isinstance(operand, Poly) else operand
            if moved is None and operand is not None:
                return None
            operands.append(moved)
        return self.values.known_operation(atom, tuple(operands))

    def _moved_spike(self, atom: Spike, state: State, steps: int) -> Poly | None:
        alone = self.spikes_of(state)
        if len(alone) == 1 and isinstance(alone[0], Spike):
            return Poly.of(alone[0]) if alone[0].on_equal == atom.on_equal else None
        threshold = self.shift(atom.threshold, steps)
        for spike in state.spikes:
            if spike.on_equal == atom.on_equal and (
                threshold is not None and spike.threshold.equals(threshold)
            ):
                return Poly.of(spike)
        return None


def _live_atoms(values: Interpreter) -> set[Atom]:
    """Return the atoms of which the outputs of the graph are made."""
    live: set[Atom] = set()
    pending = [
        atom
        for value in values.facts.model.graph.output
        if value.name in values.values
        for atom in values.values[value.name].atoms()
    ]
    while pending:
        atom = pending.pop()
        if atom in live:
            continue
        live.add(atom)
        for poly in _made_of(atom):
            pending.extend(poly.atoms())
    return live


def _made_of(atom: Atom) -> list[Poly]:
    """Return the polynomials that an atom refers to."""
    if isinstance(atom, Computed):
        return [operand for operand in atom.operands if isinstance(operand, Poly)]
    if isinstance(atom, Stack):
        return list(atom.entries)
    if isinstance(atom, State):
        return [atom.definition]
    if isinstance(atom, (Pick, Bounded)):
        return [atom.of]
    if isinstance(atom, Spike):
        return [Poly.of(atom.state), atom.threshold]
    state = getattr(atom, "state", None)
    return [] if state is None else [Poly.of(state)]


def _later(state: State | None, steps: int) -> State | None:
    while state is not None and steps:
        state = state.later if steps > 0 else state.follows
        steps -= 1 if steps > 0 else -1
    return state


def _membrane_of(states: list[State]) -> State | None:
    """Return which of the silent states that one goes on from is its own.

    A membrane goes on from itself and from its synaptic current, which goes on from itself only.
    """
    if len(states) < 2:
        return states[0] if states else None
    counts = [sum(1 for _ in states_in(state.definition)) for state in states]
    most = [state for state, n in zip(states, counts, strict=True) if n == max(counts)]
    if len(most) == 1:
        return most[0]
    return max(most, key=_earlier_weight)


def _earlier_weight(state: State) -> float:
    """Return how much a state holds of the currents of earlier steps: a membrane holds more."""
    latest = state.definition.time
    return sum(
        abs(float(c)) if isinstance(c, float) else float(abs(c).max())
        for product, c in state.definition.terms.items()
        if product and max(atom.time for atom in product) < latest
    )
