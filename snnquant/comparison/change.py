"""One difference between two files, and how two arrays differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Values that are compared at once, so that their differences in 64 bits take little memory.
_CHUNK = 1 << 18


@dataclass(frozen=True)
class ArrayChange:
    """How two arrays of one shape differ.

    Attributes:
        changed: values that are not equal.
        total: values.
        largest: largest absolute difference; of integers an integer.
        at: index of the first value that differs so much.
        before: value there in the first array.
        after: value there in the second.
    """

    changed: int
    total: int
    largest: float | int
    at: tuple[int, ...]
    before: float | int
    after: float | int


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        id: kind of difference, such as ``weights``, ``scale`` or ``metadata``.
        what: what differs, such as the name of the constant.
        before: in the first file, None where it is not there.
        after: in the second file.
        values: of arrays of one shape, how they differ.
        computes: whether results may change; names and metadata change none.
    """

    id: str
    what: str
    before: Any = None
    after: Any = None
    values: ArrayChange | None = None
    computes: bool = True


def compare_values(
    id: str, what: str, before: Any, after: Any, *, computes: bool = True
) -> list[Change]:
    """Return the difference between two plain values, if there is one."""
    return [] if before == after else [Change(id, what, before, after, computes=computes)]


def compare_arrays(id: str, what: str, before: Array | None, after: Array | None) -> list[Change]:
    """Return the difference between two arrays, if there is one.

    One value for all neurons and the same value for each are the same.

    Args:
        id: of the difference.
        what: what they hold.
        before: array of the first file; None: it is computed, or not there.
        after: array of the second file.
    """
    if before is None or after is None:
        return compare_values(id, what, summary(before), summary(after))
    one, other = before, after
    if 1 in (one.size, other.size) and one.size and other.size:
        shape = one.shape if one.size > 1 else other.shape
        one = np.broadcast_to(one.reshape(-1)[0], shape) if one.size == 1 else one
        other = np.broadcast_to(other.reshape(-1)[0], shape) if other.size == 1 else other
    elif _squeezed(one) == _squeezed(other):
        other = other.reshape(one.shape)
    if one.shape != other.shape:
        return [Change("shape", f"{what} shape", list(before.shape), list(after.shape))]
    found = _difference(one, other)
    if found is None:
        return []
    return [Change(id, what, summary(before), summary(after), found)]


def summary(array: Array | None) -> Any:
    """Return an array in a word: its value, or its smallest and largest; "computed" for None."""
    if array is None:
        return "computed"
    if not array.size:
        return []
    low, high = array.min(), array.max()
    return low.item() if low == high else [low.item(), high.item()]


def _squeezed(array: Array) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)


def _difference(one: Array, other: Array) -> ArrayChange | None:
    """Compare arrays of one shape piece by piece; integers exactly, floats in float64."""
    whole = all(array.dtype.kind in "biu" for array in (one, other))
    dtype = np.int64 if whole else np.float64
    changed, largest, place = 0, 0.0, -1
    for start in range(0, one.size, _CHUNK):
        stop = min(start + _CHUNK, one.size)
        first, second = (array.flat[start:stop].astype(dtype) for array in (one, other))
        apart = np.abs(second - first)
        changed += int(np.count_nonzero(first != second))
        index = int(np.argmax(apart))
        if apart[index] > largest:
            largest, place = apart[index].item(), start + index
    if place < 0:
        return None
    at = tuple(int(k) for k in np.unravel_index(place, one.shape))
    return ArrayChange(changed, one.size, largest, at, one[at].item(), other[at].item())
