"""Intervals of integers, elementwise on arrays, as values that a neuron's ``step`` can work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnquant.numerics import IntArray


@dataclass(eq=False)
class Interval:
    """All integers from ``low`` to ``high``, for each element.

    A branch of a step may narrow an interval in place (see
    :class:`~snnquant.bounds.arithmetic.BranchArithmetic`), and leave nothing of it: ``low`` is
    then above ``high``.
    """

    low: IntArray
    high: IntArray
    #: Lets arrays leave arithmetic with intervals to them.
    __array_ufunc__ = None

    @classmethod
    def of(cls, value: Any) -> Interval:
        """Return an interval as it is, and a known integer as the interval of it alone."""
        if isinstance(value, Interval):
            return value
        exact = np.asarray(value, np.int64)
        return cls(exact, exact)

    def map(self, function: Callable[[Any], Any]) -> Interval:
        """Return what a rising function makes of both ends."""
        return Interval(function(self.low), function(self.high))

    def hull(self, other: Interval) -> Interval:
        """Return what holds both; an empty one adds nothing."""
        low = np.where(other.empty, self.low, np.minimum(self.low, other.low))
        high = np.where(other.empty, self.high, np.maximum(self.high, other.high))
        return Interval(
            np.where(self.empty, other.low, low), np.where(self.empty, other.high, high)
        )

    @property
    def empty(self) -> Any:
        """Where there is no integer."""
        return self.low > self.high

    def __add__(self, other: Any) -> Interval:
        right = Interval.of(other)
        return Interval(self.low + right.low, self.high + right.high)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> Interval:
        return self + -Interval.of(other)

    def __rsub__(self, other: Any) -> Interval:
        return Interval.of(other) - self

    def __mul__(self, other: Any) -> Interval:
        right = Interval.of(other)
        corners = [a * b for a in (self.low, self.high) for b in (right.low, right.high)]
        return Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))

    __rmul__ = __mul__
