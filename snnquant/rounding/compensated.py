"""Weight after weight, each time moving what is left to undo the error made so far.

The method is GPTQ's (Frantar et al., arXiv 2210.17323), on the second moments of leak-filtered
spikes in place of those of activations: after one weight was rounded with an error, the weights
that are still real change by the least squares answer to it. Weights whose inputs matter most come
first. Single weights are then changed while that makes the error smaller.
"""

from __future__ import annotations

import numpy as np
from numpy.linalg import LinAlgError

from snnquant.numerics import FloatArray, IntArray, IntRange
from snnquant.rounding.descent import descend

#: Share of the mean diagonal that is added to it: the samples do not tell everything.
_DAMPING = 0.01
#: So many weights are rounded before the others hear of it, which makes matrix products of it.
_BLOCK = 128


class Compensated:
    """Error compensation in the order of falling second moments."""

    name = "compensated"
    needs_samples = True

    def round(self, steps: FloatArray, limits: IntRange, hessian: FloatArray) -> IntArray:
        """Return integers whose error on the measured inputs is small."""
        order = np.argsort(-np.diagonal(hessian), kind="stable")
        factor = inverse_factor(hessian[np.ix_(order, order)])
        left = steps[:, order].astype(np.float64)
        found = np.zeros_like(left)
        size = left.shape[1]
        for start in range(0, size, _BLOCK):
            stop = min(start + _BLOCK, size)
            errors = np.zeros((len(left), stop - start))
            for k in range(start, stop):
                found[:, k] = np.clip(np.rint(left[:, k]), limits.low, limits.high)
                error = (left[:, k] - found[:, k]) / factor[k, k]
                left[:, k + 1 : stop] -= error[:, None] * factor[k, k + 1 : stop]
                errors[:, k - start] = error
            left[:, stop:] -= errors @ factor[start:stop, stop:]
        rounded = np.empty(steps.shape, np.int64)
        rounded[:, order] = found
        return descend(rounded, steps, limits, hessian)


def inverse_factor(hessian: FloatArray) -> FloatArray:
    """Return the upper triangular ``U`` with ``U^T U`` the inverse of the damped matrix."""
    diagonal = np.diagonal(hessian)
    mean = float(np.maximum(diagonal, 0).mean()) or 1.0
    damping = _DAMPING
    while True:  # enough of the diagonal makes any matrix of moments definite
        damped = hessian + np.diag(np.where(diagonal > 0, damping * mean, mean))
        try:
            # With both axes reversed, the lower factor of H becomes the upper one, whose inverse
            # is the upper factor of the inverse.
            upper = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
            return np.asarray(np.linalg.inv(upper), np.float64)
        except LinAlgError:
            damping *= 10
