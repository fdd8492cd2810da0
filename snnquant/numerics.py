"""Integer ranges, the only rounding of real numbers to integers, and exact thresholds.

Scales and constants are computed once, in float64, here; everything behind them sees integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from snnquant.errors import NumericalError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Every integer below this bound is exact in a float32, so sums under it may run in float32.
FLOAT32_EXACT = 2**24
#: The same for float64.
FLOAT64_EXACT = 2**53


class Rounding(IntEnum):
    """How a right shift by ``n`` bits rounds; the numbers are the ops' ``leak_rounding``."""

    NEAREST = 0
    """``(x + 2**(n-1)) >> n``: ties go up."""
    FLOOR = 1
    """``x >> n``."""
    TOWARD_ZERO = 2
    """Truncation, as C's division does."""
    CEIL = 3
    """``(x + 2**n - 1) >> n``; of ``x = v * (2**n - 1)`` that is ``v - (v >> n)``."""


@dataclass(frozen=True)
class IntRange:
    """The integers ``low .. high``, both included."""

    low: int
    high: int

    @classmethod
    def signed(cls, bits: int) -> IntRange:
        """Return the two's complement range of ``bits`` bits."""
        return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def saturate(self, values: npt.NDArray[np.int64] | int) -> IntArray:
        """Return ``values`` limited to the range, as int64."""
        return np.clip(np.asarray(values, np.int64), self.low, self.high)


INT32 = IntRange.signed(32)
INT64 = IntRange.signed(64)


def require_finite(values: npt.ArrayLike, what: str) -> FloatArray:
    """Return ``values`` as float64; NaN or infinity raises NumericalError naming ``what``."""
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise NumericalError(f"{what} holds NaN or infinite values; repair or retrain the model")
    return array


def round_to_int(values: npt.ArrayLike) -> IntArray:
    """Round real numbers to the nearest integer, ties to even, as int64.

    Values beyond int64 are limited to +-2**62, which lies outside every state width, so that a
    saturation that follows still sees the right side.
    """
    return np.clip(np.rint(np.asarray(values, np.float64)), -(2.0**62), 2.0**62).astype(np.int64)


def quantize(values: npt.ArrayLike, scale: npt.ArrayLike, limits: IntRange) -> IntArray:
    """Return ``clamp(round(values / scale), limits)`` as int64, the seed's linear map."""
    ratio = np.asarray(values, np.float64) / np.asarray(scale, np.float64)
    return limits.saturate(round_to_int(ratio))


def quantize_threshold(
    threshold: npt.ArrayLike, scale: npt.ArrayLike, *, fire_on_equal: bool
) -> IntArray:
    """Return the integer ``fire_above`` for which ``v > fire_above`` is the real comparison.

    ``v * scale > threshold`` holds for the integers above ``floor(threshold / scale)``, and
    ``v * scale >= threshold`` for those above ``ceil(threshold / scale) - 1``. The quotient is
    taken over the rationals: a rounded one is off by one where it lands on an integer.

    Args:
        threshold: real thresholds; any shape that broadcasts with ``scale``.
        scale: real value of one integer step, positive.
        fire_on_equal: the neuron fires at ``v == threshold`` too (``>=``).
    """
    theta, step = np.broadcast_arrays(
        np.asarray(threshold, np.float64), np.asarray(scale, np.float64)
    )
    bound = 2**62
    out = np.empty(theta.shape, np.int64)
    for index in np.ndindex(theta.shape):
        ratio = Fraction(float(theta[index])) / Fraction(float(step[index]))
        exact = (
            -((-ratio.numerator) // ratio.denominator) - 1 if fire_on_equal else ratio.__floor__()
        )
        out[index] = min(max(exact, -bound), bound)
    return out


def quantize_multiplier(alpha: npt.ArrayLike, shift: int, what: str = "alpha") -> IntArray:
    """Return ``k`` of ``alpha ~ k / 2**shift`` for decays in [0, 1]; 1 is exactly ``2**shift``."""
    return round_to_int(_decays(alpha, what) * 2.0**shift)


def quantize_shift(alpha: npt.ArrayLike, shift: int, what: str = "alpha") -> IntArray:
    """Return ``k = 2**shift - 2**(shift - s)`` of the decay ``1 - 2**-s`` most like ``alpha``.

    Behind a decay an input is remembered as ``1, alpha, alpha**2, ...``. The angle between two such
    vectors has the cosine ``1 / cosh(artanh a - artanh b)``, so the nearest ``artanh`` is the best
    one when what comes behind may be scaled. 1 stays 1, and nothing else becomes 1.
    """
    values = _decays(alpha, what)
    found = 2**shift - 2 ** (shift - np.arange(shift + 1))
    with np.errstate(divide="ignore"):
        apart = np.abs(np.arctanh(values)[..., None] - np.arctanh(found / 2**shift))
    nearest: IntArray = found[apart.argmin(axis=-1)]
    return np.where(values == 1, 2**shift, nearest)


def _decays(alpha: npt.ArrayLike, what: str) -> FloatArray:
    values = require_finite(alpha, what)
    if (values < 0).any() or (values > 1).any():
        worst = float(values.min() if (values < 0).any() else values.max())
        raise NumericalError(
            f"{what} is {worst:g}, outside [0, 1]; an integer leak needs a decay between 0 and 1"
        )
    return values
