"""What a method of rounding is: integers for the weights of one synapse on a grid that is given."""

from __future__ import annotations

from typing import Protocol

from snnquant.numerics import FloatArray, IntArray, IntRange


class RoundingMethod(Protocol):
    """Rounds weights to integers, the same ones for the same arguments.

    Attributes:
        name: what users call it.
        needs_samples: it looks at measured inputs.
    """

    name: str
    needs_samples: bool

    def round(self, steps: FloatArray, limits: IntRange, hessian: FloatArray) -> IntArray:
        """Return integers for weights.

        Args:
            steps: real weights in units of their scale, ``[channels, weights]``.
            limits: the integers that are allowed.
            hessian: second moments of the inputs, ``[weights, weights]``, symmetric and positive
                semidefinite; the error ``d`` of a channel counts ``d^T hessian d``.
        """
