"""The arithmetic of integer neurons on intervals, one branch of firing at a time.

A step is monotone only as long as the number of spikes does not change. So it is run once per
number: ``fire`` narrows the membrane to where the neuron gives that many, and gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnquant.bounds.intervals import Interval
from snnquant.neurons.arithmetic import IntegerArithmetic
from snnquant.neurons.definition import Constants
from snnquant.numerics import IntArray


@dataclass(frozen=True)
class _Equal:
    """Whether a comparison can hold, and whether it can fail, for each element."""

    can_hold: Any
    can_fail: Any


class IntervalBackend:
    """The primitive operations that integer steps use, on intervals."""

    def where(self, condition: Any, yes: Any, no: Any) -> Interval:
        """Select elementwise; both where either can be."""
        first, second = Interval.of(yes), Interval.of(no)
        both = first.hull(second)
        only_yes, only_no = ~condition.can_fail, ~condition.can_hold
        low = np.where(only_yes, first.low, np.where(only_no, second.low, both.low))
        high = np.where(only_yes, first.high, np.where(only_no, second.high, both.high))
        return Interval(low, high)

    def equal(self, a: Any, b: Any) -> _Equal:
        """Compare elementwise."""
        left, right = Interval.of(a), Interval.of(b)
        apart = (left.low > right.high) | (right.low > left.high)
        one = (left.low == left.high) & (right.low == right.high)
        return _Equal(~apart, ~(one & (left.low == right.low)))

    def maximum(self, a: Any, b: Any) -> Interval:
        """Return the larger, elementwise."""
        left, right = Interval.of(a), Interval.of(b)
        return Interval(np.maximum(left.low, right.low), np.maximum(left.high, right.high))

    def minimum(self, a: Any, b: Any) -> Interval:
        """Return the smaller, elementwise."""
        left, right = Interval.of(a), Interval.of(b)
        return Interval(np.minimum(left.low, right.low), np.minimum(left.high, right.high))

    def zeros_like(self, a: Any) -> Interval:
        """Return zeros of the shape of ``a``."""
        return Interval.of(np.zeros_like(Interval.of(a).low))

    def spikes_above(self, v: Any, threshold: Any, on_equal: bool) -> Interval:
        """Return 1 where ``v > threshold``, else 0; both where either can be."""
        left, right = Interval.of(v), Interval.of(threshold)
        return Interval(
            (left.low > right.high).astype(np.int64), (left.high > right.low).astype(np.int64)
        )

    def power_of_two(self, exponent: int) -> int:
        """Return ``2**exponent``."""
        return 1 << exponent

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Divide by a positive known integer, rounding down."""
        if isinstance(a, Interval):
            return Interval(np.floor_divide(a.low, b), np.floor_divide(a.high, b))
        return np.floor_divide(a, b)

    def floor(self, a: Any) -> Any:
        """Return ``a``: integers have no fraction."""
        return a

    ceil = floor

    def counted(self, spikes: Any, v: Any, threshold: Any, divisor: Any, most: int) -> Any:
        """Return ``spikes``: there are no gradients here."""
        return spikes


class Extent:
    """The smallest and the largest of the integers that states were given, before any limit.

    Args:
        shape: of one step.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.low = np.zeros(shape, np.int64)
        self.high = np.zeros(shape, np.int64)

    def add(self, values: Interval, where: Any = True) -> None:
        """Take in what values can be, at the elements that can be reached."""
        held = ~values.empty & where
        self.low = np.where(held, np.minimum(self.low, values.low), self.low)
        self.high = np.where(held, np.maximum(self.high, values.high), self.high)

    @property
    def bits(self) -> IntArray:
        """Width in two's complement that holds them, for each element."""
        # -2**n needs no more bits than 2**n - 1 does; frexp counts the bits of a magnitude.
        return np.asarray(np.frexp(np.maximum(self.high, -self.low - 1))[1] + 1, np.int64)


class BranchArithmetic(IntegerArithmetic):
    """Integer arithmetic on intervals in which every neuron gives a known number of spikes."""

    #: Spikes of this branch, where a neuron can give them, and whether some can give as many.
    spikes: int = 0
    reached: Any = True
    enough: bool = True
    #: Everything that was to be saturated.
    wanted: Extent

    @classmethod
    def of(cls, attributes: Mapping[str, int], spikes: int, wanted: Extent) -> BranchArithmetic:
        """Build the arithmetic that an integer op's attributes describe, for one branch."""
        made = cls.of_op(IntervalBackend(), attributes)
        assert isinstance(made, cls)
        made.spikes = spikes
        made.wanted = wanted
        return made

    def saturate(self, v: Any) -> Interval:
        """Limit ``v`` to the state width, and note how wide it would have been."""
        self.wanted.add(v, self.reached)
        limited: Interval = super().saturate(v)
        return limited

    def fire(self, v: Any, fire_above: Any, reset_by: Any, p: Constants) -> Interval:
        """Narrow the membrane to where it gives the spikes of this branch, and give them.

        The ``s``-th spike needs ``v > fire_above + (s - 1) * max(reset_by, 1)``.
        """
        threshold, divisor = Interval.of(fire_above), self.backend.maximum(reset_by, 1)
        if self.spikes:
            needed = threshold + (self.spikes - 1) * divisor
            self.enough = bool((v.high > needed.low).any())
            v.low = np.maximum(v.low, needed.low + 1)
        if self.spikes < p.max_spikes:
            denied = threshold + self.spikes * divisor
            v.high = np.minimum(v.high, denied.high)
        self.reached = ~v.empty
        return Interval.of(np.full_like(v.low, self.spikes))
