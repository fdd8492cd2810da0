"""Which of the measured models are worth having, and which one fits a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snnquant.tune.candidates import Config
from snnquant.tune.measure import Measures

#: Limits and values are numbers that were rounded: beyond rounding is beyond, by it is not.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Point:
    """One model that was measured.

    Attributes:
        config: its widths.
        bits: of all numbers that have a width.
        expected: error that was expected of the widths.
        measures: what was measured.
    """

    config: Config
    bits: int
    expected: float
    measures: Measures


@dataclass(frozen=True)
class Limits:
    """A budget; None: no limit.

    Attributes:
        bits: of all numbers that have a width.
        drop: largest drop of accuracy, as a fraction.
    """

    bits: float | None = None
    drop: float | None = None

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return self.bits is not None or self.drop is not None

    def meets_drop(self, point: Point) -> bool:
        """Whether a model is as accurate as it has to be."""
        drop = point.measures.drop
        return self.drop is None or (drop is not None and drop <= self.drop + _ROUNDING)

    def meets_size(self, point: Point) -> bool:
        """Whether a model is as small as it has to be."""
        return self.bits is None or point.bits <= self.bits + _ROUNDING


def dominates(one: Point, other: Point) -> bool:
    """Whether a model is no larger and no worse than another one, and not equal to it."""
    first, second = ((p.bits, p.measures.error) for p in (one, other))
    return first != second and first[0] <= second[0] and first[1] <= second[1]


def front_of(points: Iterable[Point]) -> list[Point]:
    """Return the models that no other dominates, the smallest first.

    Of models that are equal in both, the first one stays.
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.bits, p.measures.error)):
        if not found or point.measures.error < found[-1].measures.error:
            found.append(point)
    return found


def choose(points: Sequence[Point], limits: Limits) -> Point | None:
    """Return the model that a budget asks for; None: no model is within it, or there is no budget.

    Within a size it is the one with the smallest error; where only the accuracy is limited, the
    smallest model.
    """
    fitting = [p for p in points if limits.meets_drop(p) and limits.meets_size(p)]
    if not limits or not fitting:
        return None
    if limits.bits is None:
        return min(fitting, key=lambda p: (p.bits, p.measures.error))
    return min(fitting, key=lambda p: (p.measures.error, p.bits))
