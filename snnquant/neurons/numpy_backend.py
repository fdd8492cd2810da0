"""The primitive operations on numpy arrays, for float references and exact int64 references."""

from __future__ import annotations

from typing import Any

import numpy as np


class NumpyBackend:
    """Implements :class:`snnquant.neurons.arithmetic.Backend` on arrays of one type."""

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        """Select elementwise."""
        return np.where(condition, yes, no)

    def equal(self, a: Any, b: Any) -> Any:
        """Compare elementwise."""
        return np.equal(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger, elementwise."""
        return np.maximum(a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """Return the smaller, elementwise."""
        return np.minimum(a, b)

    def zeros_like(self, a: Any) -> Any:
        """Return zeros of the shape and type of ``a``."""
        return np.zeros_like(a)

    def floor(self, a: Any) -> Any:
        """Round real numbers down."""
        return np.floor(a)

    def ceil(self, a: Any) -> Any:
        """Round real numbers up."""
        return np.ceil(a)

    def spikes_above(self, v: Any, threshold: Any, on_equal: bool) -> Any:
        """Return 1 where ``v > threshold`` (or ``>=``), else 0, in the type of ``v``."""
        fires = np.greater_equal(v, threshold) if on_equal else np.greater(v, threshold)
        return fires.astype(np.asarray(v).dtype)

    def counted(self, spikes: Any, v: Any, threshold: Any, divisor: Any, most: int) -> Any:
        """Return ``spikes``: there are no gradients here."""
        return spikes

    def power_of_two(self, exponent: int) -> int:
        """Return ``2**exponent``."""
        return 1 << exponent

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Divide integers, rounding down."""
        return np.floor_divide(a, b)
