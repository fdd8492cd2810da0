"""A percentile of the magnitudes: a few outliers may clip."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from snnquant.numerics import IntRange
from snnquant.observers.grid import BINS
from snnquant.observers.observer import Observer, covering_scale
from snnquant.observers.statistics import TensorStatistics


class Percentile(Observer):
    """A scale at which the given share of the non-zero values does not clip.

    Zeros are left out: they are exact at any scale, and where an input is mostly silent they would
    decide it alone. The percentile is rounded up to its bin's edge, by less than 1/64.
    """

    name = "percentile"
    summary = "A scale at which 99.99 % of the non-zero values do not clip."

    def __init__(self, share: Fraction = Fraction(9999, 10000)) -> None:
        self.share = share

    def _real_scale(self, statistics: TensorStatistics, limits: IntRange) -> float:
        below = np.cumsum(statistics.counts[:BINS] + statistics.counts[BINS:])
        rank = math.ceil(self.share * int(below[-1]))
        bin_ = np.searchsorted(below, rank)
        _, upper = statistics.edges(np.array([bin_], np.int64))
        bound = float(upper[0])
        return covering_scale(
            max(statistics.minimum, -bound), min(statistics.maximum, bound), limits
        )
