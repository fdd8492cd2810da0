"""Second moments of what synapses receive, as their neurons' membranes remember it.

An error ``d`` of the weights of one neuron moves its membrane by ``d^T r_t`` at step ``t``, where
``r_t = alpha * r_{t-1} + x_t`` is the input behind the neuron's leak, so that the squared error
over all steps is ``d^T (sum_t r_t r_t^T) d``. A reset forgets what came before; that is left out.
The neuron's bias is free to move too: what it can undo is taken out of the moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.numerics import FloatArray

#: Rows whose products are summed in one matrix product.
_CHUNK = 1 << 13
#: Share of a second moment that a variance has to be, to be one.
_NOTHING = 1e-9


def filtered(rows: npt.NDArray[Any], leaks: Sequence[float]) -> FloatArray:
    """Return ``[T, ...]`` behind one leak after another."""
    result = np.array(rows, np.float64)
    for alpha in leaks:
        for step in range(1, len(result)):
            result[step] += alpha * result[step - 1]
    return result


class Moments:
    """Sums over rows of quantized inputs ``q``, and of the float ones ``f`` they stand for.

    Attributes:
        qq, fq: ``sum q q^T`` and ``sum f q^T``, ``[groups, weights, weights]``.
    """

    def __init__(self, groups: int, size: int) -> None:
        self._qq = np.zeros((groups, size, size))
        self._fq = np.zeros((groups, size, size))
        self._ff = np.zeros((groups, size, size))
        self._q = np.zeros((groups, size))
        self._f = np.zeros((groups, size))
        self._ones = 0.0

    def add(
        self, quantized: npt.NDArray[Any], real: npt.NDArray[Any], leaks: Sequence[float]
    ) -> None:
        """Add rows ``[groups, T, n, weights]`` of both kinds."""
        steps, count = quantized.shape[1:3]
        size = quantized.shape[-1]
        ones = filtered(np.ones((steps, 1)), leaks)
        weight = np.repeat(ones[:, 0], count)
        self._ones += float((weight * weight).sum())
        for group, (q, f) in enumerate(zip(quantized, real, strict=True)):
            left = filtered(q, leaks).reshape(-1, size)
            right = filtered(f, leaks).reshape(-1, size)
            self._q[group] += weight @ left
            self._f[group] += weight @ right
            for start in range(0, len(left), _CHUNK):
                part = left[start : start + _CHUNK]
                other = right[start : start + _CHUNK]
                self._qq[group] += part.T @ part
                self._fq[group] += other.T @ part
                self._ff[group] += other.T @ other

    @property
    def hessian(self) -> FloatArray:
        """What the error of the weights counts beside the best bias."""
        centred = self._qq - self._q[:, :, None] * self._q[:, None, :] / self._ones
        # Inputs that never change are all bias; what is left of them is rounding.
        raw, own = (np.diagonal(m, axis1=1, axis2=2) for m in (self._qq, centred))
        kept = own > _NOTHING * raw
        return np.asarray(centred * (kept[:, :, None] & kept[:, None, :]), np.float64)

    @property
    def cross(self) -> FloatArray:
        """The same between float and quantized inputs."""
        return self._fq - self._f[:, :, None] * self._q[:, None, :] / self._ones

    def best_rows(self, rows: FloatArray, damping: float) -> FloatArray:
        """Return real weights that give on quantized inputs what ``rows`` give on float ones."""
        result = np.empty_like(rows)
        channels = len(rows) // len(self._qq)
        for group, (h, c) in enumerate(zip(self.hessian, self.cross, strict=True)):
            own = slice(group * channels, (group + 1) * channels)
            extra = damping * (float(np.diagonal(h).mean()) or 1.0) * np.eye(len(h))
            result[own] = np.linalg.solve(h + extra, (rows[own] @ (c + extra)).T).T
        return result

    def best_bias(self, chosen: FloatArray, rows: FloatArray) -> FloatArray:
        """Return what the bias has to change by when ``chosen`` stand for ``rows``, per channel."""
        groups = len(self._q)
        q = np.einsum("gck,gk->gc", chosen.reshape(groups, -1, chosen.shape[1]), self._q)
        f = np.einsum("gck,gk->gc", rows.reshape(groups, -1, rows.shape[1]), self._f)
        return np.asarray((f - q).reshape(-1) / self._ones, np.float64)

    def error(self, chosen: FloatArray, rows: FloatArray, bias: FloatArray) -> FloatArray:
        """Return the sum of squares of what stands for ``rows`` minus them, per channel."""
        groups = len(self._q)
        c, r = (x.reshape(groups, -1, x.shape[1]) for x in (chosen, rows))
        b = bias.reshape(groups, -1)
        squares = (
            ((c @ self._qq) * c).sum(-1)
            - 2 * ((r @ self._fq) * c).sum(-1)
            + ((r @ self._ff) * r).sum(-1)
        )
        means = np.einsum("gck,gk->gc", c, self._q) - np.einsum("gck,gk->gc", r, self._f)
        total = squares + 2 * b * means + b * b * self._ones
        return np.asarray(np.maximum(total, 0.0).reshape(-1), np.float64)

    def energy(self, rows: FloatArray) -> FloatArray:
        """Return the sum of squares of what ``rows`` give on float inputs, per channel."""
        r = rows.reshape(len(self._q), -1, rows.shape[1])
        return np.asarray(((r @ self._ff) * r).sum(-1).reshape(-1), np.float64)
