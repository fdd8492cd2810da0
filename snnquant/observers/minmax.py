"""The whole range: nothing clips."""

from __future__ import annotations

from snnquant.numerics import IntRange
from snnquant.observers.observer import Observer, covering_scale
from snnquant.observers.statistics import TensorStatistics


class MinMax(Observer):
    """The smallest scale at which no calibration value clips."""

    name = "minmax"
    summary = "The smallest scale at which no calibration value clips."

    def _real_scale(self, statistics: TensorStatistics, limits: IntRange) -> float:
        return covering_scale(statistics.minimum, statistics.maximum, limits)
