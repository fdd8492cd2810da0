"""Histograms that are counted batch by batch, of two models side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Counts:
    """Numbers of values per bin, and how many lie below and above all bins."""

    bins: Array
    below: int = 0
    above: int = 0

    @property
    def total(self) -> int:
        """Number of all values."""
        return int(self.bins.sum()) + self.below + self.above

    def shares(self) -> Array:
        """Return the share of all values in each bin."""
        return np.asarray(self.bins / max(self.total, 1), np.float64)


@dataclass
class Histogram:
    """Values of up to two models in the same equal bins.

    Attributes:
        low, high: ends of the bins.
        size: number of bins.
        counts: by model.
    """

    low: float
    high: float
    size: int
    counts: dict[str, Counts] = field(default_factory=dict)

    @property
    def edges(self) -> Array:
        """Ends of all bins, ascending."""
        return np.linspace(self.low, self.high, self.size + 1)

    def add(self, model: str, values: Array) -> None:
        """Count values of a model."""
        flat = np.asarray(values, np.float64).reshape(-1)
        counts = self.counts.setdefault(model, Counts(np.zeros(self.size, np.int64)))
        inside = (flat >= self.low) & (flat <= self.high)
        found, _ = np.histogram(flat[inside], self.size, (self.low, self.high))
        counts.bins += found
        counts.below += int((flat < self.low).sum())
        counts.above += int((flat > self.high).sum())


def histogram_for(
    values: Array,
    size: int,
    *,
    include: tuple[float, ...] = (),
    outside: tuple[float, float] = (0.0, 0.0),
) -> Histogram:
    """Return an empty histogram whose bins hold almost all of some values.

    Args:
        values: what the ends are chosen by.
        size: number of bins.
        include: numbers that lie inside, whatever the values are.
        outside: shares of the values that may lie below and above.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    flat = flat[np.isfinite(flat)]
    ends = np.quantile(flat, (outside[0], 1 - outside[1])) if flat.size else np.zeros(2)
    low = min(float(ends[0]), *include, float(ends[1]))
    high = max(float(ends[1]), *include, low)
    room = (high - low) * 0.05 or 0.5
    return Histogram(low - room, high + room, size)
