"""The integers of synapses and neurons at a scale that is chosen, for whoever writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import NumericalError
from snnquant.lowering.constants import along_features, quantized_constant
from snnquant.lowering.flow import Flow
from snnquant.lowering.terms import Term
from snnquant.neurons import NeuronModel
from snnquant.numerics import INT32, FloatArray, IntArray, round_to_int
from snnquant.rounding.weight_grid import quantize_weight
from snnquant.target import Target


@dataclass(frozen=True)
class SynapseIntegers:
    """A synapse in integers: ``current = gain * (weight applied to the input) + bias``.

    Attributes:
        weight: integers in the shape of the real weights.
        gain: power of two.
        bias: one per output channel.
        scale: real value of one integer step of the current, per output channel.
        bound: largest magnitude that the current can have.
    """

    weight: IntArray
    gain: int
    bias: IntArray
    scale: FloatArray
    bound: int


def synapse_integers(
    name: str,
    weight: FloatArray,
    bias: FloatArray | None,
    source: Flow,
    scale: FloatArray,
    gain: int,
    *,
    axis: int,
    bits: int,
    decided: Term | None = None,
) -> SynapseIntegers:
    """Quantize a synapse.

    Args:
        name: for messages.
        weight: real weights.
        bias: real biases, one or one per output channel.
        source: flow of the input (INTEGER).
        scale: of the current, one value or one per output channel.
        gain: power of two of the weights.
        axis: axis of ``weight`` that counts output channels.
        bits: width of the weights.
        decided: may hold integers, and what is added to the bias.

    Raises:
        NumericalError: the current can leave 32 bits.
    """
    channels = weight.shape[axis]
    each = np.broadcast_to(scale.reshape(-1), (channels,))
    along = [1] * weight.ndim
    along[axis] = -1
    if decided is not None and decided.integers is not None:
        integers = from_rows(decided.integers, weight.shape, axis)
    else:
        integers = quantize_weight(weight * source.factor, gain * each.reshape(along), bits)
    real = np.zeros(channels) if bias is None else np.broadcast_to(bias.reshape(-1), each.shape)
    if decided is not None and decided.bias_shift is not None:
        real = real + decided.bias_shift
    offsets = INT32.saturate(round_to_int(real / each))
    bound = int((gain * sum_bound(integers, axis, source.reach) + np.abs(offsets)).max(initial=0))
    if bound > INT32.high:
        raise NumericalError(
            f"the current of '{name}' can reach {bound}, beyond 32 bits; "
            "use fewer weight or input bits"
        )
    return SynapseIntegers(integers, gain, offsets, each, bound)


def to_rows(weight: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """Return weights as ``[channels, weights]``."""
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)


def from_rows(rows: npt.NDArray[Any], shape: tuple[int, ...], axis: int) -> npt.NDArray[Any]:
    """Return ``[channels, weights]`` in the shape of the weights again."""
    moved = [shape[axis], *(size for k, size in enumerate(shape) if k != axis)]
    return np.moveaxis(rows.reshape(moved), 0, axis)


def sum_bound(integers: IntArray, axis: int, reach: int) -> IntArray:
    """Return the largest magnitude that any partial sum can have, per output channel."""
    rest = tuple(k for k in range(integers.ndim) if k != axis)
    return np.asarray(np.abs(integers).sum(axis=rest) * reach, np.int64)


def aligned_scale(scale: FloatArray, rank: int) -> FloatArray:
    """Shape a membrane scale to broadcast along ``rank`` feature axes; 0: one value for all."""
    return scale.reshape((1,) * (rank - scale.ndim) + scale.shape) if rank else scale[:1]


def neuron_integers(
    model: NeuronModel,
    real: Mapping[str, FloatArray],
    scale: FloatArray,
    target: Target,
    *,
    rank: int,
    fire_on_equal: bool,
) -> dict[str, IntArray]:
    """Quantize the constants of a neuron.

    Args:
        model: definition of the neuron.
        real: real parameters by name; those that only set initial states may be absent.
        scale: membrane scale, see :func:`aligned_scale`.
        target: arithmetic profile.
        rank: number of feature axes.
        fire_on_equal: the float neuron compares with ``>=``.

    Returns:
        Integers by parameter name, each broadcastable along the features.
    """
    return {
        parameter.name: quantized_constant(
            parameter, along_features(real[parameter.name], rank), scale, target, fire_on_equal
        )
        for parameter in model.parameters
        if parameter.name in real
    }


def recurrent_integers(
    weight: FloatArray,
    scale: FloatArray,
    gain: int,
    bits: int,
    features: tuple[int, ...] | None,
) -> IntArray:
    """Quantize recurrent weights ``[N, N]`` on the scale of the neurons that they lead to.

    Args:
        weight: real weights, row: from, column: to.
        scale: current scale along the features.
        gain: power of two of the weights.
        bits: width of the weights.
        features: shape of one sample at one step, where known.
    """
    to = scale.reshape(-1)
    if scale.size > 1 and features is not None:
        to = np.broadcast_to(scale, features).reshape(-1)
    return quantize_weight(weight, gain * to, bits)
