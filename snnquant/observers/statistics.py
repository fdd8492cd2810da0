"""Statistics of one tensor over a stream of batches, which shards can merge exactly."""

from __future__ import annotations

from copy import copy
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import CalibrationMismatchError, NumericalError
from snnquant.numerics import FloatArray, IntArray, IntRange
from snnquant.observers.grid import (
    BINS,
    BINS_PER_OCTAVE,
    EXACT_INTEGERS,
    SHIFT,
    Histogram,
    edges_of,
)
from snnquant.observers.stored import MAX_COUNT, read_fields

#: Fits a core's cache with its int64 copy.
_CHUNK = 1 << 15
_ONE = int(np.float32(1.0).view(np.uint32))


class TensorStatistics:
    """What the observers know about one float32 tensor; memory does not depend on the data.

    Two statistics merge to exactly what one pass over both streams gives. ``count`` and ``zeros``
    are numbers of values, ``minimum`` and ``maximum`` are float32 values (0.0 before any value is
    seen), ``batches`` is the number of non-empty updates and ``absmax_sum`` the exact sum of their
    absolute maxima. ``all_integer`` tells that no value had a fraction.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.zeros = 0
        self.minimum = 0.0
        self.maximum = 0.0
        self.batches = 0
        self.absmax_sum = Fraction(0)
        self.all_integer = True
        self.counts: IntArray = np.zeros(2 * BINS, np.int64)
        """Non-zero values per bin: ``BINS`` positive ones, then ``BINS`` negative ones."""

    @property
    def absmax(self) -> float:
        """Largest magnitude."""
        return max(self.maximum, -self.minimum)

    def update(self, values: npt.ArrayLike) -> None:
        """Add one batch of any shape; it is taken as float32, an empty one is ignored.

        Raises:
            NumericalError: a value is NaN or infinite; the statistics stay as they were.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            flat = np.ascontiguousarray(values, np.float32).reshape(-1)
            if not flat.size:
                return
            # Adding 0.0 turns -0.0 into 0.0, so that the order of values cannot show.
            low, high = float(flat.min()) + 0.0, float(flat.max()) + 0.0
        if not (np.isfinite(low) and np.isfinite(high)):
            raise NumericalError(
                f"tensor {self.name!r} holds NaN or infinite values; "
                "repair the model or the calibration data"
            )
        for start in range(0, flat.size, _CHUNK):
            self._add(flat[start : start + _CHUNK])
        self.minimum = min(self.minimum, low) if self.count else low
        self.maximum = max(self.maximum, high) if self.count else high
        self.count += flat.size
        self.batches += 1
        self.absmax_sum += Fraction(max(high, -low))

    def merge(self, other: TensorStatistics) -> TensorStatistics:
        """Return the statistics of both streams together.

        Raises:
            CalibrationMismatchError: the other statistics are of another tensor, or too large.
        """
        if other.name != self.name:
            raise CalibrationMismatchError(
                f"cannot merge statistics of tensor {other.name!r} into those of {self.name!r}; "
                "merge shards of one model"
            )
        merged = TensorStatistics(self.name)
        merged.count = self.count + other.count
        if merged.count > MAX_COUNT:
            raise CalibrationMismatchError(
                f"tensor {self.name!r} would have {merged.count} values; merge each shard once"
            )
        merged.zeros = self.zeros + other.zeros
        seen = [statistics for statistics in (self, other) if statistics.count]
        merged.minimum = min((statistics.minimum for statistics in seen), default=0.0)
        merged.maximum = max((statistics.maximum for statistics in seen), default=0.0)
        merged.batches = self.batches + other.batches
        merged.absmax_sum = self.absmax_sum + other.absmax_sum
        merged.all_integer = self.all_integer and other.all_integer
        merged.counts = self.counts + other.counts
        return merged

    def renamed(self, name: str) -> TensorStatistics:
        """Return the statistics as those of another tensor with the same values."""
        twin = copy(self)
        twin.name, twin.counts = name, self.counts.copy()
        return twin

    def holds_only_integers(self, limits: IntRange) -> bool:
        """Tell whether all values are integers in ``limits``: spikes or counts, not analog."""
        return (
            self.count > 0
            and self.all_integer
            and limits.low <= self.minimum
            and self.maximum <= limits.high
        )

    def magnitudes(self) -> tuple[Histogram, Histogram]:
        """Return the histograms of the positive and of the negative values' magnitudes.

        The outer edges are the exact extremes; small integers are kept exactly.
        """
        return (
            self._histogram(self.counts[:BINS], self.minimum, self.maximum),
            self._histogram(self.counts[BINS:], -self.maximum, -self.minimum),
        )

    def edges(self, bins: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the magnitudes that the bins of either sign hold."""
        lower, upper = edges_of(bins)
        if self.all_integer:
            # In the grid an integer below 128 is a lower edge, and alone in its bin.
            upper = np.where(lower < EXACT_INTEGERS, lower, upper)
        return lower, upper

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as values for :mod:`json`, always in the same order."""
        return {
            "count": self.count,
            "zeros": self.zeros,
            "batches": self.batches,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "sum_of_batch_absmax": str(self.absmax_sum),
            "all_integer": self.all_integer,
            "bins_per_octave": BINS_PER_OCTAVE,
            "positive": _bins_to_json(self.counts[:BINS]),
            "negative": _bins_to_json(self.counts[BINS:]),
        }

    @classmethod
    def from_json(cls, name: str, stored: object) -> TensorStatistics:
        """Return the statistics of tensor ``name`` that :meth:`to_json` wrote.

        Raises:
            DataError: ``stored`` is not what :meth:`to_json` returns for any data.
        """
        fields = read_fields(name, stored)
        statistics = cls(name)
        statistics.count = fields.count
        statistics.zeros = fields.zeros
        statistics.batches = fields.batches
        statistics.minimum = fields.minimum
        statistics.maximum = fields.maximum
        statistics.absmax_sum = fields.absmax_sum
        statistics.all_integer = fields.all_integer
        for offset, bins in ((0, fields.positive), (BINS, fields.negative)):
            for bin_, count in bins.items():
                statistics.counts[offset + bin_] = count
        return statistics

    def _histogram(self, counts: IntArray, low: float, high: float) -> Histogram:
        bins = np.flatnonzero(counts).astype(np.int64)
        lower, upper = self.edges(bins)
        return Histogram(np.maximum(lower, max(0.0, low)), np.minimum(upper, high), counts[bins])

    def _add(self, chunk: npt.NDArray[np.float32]) -> None:
        bits = chunk.view(np.uint32)
        if self.all_integer:
            zeros = int(np.count_nonzero(bits == 0))
            ones = int(np.count_nonzero(bits == _ONE))
            if zeros + ones == chunk.size:
                # Spikes: several times faster than below, with the same result.
                self.zeros += zeros
                self.counts[_ONE >> SHIFT] += ones
                return
        binned = np.bincount(bits >> np.uint32(SHIFT))  # as far as there are any
        # The zeros of each sign share a bin with the smallest magnitudes. They are counted by
        # their bits: a process that flushes denormals would take those for zeros too.
        for bin_, zero in ((0, 0), (BINS, 1 << 31)):
            if bin_ < len(binned) and binned[bin_]:
                zeros = int(np.count_nonzero(bits == np.uint32(zero)))
                binned[bin_] -= zeros
                self.zeros += zeros
        self.counts[: len(binned)] += binned
        if self.all_integer:
            self.all_integer = bool((np.rint(chunk) == chunk).all())


def _bins_to_json(counts: IntArray) -> dict[str, int]:
    return {str(bin_): int(counts[bin_]) for bin_ in np.flatnonzero(counts)}
