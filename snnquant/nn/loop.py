"""The loop over time, for every arithmetic that torch modules compute in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from snnquant.neurons import Constants, NeuronModel
from snnquant.ops.schema import LAST_SPIKES


def run_steps(
    model: NeuronModel,
    arithmetic: Any,
    currents: Iterable[Any],
    state: Mapping[str, Any],
    constants: Constants,
    recurrent: Callable[[Any], Any] | None,
) -> tuple[list[Any], dict[str, Any]]:
    """Run the definition's step over time, on whatever values the arithmetic takes.

    Args:
        model: the definition of the neuron.
        arithmetic: what the step computes with.
        currents: one value ``[B, ...]`` per step.
        state: states before the first step by name; with ``recurrent`` also the last spikes.
        constants: what the step reads.
        recurrent: gives the current of the last spikes; None: no recurrence.

    Returns:
        The output of each step, and the states after the last.
    """
    state = dict(state)
    outputs = []
    for seen in currents:
        if recurrent is not None:
            seen = seen + recurrent(state.pop(LAST_SPIKES))
        output, state, _ = model.step(arithmetic, state, seen, constants)
        if recurrent is not None:
            state[LAST_SPIKES] = output
        outputs.append(output)
    return outputs, state
