"""How far the states of integer neurons can get, whatever the spikes: a proof without data.

Intervals of all states are iterated through the steps. Each step is the neuron's own, run once per
number of spikes that it can give; the hull of the branches goes on (Cousot and Cousot, POPL 1977).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.bounds.arithmetic import BranchArithmetic, Extent
from snnquant.bounds.intervals import Interval
from snnquant.neurons.definition import NeuronModel, constants_of
from snnquant.neurons.simulate import along_channels, first_states
from snnquant.numerics import IntArray
from snnquant.ops.schema import LAST_SPIKES

Array = npt.NDArray[Any]
States = dict[str, Interval]
#: Steps after which a hull that still grows is widened to the limits of the state.
_MOST_STEPS = 512
#: Steps of a sequence that are followed one by one.
_MOST_KNOWN_STEPS = 4096


@dataclass(frozen=True)
class Reach:
    """What the integers of one layer of neurons can be.

    Attributes:
        output: spikes of any step, or the membrane of a read-out.
        membrane: after integration, at any step.
        states: by name, after the last step (after any step, where their number is open).
        needed: width in two's complement with which a neuron is never saturated, for each.
        settled: no more steps would reach further, or there are no more.
    """

    output: Interval
    membrane: Interval
    states: States
    needed: IntArray
    settled: bool

    @property
    def bits(self) -> int:
        """Width with which none is ever saturated."""
        return int(self.needed.max(initial=1))

    def fits(self, state_bits: int) -> bool:
        """Whether states of that width are proved never to saturate."""
        return self.settled and self.bits <= state_bits


def neuron_reach(
    model: NeuronModel,
    attributes: Mapping[str, int],
    current: Interval,
    constants: Mapping[str, Array],
    *,
    steps: int | None = None,
    states: Mapping[str, Interval] | None = None,
    recurrent_weight: Array | None = None,
) -> Reach:
    """Prove where the states of a layer of neurons stay.

    Args:
        model: the neuron.
        attributes: those of the integer op; the structural choices are among them.
        current: of each step, ``[T, 1, ...]``; of any step where ``T`` is 1.
        constants: by the names that ``step`` reads.
        steps: how many there are; None: any number.
        states: those before the first step; default: the initial constants.
        recurrent_weight: ``[N, N]``, over the flattened features.
    """
    shape = current.low.shape[1:]
    held = {k: along_channels(np.asarray(v, np.int64), shape) for k, v in constants.items()}
    now = _first_states(model, held, shape, states)
    if recurrent_weight is not None:
        given = (states or {}).get(LAST_SPIKES, Interval.of(np.zeros(shape, np.int64)))
        layer = _Layer(model, attributes, held, shape, recurrent_weight)
        return layer.run(current, now | {LAST_SPIKES: given}, steps)
    # Most neurons of a map are alike; each kind is looked at once.
    full = {name: np.broadcast_to(value, shape) for name, value in held.items()}
    table = [*current.low, *current.high, *full.values()]
    table += [side for state in now.values() for side in (state.low, state.high)]
    columns = np.stack([row.reshape(-1) for row in table])
    _, kinds, which = np.unique(columns, axis=1, return_index=True, return_inverse=True)

    def few(values: Array) -> Array:
        """Return one of each kind of neuron."""
        lead = values.shape[: values.ndim - len(shape)]
        return np.asarray(values.reshape(*lead, 1, -1)[..., kinds])

    each = {name: few(value) for name, value in full.items()}
    layer = _Layer(model, attributes, each, (1, len(kinds)), None)
    start = {name: state.map(few) for name, state in now.items()}
    found = layer.run(current.map(few), start, steps)

    def all_of(values: Array) -> Array:
        """Return every neuron of the map again."""
        kept = np.broadcast_to(values, (1, len(kinds)))[0]
        return np.asarray(kept[which.reshape(-1)].reshape(shape))

    return replace(
        found,
        output=found.output.map(all_of),
        membrane=found.membrane.map(all_of),
        states={name: state.map(all_of) for name, state in found.states.items()},
        needed=all_of(found.needed),
    )


class _Layer:
    """A layer of neurons whose steps run on intervals.

    Args:
        model: the neuron.
        attributes: those of the integer op.
        constants: by the names that ``step`` reads, each along a step.
        shape: of one step.
        recurrent_weight: ``[N, N]``, if there are any; the last spikes are then a state.
    """

    def __init__(
        self,
        model: NeuronModel,
        attributes: Mapping[str, int],
        constants: Mapping[str, Array],
        shape: tuple[int, ...],
        recurrent_weight: Array | None,
    ) -> None:
        self.model = model
        self.constants = constants_of(model, constants, attributes)
        self.wanted = Extent(shape)
        self.most_spikes = int(attributes.get("max_spikes", 1)) if model.spiking else 0
        self.branches = [
            BranchArithmetic.of(attributes, spikes, self.wanted)
            for spikes in range(self.most_spikes + 1)
        ]
        self.weight = recurrent_weight

    def step(self, current: Interval, states: States) -> tuple[Interval, Interval, States]:
        """Return what spikes, membranes, and states after the step can be."""
        own = {variable.name: states[variable.name] for variable in self.model.states}
        if self.weight is not None:
            current = current + _fed_back(states[LAST_SPIKES], self.weight)
        parts = []
        for ops in self.branches:
            ops.reached = True
            seen = current.map(np.copy)
            parts.append(self.model.step(ops, dict(own), seen, self.constants))
            if not ops.enough:
                break  # more spikes need a higher membrane still
        spikes = _hull([_where(v, Interval.of(output)) for output, _, v in parts])
        after = {
            name: _hull([_where(v, Interval.of(state[name])) for _, state, v in parts])
            for name in own
        }
        if self.weight is not None:
            after[LAST_SPIKES] = spikes
        return spikes, _hull([v for _, _, v in parts]), after

    def run(self, current: Interval, states: States, steps: int | None) -> Reach:
        """Return what any of the steps can reach, from these states on."""
        counters = {v.name for v in self.model.states if v.counter} | {LAST_SPIKES}
        for name in states.keys() - counters:
            self.wanted.add(states[name])
        if steps is None:
            current = Interval(current.low.min(axis=0)[None], current.high.max(axis=0)[None])
        same = len(current.low) == 1
        most = min(_MOST_STEPS if steps is None else steps, _MOST_KNOWN_STEPS)
        output, membrane, after = self.step(_at(current, 0), states)
        settled = most == steps == 1
        for t in range(1, most):
            # Of an open number of steps the hull of all before is what goes on.
            grown = _hulls(states, after) if steps is None else after
            if same and all(_same(grown[name], states[name]) for name in states):
                settled = True
                break
            states = grown
            spikes, v3, after = self.step(_at(current, 0 if same else t), states)
            output, membrane = output.hull(spikes), membrane.hull(v3)
        if steps is None:
            after = _hulls(states, after)
        if not settled and most != steps:
            after = {name: self.anything(name, state) for name, state in after.items()}
            spikes, membrane, _ = self.step(_at(current, 0), after)
            output = output.hull(spikes)
            return Reach(output, membrane, after, self.wanted.bits, settled=False)
        return Reach(output, membrane, after, self.wanted.bits, settled=True)

    def anything(self, name: str, state: Interval) -> Interval:
        """Return all that a state can hold."""
        ops = self.branches[0]
        if name == LAST_SPIKES:
            low, high = 0, self.most_spikes
        elif any(v.counter for v in self.model.states if v.name == name):
            low, high = 0, max(int(state.high.max(initial=0)), ops.high)
        else:
            low, high = ops.low, ops.high
        return Interval(np.full_like(state.low, low), np.full_like(state.high, high))


def _first_states(
    model: NeuronModel,
    constants: Mapping[str, Array],
    shape: tuple[int, ...],
    given: Mapping[str, Interval] | None,
) -> States:
    """Return the states before the first step."""
    if given is None:
        return {k: Interval.of(v) for k, v in first_states(model, constants, shape).items()}
    lows, highs = (
        first_states(model, constants, shape, end)
        for end in ({k: s.low for k, s in given.items()}, {k: s.high for k, s in given.items()})
    )
    return {name: Interval(low, highs[name]) for name, low in lows.items()}


def _at(current: Interval, step: int) -> Interval:
    return Interval(current.low[step], current.high[step])


def _where(v3: Interval, value: Interval) -> Interval:
    """Return a value of a branch, empty where the branch is."""
    low = np.where(v3.empty, 1, value.low)
    return Interval(low, np.where(v3.empty, 0, value.high))


def _hull(parts: list[Interval]) -> Interval:
    found = parts[0]
    for part in parts[1:]:
        found = found.hull(part)
    return found


def _hulls(a: States, b: States) -> States:
    return {name: interval.hull(b[name]) for name, interval in a.items()}


def _same(a: Interval, b: Interval) -> bool:
    return np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)


def _fed_back(spikes: Interval, weight: Array) -> Interval:
    """Return what the spikes of the last step add to the current."""
    matrix = np.asarray(weight, np.int64)
    positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
    low, high = (side.reshape(len(side), -1) for side in (spikes.low, spikes.high))
    return Interval(
        (low @ positive + high @ negative).reshape(spikes.low.shape),
        (high @ positive + low @ negative).reshape(spikes.low.shape),
    )
