"""The seed's encoder statistic."""

from __future__ import annotations

from snnquant.numerics import IntRange
from snnquant.observers.observer import Observer
from snnquant.observers.statistics import TensorStatistics


class BatchAbsmax(Observer):
    """The mean over batches of the batch's largest magnitude, divided by ``2**(bits - 1)``.

    It depends on the batch size, and clips the largest positive values.
    """

    name = "batch_absmax"
    summary = "The mean over batches of the batch's largest magnitude; depends on the batch size."

    def _real_scale(self, statistics: TensorStatistics, limits: IntRange) -> float:
        return float(statistics.absmax_sum / statistics.batches / -limits.low)
