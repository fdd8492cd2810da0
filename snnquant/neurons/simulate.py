"""The reference: run one op over time on numpy arrays, step by step.

Integer ops run in int64 through :class:`IntegerArithmetic`; this is what every other backend is
compared with. Float ops run in the type of their current.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError
from snnquant.neurons.arithmetic import FloatArithmetic, IntegerArithmetic
from snnquant.neurons.definition import NeuronModel, constants_of
from snnquant.neurons.numpy_backend import NumpyBackend

Array = npt.NDArray[Any]


def integer_arithmetic(attributes: Mapping[str, int]) -> IntegerArithmetic:
    """Return the numpy arithmetic that an integer op's attributes describe."""
    return IntegerArithmetic.of_op(NumpyBackend(), attributes)


def along_channels(value: Array, step_shape: tuple[int, ...]) -> Array:
    """Shape a constant (one value, one per channel or per neuron) for one step ``[B, C, ...]``."""
    array = np.asarray(value)
    if array.size == 1:
        return array.reshape((1,) * len(step_shape))
    features = step_shape[1:]
    if features and array.shape == (features[0],):
        return array.reshape((1, features[0]) + (1,) * (len(features) - 1))
    if array.shape == features:
        return array.reshape((1, *features))
    raise ModelError(
        f"a constant has shape {list(array.shape)} but the neurons {list(features)}; "
        "give one value, one per channel, or one per neuron"
    )


def smallest_form(full: Array) -> Array:
    """Return a constant of neurons ``[C, ...]`` as ``[1]``, ``[C]`` or ``[C, ...]``, what suffices.

    :func:`along_channels` is the way back.
    """
    if (full == full.reshape(-1)[:1]).all():
        return np.array(full.reshape(-1)[:1])
    rows = full.reshape(len(full), -1)
    return np.array(rows[:, 0] if (rows == rows[:, :1]).all() else full)


def first_states(
    model: NeuronModel,
    constants: Mapping[str, Array],
    step_shape: tuple[int, ...],
    given: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Return the states before the first step, each of one step's shape.

    Args:
        model: the neuron.
        constants: by the names that ``step`` reads, each along a step (:func:`along_channels`).
        step_shape: ``[B, ...]``.
        given: states to start from; None: the initial constants.
    """
    dtype = next(iter(constants.values())).dtype
    found = {}
    for variable in model.states:
        if given is not None:
            start = np.asarray(given[variable.name], dtype)
        else:
            start = constants[variable.initial] if variable.initial else np.zeros(1, dtype)
        found[variable.name] = np.broadcast_to(start, step_shape)
    return found


def simulate(
    model: NeuronModel,
    arithmetic: FloatArithmetic | IntegerArithmetic,
    current: Array,
    constants: Mapping[str, Array],
    choices: Mapping[str, int],
    *,
    states: Mapping[str, Array] | None = None,
    recurrent_weight: Array | None = None,
) -> tuple[Array, dict[str, Array], Array]:
    """Run a neuron over ``current`` and return its outputs, final states and membranes.

    Args:
        model: the neuron.
        arithmetic: numpy arithmetic, float or integer.
        current: ``[T, B, ...]`` with at least one step.
        constants: by the names that ``step`` reads; scalar, per channel or per neuron. The initial
            values (``v_init``) may be absent where ``states`` are given.
        choices: the structural choices; defaults for those left out.
        states: states before the first step, each ``[B, ...]``; default: the initial constants.
        recurrent_weight: ``[N, N]``, from neuron to neuron, over the flattened features; the last
            spikes are then the state ``s``.

    Returns:
        Spikes (or membranes, for a read-out) ``[T, B, ...]``, states by name, membranes
        ``[T, B, ...]`` after integration. All in the working type.
    """
    exact = isinstance(arithmetic, IntegerArithmetic)
    work = np.asarray(current, np.int64) if exact else np.asarray(current)
    dtype = work.dtype
    step_shape = work.shape[1:]
    held = {k: along_channels(np.asarray(v, dtype), step_shape) for k, v in constants.items()}
    p = constants_of(model, held, choices)
    state: dict[str, Any] = first_states(model, held, step_shape, states)
    last = np.zeros(step_shape, dtype)
    if states is not None and "s" in states:
        last = np.asarray(states["s"], dtype)
    outputs = np.empty(work.shape, dtype)
    membranes = np.empty(work.shape, dtype)
    for t in range(work.shape[0]):
        seen = work[t]
        if recurrent_weight is not None:
            flat = last.reshape(step_shape[0], math.prod(step_shape[1:])) @ np.asarray(
                recurrent_weight, dtype
            )
            seen = seen + flat.reshape(step_shape)
        outputs[t], state, membranes[t] = model.step(arithmetic, state, seen, p)
        last = outputs[t]
    final = {name: np.broadcast_to(value, step_shape) for name, value in state.items()}
    if recurrent_weight is not None:
        final["s"] = last
    return outputs, final, membranes
