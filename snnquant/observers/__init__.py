"""Calibration: mergeable statistics of a tensor, and the methods that turn them into a scale.

To add a method: write its file, add it to :data:`OBSERVERS`.
"""

from snnquant.observers.batch_absmax import BatchAbsmax
from snnquant.observers.grid import Histogram
from snnquant.observers.minmax import MinMax
from snnquant.observers.mse import Mse
from snnquant.observers.observer import Observer
from snnquant.observers.percentile import Percentile
from snnquant.observers.statistics import TensorStatistics

OBSERVERS: dict[str, Observer] = {
    observer.name: observer for observer in (MinMax(), BatchAbsmax(), Percentile(), Mse())
}

__all__ = ["OBSERVERS", "Histogram", "Observer", "TensorStatistics"]
