"""The least squared error, by search."""

from __future__ import annotations

import math

import numpy as np

from snnquant.numerics import FloatArray, IntRange
from snnquant.observers.grid import Histogram
from snnquant.observers.observer import Observer, covering_scale, to_float32_scale
from snnquant.observers.statistics import TensorStatistics

_OCTAVES = 10
_STEPS = 32
#: Tried shares of the smallest scale without clipping: 32 per octave, all exact in binary, so that
#: every machine tries the same scales.
_SHARES = tuple(
    (2 * _STEPS - step) / (2 * _STEPS) / 2**octave
    for octave in range(_OCTAVES)
    for step in range(_STEPS)
)


class Mse(Observer):
    """The scale that minimises the expected squared error of rounding and clipping.

    Candidates lie between the scale of :class:`~snnquant.observers.minmax.MinMax` and its 1/1024;
    of equally good ones the largest wins. Values are taken as spread evenly over their bins.
    """

    name = "mse"
    summary = "The scale with the least squared error of rounding and clipping together."

    def _real_scale(self, statistics: TensorStatistics, limits: IntRange) -> float:
        widest = covering_scale(statistics.minimum, statistics.maximum, limits)
        positive, negative = statistics.magnitudes()
        best, least = math.inf, math.inf
        for share in _SHARES:
            scale = to_float32_scale(widest * share)
            error = squared_error(positive, scale, limits.high)
            error += squared_error(negative, scale, -limits.low)
            if error < least:
                best, least = scale, error
        return best


def squared_error(histogram: Histogram, scale: float, top: int) -> float:
    """Return the summed squared error of rounding magnitudes to ``0, scale, ..., top * scale``."""
    lower, upper = histogram.lower / scale, histogram.upper / scale
    width = upper - lower
    spread = width > 0
    point = (lower - np.minimum(np.rint(lower), top)) ** 2
    mean = (_integral(upper, top) - _integral(lower, top)) / np.where(spread, width, 1.0)
    # The exact sum keeps the choice independent of the order in which a machine adds.
    return scale * scale * math.fsum((np.where(spread, mean, point) * histogram.counts).tolist())


def _integral(x: FloatArray, top: int) -> FloatArray:
    """Integrate ``(t - min(round(t), top))**2`` from 0 to ``x``: each whole step adds 1/12."""
    nearest = np.minimum(np.rint(x), top)
    rest = x - nearest
    return nearest / 12 + rest * rest * rest / 3
