"""The fixed log grid of the histograms: bins come from the bits of a float32, not from a log.

The upper 15 bits of a float32 are its sign, exponent and six bits of its mantissa, so
``bits >> 17`` cuts each octave into 64 bins of equal width. The grid is the same for all data,
which makes histograms of different shards add up exactly.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from snnquant.numerics import FloatArray, IntArray

BINS_PER_OCTAVE = 64
#: Bits of a float32 below the grid.
SHIFT = 17
#: Bins of one sign; those from FINITE_BINS on would hold infinity and NaN.
BINS = 1 << 14
FINITE_BINS = 255 * BINS_PER_OCTAVE

#: Below this bound every integer is the lower edge of its own bin.
EXACT_INTEGERS = 128


@dataclass(frozen=True, eq=False)
class Histogram:
    """Magnitudes of one sign: ``counts[i]`` values lie in ``lower[i] .. upper[i]``.

    Only bins that hold values are listed, in ascending order. Where ``lower == upper`` all values
    of the bin are that number.
    """

    lower: FloatArray
    upper: FloatArray
    counts: IntArray

    @property
    def centers(self) -> FloatArray:
        """Middle of each bin."""
        return (self.lower + self.upper) / 2


def bin_of(magnitude: float) -> int:
    """Return the bin of a finite, non-negative float32 value."""
    (bits,) = struct.unpack("<I", struct.pack("<f", magnitude))
    return int(bits) >> SHIFT


def edges_of(bins: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the lower (included) and upper (excluded) edges of bins, as float64."""
    lower = _lower_edge(bins)
    upper = np.where(bins + 1 < FINITE_BINS, _lower_edge(bins + 1), 2.0**128)
    return lower, upper


def _lower_edge(bins: IntArray) -> FloatArray:
    return (bins.astype(np.uint32) << np.uint32(SHIFT)).view(np.float32).astype(np.float64)
