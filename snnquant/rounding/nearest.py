"""Each weight to the nearest integer, whatever the others are."""

from __future__ import annotations

from snnquant.numerics import FloatArray, IntArray, IntRange, quantize


class Nearest:
    """Ties to even, limited to the range."""

    name = "nearest"
    needs_samples = False

    def round(self, steps: FloatArray, limits: IntRange, hessian: FloatArray) -> IntArray:
        """Return ``clamp(round(steps))``."""
        return quantize(steps, 1.0, limits)
