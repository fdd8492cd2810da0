"""What an observer is: a rule that turns the statistics of a tensor into its scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from snnquant.errors import NumericalError, UsageError
from snnquant.numerics import IntRange
from snnquant.observers.statistics import TensorStatistics

_FLOAT32 = np.finfo(np.float32)
#: The widest signed output of QuantizeLinear; its float32 division is far from off by one there.
_MAX_BITS = 16


class Observer(ABC):
    """One calibration method; ``name`` selects it and ``summary`` explains it in a sentence."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def scale(self, statistics: TensorStatistics, bits: int) -> float:
        """Return the real value of one step of a signed ``bits``-bit integer.

        The result is a normal, positive float32 value; a tensor of zeros gives 1.0.

        Raises:
            UsageError: ``bits`` is not in 2..16.
            NumericalError: the statistics hold no value.
        """
        if not 2 <= bits <= _MAX_BITS:
            raise UsageError(f"cannot use {bits} input bits; choose 2 to {_MAX_BITS}")
        if statistics.count == 0:
            raise NumericalError(
                f"no values of tensor {statistics.name!r} were observed; "
                "calibrate with at least one sample"
            )
        if statistics.absmax == 0:
            return 1.0
        return to_float32_scale(self._real_scale(statistics, IntRange.signed(bits)))

    @abstractmethod
    def _real_scale(self, statistics: TensorStatistics, limits: IntRange) -> float:
        """Return the scale before rounding to float32; some value is not zero."""


def to_float32_scale(scale: float) -> float:
    """Return the nearest normal, positive float32 value."""
    return float(np.float32(min(max(scale, float(_FLOAT32.tiny)), float(_FLOAT32.max))))


def covering_scale(minimum: float, maximum: float, limits: IntRange) -> float:
    """Return the smallest scale at which ``minimum .. maximum`` fits into ``limits``."""
    return max(maximum / limits.high, minimum / limits.low)
