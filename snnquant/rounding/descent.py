"""What ends every method that looks at samples: single weights change while that helps."""

from __future__ import annotations

import numpy as np

from snnquant.numerics import FloatArray, IntArray, IntRange

#: Rounds over all weights; nearly all of what can be had comes in the first few.
_ROUNDS = 8


def descend(found: IntArray, steps: FloatArray, limits: IntRange, hessian: FloatArray) -> IntArray:
    """Return integers whose error ``d^T H d`` is no larger, by moves of single weights.

    Args:
        found: integers to begin with, ``[channels, weights]``.
        steps: real weights in the same units.
        limits: the integers that are allowed.
        hessian: second moments of the inputs.
    """
    diagonal = np.diagonal(hessian)
    integers = found.astype(np.float64)
    slope = (integers - steps) @ hessian
    for _ in range(_ROUNDS):
        moved = False
        for k in np.flatnonzero(diagonal > 0):
            best = np.rint(integers[:, k] - slope[:, k] / diagonal[k])
            change = np.clip(best, limits.low, limits.high) - integers[:, k]
            rows = np.flatnonzero(change)
            if len(rows):
                moved = True
                integers[rows, k] += change[rows]
                slope[rows] += change[rows, None] * hessian[k]
        if not moved:
            break
    return integers.astype(np.int64)
