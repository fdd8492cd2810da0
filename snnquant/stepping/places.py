"""Where time stands in a value, and where it goes when the value is seen in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]


class UncutError(Exception):
    """A node mixes time steps; the message is the reason, for people."""


@dataclass(frozen=True)
class Place:
    """The axis that time is in.

    Attributes:
        axis: counted from the front.
        inner: how many entries of the axis belong to one step of the innermost: 1 where time has
            the axis for itself or is innermost in it, the batch size where steps of a batch each
            follow one another.
    """

    axis: int
    inner: int

    def outer(self, shape: Shape, steps: int) -> int:
        """Return how often all steps follow one another in the axis."""
        return shape[self.axis] // (steps * self.inner)

    def alone(self, shape: Shape, steps: int) -> bool:
        """Whether time has the axis for itself."""
        return self.inner == 1 and shape[self.axis] == steps


def one_step(shape: Shape, place: Place | None, steps: int) -> Shape:
    """Return the shape of one step of a value."""
    if place is None:
        return shape
    axis = place.axis
    return (*shape[:axis], shape[axis] // steps, *shape[axis + 1 :])


def reshaped(place: Place, before: Shape, after: Shape, steps: int) -> Place:
    """Return where time is after a reshape: steps stay as far apart in memory as they are.

    Raises:
        UncutError: a step is spread over several axes.
    """
    apart = place.inner * math.prod(before[place.axis + 1 :])
    for axis, size in enumerate(after):
        behind = math.prod(after[axis + 1 :])
        if behind and apart % behind == 0 and (behind * size) % (apart * steps) == 0:
            return Place(axis, apart // behind)
    raise UncutError(
        f"its shape {list(after)} divides steps that lie {apart} values apart in {list(before)}"
    )


def aligned(place: Place, before: Shape, after: Shape) -> Place | None:
    """Return the place in a value that broadcasts against this one; None: it has no such axis."""
    axis = place.axis + len(after) - len(before)
    if axis < 0 or (after[axis] == 1 and before[place.axis] != 1):
        return None
    return Place(axis, place.inner)


def without(place: Place, axes: Sequence[int]) -> Place:
    """Return the place after axes are gone, of which time's is none."""
    return Place(place.axis - sum(axis < place.axis for axis in axes), place.inner)


def restored(place: Place, axes: Sequence[int]) -> Place:
    """Return the place before axes were gone."""
    axis = place.axis
    for gone in sorted(axes):
        axis += gone <= axis
    return Place(axis, place.inner)
