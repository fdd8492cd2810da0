"""Which states are one neuron at successive steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from snnquant.frontends.onnx.recognition.flatten import flattened
from snnquant.frontends.onnx.recognition.interpreter import Interpreter
from snnquant.frontends.onnx.recognition.moves import Moves
from snnquant.frontends.onnx.recognition.polynomials import Poly, reduced
from snnquant.frontends.onnx.recognition.symbols import (
    STATIC,
    Atom,
    Bounded,
    Computed,
    Count,
    Pick,
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
        return next((s for s in reversed(self.states) if s.spikes), self.states[-1])


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
        self._spikes: defaultdict[State, list[Spike | Count]] = defaultdict(list)
        #: Computed thresholds, which membranes are compared with.
        self.thresholds: set[State] = set()
        for atom in sorted(self.live, key=lambda a: a.number):
            if isinstance(atom, (Spike, Count)):
                self._spikes[atom.state].append(atom)
            if isinstance(atom, Spike):
                self.thresholds |= {a for a in atom.threshold.atoms() if isinstance(a, State)}
        #: States whose spikes mean something.
        self.fires = set(self._spikes)
        self.thresholds -= self.fires
        #: What a silent state is at another step, by what kind of filter it is.
        self.implicit: Callable[[State, int], Poly | None] = lambda state, steps: None
        self._equations: dict[State, Poly] = {}
        self._moves = Moves(self)
        self._link()

    def _link(self) -> None:
        carried = {other for state in self.values.states for other in states_in(state.definition)}
        # Where several go on from one state, the next is the one that fires, or goes on itself.
        order = sorted(self.values.states, key=lambda s: (s not in self.fires, s not in carried))
        for state in order:
            before = self._before(state)
            if before is not None and before.later is None:
                state.follows, before.later = before, state
        for state in self.values.states:
            if state.follows is None and state in self.fires:
                self._follow(state)

    def _before(self, state: State) -> State | None:
        """Return the membrane one step before a state, if that goes on from one."""
        if state in self.thresholds:
            return None
        itself: list[State] = []
        by_spikes: list[State] = []
        pending, seen = [state.definition], {state}
        while pending:
            for product in pending.pop().terms:
                for atom in product:
                    other = getattr(atom, "state", atom)
                    if isinstance(atom, Bounded):
                        pending.append(atom.of)
                    elif other in self.fires and other.time == state.time - 1:
                        (itself if atom is other else by_spikes).append(other)
                    elif isinstance(atom, State) and self.opens(atom) and atom not in seen:
                        seen.add(atom)
                        if atom.time >= state.time - 1:
                            pending.append(atom.definition)
        for found in (itself, by_spikes) if state in self.fires else (itself,):
            own = [other for other in dict.fromkeys(found) if other.later is None]
            if own:
                return own[0] if len(own) == 1 else None
        return None

    def _follow(self, first: State) -> None:
        chain = Chain([first])
        while chain.last.later is not None:
            chain.states.append(chain.last.later)
        self.spiking.append(chain)
        for state in chain.states:
            self.of[state] = chain

    def opens(self, state: State) -> bool:
        """Whether a state is silent: a sum of what goes in, which need not have a name."""
        return state not in self.fires and state not in self.of and state not in self.thresholds

    def equation(self, state: State) -> Poly:
        """Return what a state is, in currents, spikes and membranes."""
        if state not in self._equations:
            poly = self.opened(state.definition)
            # A first membrane that is a current of all steps stands for that current later on.
            poly = poly.replaced(
                lambda a: (
                    a.definition
                    if isinstance(a, State) and is_steady(a) and a.time < state.time - 1
                    else None
                )
            )
            self._equations[state] = self._with_membrane(state, poly)
        return self._equations[state]

    def _with_membrane(self, state: State, poly: Poly) -> Poly:
        """Return an equation in terms of the membrane before, where it holds the parts of that.

        A graph that compares a share of a membrane, or its distance from the threshold, goes on
        from another value than the one that is compared.
        """
        before = state.follows
        if before is None or any(before in product for product in poly.terms):
            return poly
        earlier = self.opened(before.definition)
        shared = [p for p in earlier.terms if p in poly.terms and _time(p) != STATIC]
        if not shared:
            return poly
        product = max(shared, key=lambda p: float(np.abs(earlier.terms[p]).max()))
        with np.errstate(divide="ignore", invalid="ignore"):
            keep = reduced(np.nan_to_num(np.divide(poly.terms[product], earlier.terms[product])))
        return poly.minus(earlier.scaled(keep)) + Poly.of(before).scaled(keep)

    def opened(self, poly: Poly, *, thresholds: bool = False) -> Poly:
        """Return a polynomial with its silent states taken apart, and thresholds if wanted."""
        if thresholds:
            return flattened(poly, lambda s: s in self.thresholds or self.opens(s))
        return flattened(poly, self.opens)

    def spikes_of(self, state: State) -> list[Spike | Count]:
        """Return the kinds of spikes of a state that mean something."""
        return self._spikes.get(state, [])

    def shift(self, poly: Poly, steps: int) -> Poly | None:
        """Return what a polynomial is ``steps`` steps later; None if the graph has no such value.

        What is the same at every step stays.
        """
        return self._moves.shift(poly, steps)


def is_steady(state: State) -> bool:
    """Whether a membrane is nothing but a current that is the same at every step."""
    current = state.definition.single
    return current is not None and current.time == STATIC


def _time(product: tuple[Atom, ...]) -> int:
    return max((atom.time for atom in product), default=STATIC)


def states_in(poly: Poly) -> Iterator[State]:
    """Yield the states that a polynomial holds, or whose spikes and bounds it holds."""
    for atom in sorted(poly.atoms(), key=lambda a: a.number):
        if isinstance(atom, State):
            yield atom
        elif isinstance(atom, (Spike, Count)):
            yield atom.state
        elif isinstance(atom, Bounded):
            yield from states_in(atom.of)


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
        for poly in made_of(atom):
            pending.extend(poly.atoms())
    return live


def made_of(atom: Atom) -> list[Poly]:
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
