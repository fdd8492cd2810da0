"""Leaks in integers: what their rounding adds up to, and how to make up for it.

A decay of ``k / 2**m`` rounds at every step. Where that errs to one side by ``e`` steps on average,
a membrane comes to lie ``e / (1 - alpha)`` steps beside the real one, whatever it is fed, and so it
lies from the first step on if it starts there. All that the membrane is compared with, or set to,
may be moved by as much instead: then the error is gone on average, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snnquant.lowering.constants import along_features, quantized_constant
from snnquant.neurons import Parameter
from snnquant.neurons.dynamics import ALPHA, ALPHA_SYN, LEAK_BIAS, V_INIT, V_RESET, V_THRESHOLD
from snnquant.numerics import FloatArray, IntArray, Rounding
from snnquant.ops.schema import OpSchema
from snnquant.target import Target

#: Constants that lie on the membrane's axis, so that they move with it.
_LEVELS = (V_THRESHOLD.name, V_RESET.name, V_INIT.name)
#: Neurons all of whose states these constants, and the leaks below, account for.
_CENTRED = ("LIF", "CubaLIF")


def centred(
    real: Mapping[str, FloatArray], share: float, scale: FloatArray, target: Target, rank: int
) -> dict[str, FloatArray]:
    """Return the parameters of a neuron with its levels moved as its membrane is.

    Args:
        real: parameters by name.
        share: of the way; 1: to where rounding moves the membrane.
        scale: membrane scale, broadcastable along the features.
        target: arithmetic profile.
        rank: number of feature axes.
    """
    moved = share * membrane_offset(real, scale, target, rank) * scale
    levels = {name: along_features(real[name], rank) + moved for name in _LEVELS if name in real}
    return {**real, **levels}


def can_be_centred(schema: OpSchema, target: Target, *, soft: bool) -> bool:
    """Whether the levels of a neuron may be moved.

    Not where states or membranes go out, and not where the one threshold is subtracted, too.
    """
    if schema.stateful or schema.with_membrane or (soft and target.threshold == "rounded"):
        return False
    return schema.neuron.name in _CENTRED


def mean_error(multiplier: IntArray, shift: int, rounding: Rounding) -> FloatArray:
    """Return by how much ``multiplier * v / 2**shift`` is rounded up, on average over all ``v``.

    The fractions that it can have are the ``p - 1`` multiples of ``1 / p``, and 0, for a power of
    two ``p``. Towards zero it depends on the sign of the membrane, which is not known: 0.
    """
    period = 2**shift / np.gcd(multiplier, 2**shift)
    floored = -(period - 1) / (2 * period)
    if rounding is Rounding.FLOOR:
        return np.asarray(floored)
    if rounding is Rounding.CEIL:
        return np.asarray(-floored)
    if rounding is Rounding.NEAREST:
        return np.asarray(np.where(period > 1, 0.5 + floored, 0.0))
    return np.zeros(np.shape(multiplier))


def membrane_offset(
    real: Mapping[str, FloatArray], scale: FloatArray, target: Target, rank: int
) -> FloatArray:
    """Return by how many steps a membrane lies too high because leak and leak bias are rounded.

    Args:
        real: parameters of a neuron by name.
        scale: membrane scale, broadcastable along the features.
        target: arithmetic profile.
        rank: number of feature axes.
    """

    def integers(parameter: Parameter) -> IntArray:
        held = along_features(real[parameter.name], rank)
        return quantized_constant(parameter, held, scale, target, False)

    def error_of(multiplier: IntArray) -> FloatArray:
        return mean_error(multiplier, target.leak_shift, target.leak_rounding)

    error = integers(LEAK_BIAS) - along_features(real[LEAK_BIAS.name], rank) / scale
    # More than rounding: it is saturated, and nothing is known of the membrane.
    error = np.where(np.abs(error) <= 1, error, 0.0)
    if ALPHA_SYN.name in real:
        fed = integers(ALPHA_SYN)
        error = error + _at_rest(error_of(fed), fed, target)
    decay = integers(ALPHA)
    return _at_rest(error + error_of(decay), decay, target)


def _at_rest(error: FloatArray, multiplier: IntArray, target: Target) -> FloatArray:
    """Return what an error per step adds up to; without a leak it has no rest."""
    unit = 2**target.leak_shift
    left = np.where(multiplier < unit, 1 - multiplier / unit, np.inf)
    return np.asarray(error / left)
