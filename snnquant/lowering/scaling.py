"""Real factors on integers by whole numbers alone: a multiplier and a right shift, per channel.

``clamp((sum(x * multiplier) + offset + 2**(shift - 1)) >> shift, low, high)`` is the sum times its
real factors, rounded to the nearest integer (ties go up). Multipliers and shifts are chosen here,
in float64; what is computed with them are integers below 2**53, which every engine has exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnquant.errors import NumericalError
from snnquant.numerics import INT32, FloatArray, IntArray, IntRange

#: Bits of the sum of products, and of the limits before the shift; together they stay below 2**53.
_MOST = 51


@dataclass(frozen=True)
class Scaling:
    """A rounded, limited sum of integers times real factors.

    Attributes:
        multipliers: of every summand; all arrays broadcast against the values' last axes.
        offset: added to the sum before it is shifted.
        shift: bits of the right shift.
        limits: of the result.
    """

    multipliers: tuple[IntArray, ...]
    offset: IntArray
    shift: IntArray
    limits: IntRange

    @property
    def divisor(self) -> IntArray:
        """What the shift divides by."""
        return np.asarray(np.left_shift(1, self.shift), np.int64)

    @property
    def start(self) -> IntArray:
        """What is added for offset, rounding and the lower limit, below which all is negative."""
        half = self.divisor // 2
        return np.asarray(self.offset + half - self.limits.low * self.divisor, np.int64)

    def of(self, *values: IntArray) -> IntArray:
        """Return what the integers of the summands become."""
        total = self.start
        for value, multiplier in zip(values, self.multipliers, strict=True):
            total = total + np.asarray(value, np.int64) * multiplier
        above = np.maximum(total, 0) // self.divisor
        span = self.limits.high - self.limits.low
        return np.asarray(np.minimum(above, span) + self.limits.low, np.int64)


def choose_scaling(
    factors: Sequence[FloatArray],
    reaches: Sequence[int],
    limits: IntRange,
    offset: FloatArray | None = None,
) -> Scaling:
    """Return the finest multipliers of 32 bits with which all sums stay below 2**53.

    Args:
        factors: real factor of every summand, all to be broadcast against each other.
        reaches: largest magnitude of the integers of every summand.
        limits: of the result.
        offset: real number of steps to add.

    Raises:
        NumericalError: a factor is so large that what it makes is not exact.
    """
    added = np.zeros(1) if offset is None else np.asarray(offset, np.float64)
    shape = np.broadcast_shapes(added.shape, *(np.shape(factor) for factor in factors))
    spread = [np.broadcast_to(np.asarray(f, np.float64), shape) for f in factors]
    added = np.broadcast_to(added, shape)
    # Any shift serves where all factors are 0.
    tiny = 2.0**-_MOST
    largest = np.max([np.full(shape, tiny), *(np.abs(f) for f in spread)], axis=0)
    total = np.abs(added) + sum(np.abs(f) * r for f, r in zip(spread, reaches, strict=True))
    span = float(limits.high - limits.low + 1)
    room = np.min(
        [
            np.floor(np.log2(INT32.high / largest)),
            _MOST - np.ceil(np.log2(np.maximum(total, tiny))) - 1,
            np.full(shape, _MOST - np.ceil(np.log2(span))),
        ],
        axis=0,
    )
    shift = np.clip(room, 0, _MOST).astype(np.int64)
    if (total >= 2.0**_MOST).any():
        raise NumericalError(
            f"integers up to {max(reaches)} would be multiplied by {float(largest.max()):.6g}, "
            "beyond 2**53; calibrate on samples on which these values are not all almost 0"
        )
    multipliers = tuple(_scaled(factor, shift) for factor in spread)
    return Scaling(multipliers, _scaled(added, shift), shift, limits)


def _scaled(values: FloatArray, shift: IntArray) -> IntArray:
    """Return ``values * 2**shift``, rounded."""
    return np.rint(np.ldexp(values, shift.astype(np.int32))).astype(np.int64)
