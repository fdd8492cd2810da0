"""How far the states of integer neurons can get, whatever the spikes: a proof without data.

Intervals of all states are iterated through the steps. Each step is the neuron's own, run once per
number of spikes that it can give; the hull of the branches goes on (Cousot and Cousot, POPL 1977).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.bounds.arithmetic import BranchArithmetic
from snnquant.bounds.intervals import Interval
from snnquant.neurons.definition import NeuronModel, constants_of
from snnquant.neurons.simulate import along_channels

Array = npt.NDArray[Any]
#: Steps after which a hull that still grows is widened to the limits of the state.
_MOST_STEPS = 512


@dataclass(frozen=True)
class Reach:
    """What the integers of one layer of neurons can be.

    Attributes:
        output: spikes, or the membrane of a read-out.
        membrane: after integration, where it is largest.
        states: by name, after any step.
        saturates: some state can reach the limits of its width, so that it may have been cut.
    """

    output: Interval
    membrane: Interval
    states: dict[str, Interval]
    saturates: bool

    @property
    def bits(self) -> int:
        """Width in two's complement that holds membrane and states."""
        kept = (self.membrane, *self.states.values())
        low = min(int(interval.low.min(initial=0)) for interval in kept)
        high = max(int(interval.high.max(initial=0)) for interval in kept)
        return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1


def neuron_reach(
    model: NeuronModel,
    attributes: Mapping[str, int],
    current: Interval,
    constants: Mapping[str, Array],
    choices: Mapping[str, int],
    *,
    steps: int | None = None,
    states: Mapping[str, Interval] | None = None,
    recurrent_weight: Array | None = None,
) -> Reach:
    """Prove where the states of a layer of neurons stay.

    Args:
        model: the neuron.
        attributes: those of the integer op.
        current: of any step, ``[1, ...]``.
        constants: by the names that ``step`` reads.
        choices: the structural choices.
        steps: how many there are; None: any number.
        states: those before the first step; default: the initial constants.
        recurrent_weight: ``[N, N]``, over the flattened features.
    """
    shape = current.low.shape
    held = {k: along_channels(np.asarray(v, np.int64), shape) for k, v in constants.items()}
    p = constants_of(model, held, choices)
    most = int(choices.get("max_spikes", 1)) if model.spiking else 0
    branches = [BranchArithmetic.of(attributes, spikes) for spikes in range(most + 1)]
    now = {}
    for variable in model.states:
        if states is not None:
            start: Any = states[variable.name]
        else:
            start = held[variable.initial] if variable.initial else np.zeros(1, np.int64)
        known = Interval.of(start)
        now[variable.name] = Interval(
            np.broadcast_to(known.low, shape), np.broadcast_to(known.high, shape)
        )
    last = Interval.of(np.zeros(shape, np.int64))
    if states is not None and "s" in states:
        last = states["s"]
    output = membrane = None
    reached = dict(now)
    limit = min(steps, _MOST_STEPS) if steps is not None else _MOST_STEPS
    settled = False
    for _ in range(limit):
        seen = current if recurrent_weight is None else current + _fed_back(last, recurrent_weight)
        parts = []
        for ops in branches:
            part = model.step(ops, dict(now), Interval(seen.low.copy(), seen.high.copy()), p)
            parts.append(part)
            if not ops.reached:
                break  # more spikes need a higher membrane still
        last = _hull([_where(v, Interval.of(out)) for out, _, v in parts])
        v3 = _hull([v for _, _, v in parts])
        now = {
            name: _hull([_where(v, Interval.of(state[name])) for _, state, v in parts])
            for name in now
        }
        output = last if output is None else output.hull(last)
        membrane = v3 if membrane is None else membrane.hull(v3)
        grown = {name: reached[name].hull(interval) for name, interval in now.items()}
        settled = all(_same(grown[name], reached[name]) for name in grown)
        reached = grown
        if settled and steps is None:
            break
        if steps is None:
            now = dict(reached)  # of any number of steps the hull is what goes on
    if output is None or membrane is None:
        raise ValueError("a proof needs a step")
    low, high = branches[0].low, branches[0].high
    if not settled and (steps is None or steps > limit):
        everything = Interval(np.full(shape, low), np.full(shape, high))
        reached = dict.fromkeys(reached, everything)
        membrane = everything
    kept = (membrane, *reached.values())
    cut = any((k.low <= low).any() or (k.high >= high).any() for k in kept)
    return Reach(output, membrane, reached, cut)


def _where(v3: Interval, value: Interval) -> Interval:
    """Return a value of a branch, empty where the branch is."""
    low = np.where(v3.empty, 1, value.low)
    return Interval(low, np.where(v3.empty, 0, value.high))


def _hull(parts: list[Interval]) -> Interval:
    found = parts[0]
    for part in parts[1:]:
        found = found.hull(part)
    return found


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
