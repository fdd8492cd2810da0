"""The grid that integer weights lie on: one positive scale per output channel or per tensor.

To add a way to choose it: write a function here, add it to :data:`GRIDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snnquant.numerics import FloatArray, IntArray, IntRange, quantize

#: Shares of the full range that are tried; few bits gain from clipping a rare large weight.
_SHARES = np.linspace(1.0, 0.3, 71)
#: Coherence of inputs of which nothing is known: spikes at a rate of 0.2.
DEFAULT_COHERENCE = 0.25
_MAX_COHERENCE = 4.0


def coherence_of(mean: float, variance: float) -> float:
    """Return how much a common error of the weights counts: ``mean**2 / variance``, limited."""
    if variance <= 0:
        return _MAX_COHERENCE if mean else DEFAULT_COHERENCE
    return float(min(mean * mean / variance, _MAX_COHERENCE))


@dataclass(frozen=True)
class WeightRows:
    """Real weights of one synapse, and what is known of their inputs.

    Attributes:
        rows: ``[channels, weights]``; a per-tensor grid has one row.
        limits: of the integers, which have the same scale in all parts but may have other bits.
        coherence: ``mean**2 / variance`` of the inputs.
        hessian: measured second moments of the inputs, ``[groups, weights, weights]``: channels
            of one group see the same inputs; None: unknown.
    """

    rows: FloatArray
    limits: IntRange
    coherence: float = DEFAULT_COHERENCE
    hessian: FloatArray | None = None


def grid_scales(parts: Sequence[WeightRows], grid: str) -> FloatArray:
    """Return one scale per output channel for weights that share it.

    Args:
        parts: synapses into the same channels.
        grid: one of :data:`GRIDS`.

    Returns:
        ``[channels]``, 0 for channels without any weight.
    """
    return GRIDS[grid](parts)


def _seed(parts: Sequence[WeightRows]) -> FloatArray:
    """Put the largest magnitude at ``2**(bits-1)``, which clips the largest positive weight."""
    return _most([_largest(part.rows) / -part.limits.low for part in parts])


def _best(parts: Sequence[WeightRows]) -> FloatArray:
    """Choose the smallest expected error of symmetric, asymmetric and clipped ranges.

    Of independent inputs with mean ``m`` and variance ``s2``, weight errors ``d`` make a current
    whose expected squared error is ``s2 * sum(d**2) + m**2 * sum(d)**2``. The scale that makes it
    smallest is chosen: with inputs that are never negative, errors of one sign add up. Where the
    second moments ``H`` of the inputs were measured, the error is ``d^T H d``.
    """
    tried = candidate_scales(parts)
    best: FloatArray = tried[0].copy()
    error = np.full(len(best), np.inf)
    for scale in tried:
        usable = np.where(scale > 0, scale, 1.0)[:, None]
        trial = np.sum([expected_error(part, usable) for part in parts], axis=0)
        better = trial < error
        best[better], error[better] = scale[better], trial[better]
    return best


def candidate_scales(parts: Sequence[WeightRows]) -> FloatArray:
    """Return the scales of which one is chosen, ``[tried, channels]``: that of the range first."""
    highest = _most([part.rows.max(axis=1, initial=0.0) / part.limits.high for part in parts])
    lowest = _most([part.rows.min(axis=1, initial=0.0) / part.limits.low for part in parts])
    symmetric = _most([_largest(part.rows) / part.limits.high for part in parts])
    starts = (np.maximum(highest, lowest), symmetric)
    return np.concatenate([_SHARES[:, None] * start for start in starts])


def _most(scales: Sequence[FloatArray]) -> FloatArray:
    """Return the largest scale that any part asks for, per channel."""
    return np.asarray(np.max(scales, axis=0), np.float64)


def _largest(rows: FloatArray) -> FloatArray:
    return np.asarray(np.abs(rows).max(axis=1, initial=0.0), np.float64)


def expected_error(part: WeightRows, scale: FloatArray) -> FloatArray:
    """Return the expected squared error of the current per channel, in units of the variance."""
    near = np.clip(np.rint(part.rows / scale), part.limits.low, part.limits.high) * scale
    error = near - part.rows
    if part.hessian is not None:
        return quadratic_error(error, part.hessian)
    total = np.square(error).sum(axis=1) + part.coherence * np.square(error.sum(axis=1))
    return np.asarray(total, np.float64)


def quadratic_error(error: FloatArray, hessian: FloatArray) -> FloatArray:
    """Return ``d^T H d`` of weight errors, one value per row of them.

    Args:
        error: ``[channels, weights]``, or ``[1, channels * weights]``.
        hessian: ``[groups, weights, weights]``.
    """
    groups, size = hessian.shape[:2]
    each = error.reshape(groups, -1, size)
    total = ((each @ hessian) * each).sum(axis=-1)
    return np.asarray(total.reshape(len(error), -1).sum(axis=-1), np.float64)


#: What a target's ``weight_grid`` may say.
GRIDS: dict[str, Callable[[Sequence[WeightRows]], FloatArray]] = {
    "best": _best,
    "seed": _seed,
}


def quantize_weight(weight: FloatArray, scale: FloatArray, bits: int) -> IntArray:
    """Return ``clamp(round(weight / scale))`` in ``bits`` bits; ``scale`` broadcasts."""
    return quantize(weight, scale, IntRange.signed(bits))
