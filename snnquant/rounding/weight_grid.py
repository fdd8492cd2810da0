"""The grid that integer weights lie on: one positive scale per output channel or per tensor."""

from __future__ import annotations

import numpy as np

from snnquant.numerics import FloatArray, IntArray, IntRange, quantize

#: Shares of the full range that are tried; few bits gain from clipping a rare large weight.
_SHARES = np.linspace(1.0, 0.3, 71)


def grid_scales(rows: FloatArray, bits: int, grid: str) -> FloatArray:
    """Return one scale per row of real weights.

    Args:
        rows: ``[channels, weights]``; a per-tensor grid has one row.
        bits: width of the integers, in two's complement.
        grid: "seed" (largest magnitude at ``2**(bits-1)``, which clips the largest positive weight)
            or "best" (the smallest squared error among symmetric and asymmetric ranges and
            clipped versions of them).

    Returns:
        ``[channels]``, 0 for rows without any weight.
    """
    limits = IntRange.signed(bits)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    if grid == "seed":
        return np.asarray(largest / -limits.low, np.float64)
    highest = rows.max(axis=1, initial=0.0) / limits.high
    lowest = rows.min(axis=1, initial=0.0) / limits.low
    full = np.maximum(highest, lowest)
    symmetric = largest / limits.high
    best = full.copy()
    error = np.full(len(rows), np.inf)
    for start in (full, symmetric):
        for share in _SHARES:
            scale = start * share
            usable = np.where(scale > 0, scale, 1.0)[:, None]
            near = np.clip(np.rint(rows / usable), limits.low, limits.high) * usable
            trial = np.square(near - rows).sum(axis=1)
            better = trial < error
            best[better], error[better] = scale[better], trial[better]
    return best


def quantize_weight(weight: FloatArray, scale: FloatArray, bits: int) -> IntArray:
    """Return ``clamp(round(weight / scale))`` in ``bits`` bits; ``scale`` broadcasts."""
    return quantize(weight, scale, IntRange.signed(bits))
