"""Dimensions in terms of the batch size: an ordered product of numbers and the batch.

``(8, BATCH)`` is eight steps of a batch each, ``(BATCH, 8)`` a batch of eight steps each: their
sizes are the same, and so might be their shapes, but they lie in memory in another order. Kept
apart, they tell through any Reshape where the batch has gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

#: Stands for the batch size among the factors of a dimension.
BATCH = 0
#: Factors from the outermost to the innermost, no 1 among them; ``()`` is a dimension of 1.
Dim = tuple[int, ...]
Dims = tuple[Dim, ...]


def dim(factors: Iterable[int]) -> Dim:
    """Return a dimension with neighbouring numbers multiplied and ones left out."""
    found: list[int] = []
    for factor in factors:
        if factor == 1:
            continue
        if factor != BATCH and found and found[-1] != BATCH:
            found[-1] *= factor
        else:
            found.append(factor)
    return tuple(found)


def fixed(shape: Iterable[int]) -> Dims:
    """Return the dimensions of a shape that has nothing to do with the batch."""
    return tuple(dim([size]) for size in shape)


def size(of: Dim, batch: int) -> int:
    """Return the size of a dimension at one batch size."""
    return math.prod(batch if factor == BATCH else factor for factor in of)


def sizes(of: Dims, batch: int) -> tuple[int, ...]:
    """Return a shape at one batch size."""
    return tuple(size(d, batch) for d in of)


def has_batch(of: Dims) -> bool:
    """Whether the batch is in any dimension."""
    return any(BATCH in d for d in of)


def batch_axis(of: Dims) -> int | None:
    """Return the axis that the batch is in."""
    return next((axis for axis, d in enumerate(of) if BATCH in d), None)


def regroup(of: Dims, shape: Sequence[int], batch: int) -> list[Dims]:
    """Return all readings of a Reshape, the most likely first; none: it divides the batch.

    There is one as a rule. A batch of 1 may be in several places: alone in a dimension of 1 is
    more likely than inside of steps, and that more likely than outside of features; the axis that
    it had before is more likely than another one, and those come from the outermost on.
    """
    before = batch_axis(of)
    found = list(_regroup(dim(f for d in of for f in d), tuple(shape), batch))

    def doubt(dims: Dims) -> tuple[int, bool, int]:
        axis = batch_axis(dims)
        if axis is None:
            return 0, False, 0
        shared = 0 if dims[axis] == (BATCH,) else 1 if dims[axis][-1] == BATCH else 2
        return shared, axis != before, axis

    return sorted(dict.fromkeys(found), key=doubt)


def _regroup(factors: Dim, shape: tuple[int, ...], batch: int) -> Iterator[Dims]:
    if not shape:
        if not factors:
            yield ()
        return
    for first, rest in _take(factors, shape[0], batch):
        for others in _regroup(rest, shape[1:], batch):
            yield (dim(first), *others)


def _take(factors: Dim, wanted: int, batch: int) -> Iterator[tuple[list[int], Dim]]:
    """Yield the ways to take factors of a product from the outside."""
    taken: list[int] = []
    left = list(factors)
    while True:
        if wanted == 1:
            yield list(taken), tuple(left)
            if batch != 1 or not left or left[0] != BATCH:
                return
        if not left:
            return
        factor = left[0]
        number = batch if factor == BATCH else factor
        if wanted % number == 0:
            wanted //= number
            taken.append(left.pop(0))
        elif factor != BATCH and factor % wanted == 0:
            taken.append(wanted)
            left[0] = factor // wanted
            wanted = 1
        else:
            return


def take_row(
    array: npt.NDArray[np.generic], of: Dims, row: int, batch: int
) -> npt.NDArray[np.generic]:
    """Return one sample of a value: its batch axis, inside of another one or not, is gone."""
    factors = [f for d in of for f in d]
    apart = array.reshape([batch if f == BATCH else f for f in factors])
    sample: npt.NDArray[np.generic] = np.take(apart, row, axis=factors.index(BATCH))
    return sample


def uniform(array: npt.NDArray[np.generic], of: Dims, batch: int) -> bool:
    """Whether a constant is the same for each sample."""
    if not has_batch(of):
        return True
    first = take_row(array, of, 0, batch)
    return all(np.array_equal(first, take_row(array, of, row, batch)) for row in range(1, batch))
