"""Events of an event camera, and the declared way in which they become frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnquant.data.folder import FolderDataset, Listing
from snnquant.data.options import Binning
from snnquant.data.reader import AnyArray, ArraySpec
from snnquant.errors import DataError

#: Event data becomes frames of counts in this type, exact up to 2**24 events.
FRAME_DTYPE = np.dtype(np.float32)
_MAX_TIME = 2**62


@dataclass(frozen=True, eq=False)
class Events:
    """One recording, all ``(n,)``: ``t`` in microseconds, ``x``, ``y`` in pixels, ``p`` 0 or 1."""

    t: AnyArray
    x: AnyArray
    y: AnyArray
    p: AnyArray

    def __len__(self) -> int:
        return len(self.t)


def event_arrays(arrays: Mapping[str, AnyArray], where: str) -> Events:
    """Return the arrays t, x, y, p of one recording.

    Args:
        arrays: by name; others are left out.
        where: the file, for messages.

    Raises:
        DataError: one is missing, is not of whole numbers, or they differ in length.
    """
    found = []
    for name in "txyp":
        array = arrays.get(name)
        if array is None or array.ndim != 1 or array.dtype.kind not in "biu":
            raise DataError(
                f"{where}: events need an array {name!r} of whole numbers, one per event; "
                "write the file again"
            )
        if array.dtype == np.uint64 and len(array) and array.max() > _MAX_TIME:
            raise DataError(f"{where}: an event has {name} = {array.max()}; write the file again")
        found.append(array.astype(np.int64))
    if len({len(array) for array in found}) != 1:
        raise DataError(f"{where}: t, x, y and p differ in length; write the file again")
    return Events(*found)


def steps_of(t: AnyArray, binning: Binning) -> AnyArray:
    """Return the step of each event, 0 to T - 1, as int64.

    The rules are those of SpikingJelly's frames of a fixed number, so that a network that was
    trained on them sees the same: ``time`` cuts at multiples of ``(last - first) // T``, ``count``
    at multiples of ``n // T``; what is left over belongs to the last step.
    """
    count = len(t)
    if binning.by == "count":
        step = np.arange(count, dtype=np.int64) // max(count // binning.steps, 1)
    else:
        since = t - int(t.min())
        step = since // max(int(since.max()) // binning.steps, 1)
    return np.minimum(step, binning.steps - 1)


def frames_of(
    events: Events, shape: tuple[int, int, int], binning: Binning, where: str
) -> AnyArray:
    """Return the number of events per step, polarity and pixel.

    Args:
        events: one recording.
        shape: polarities, height and width.
        binning: how events become steps.
        where: the file, for messages.

    Returns:
        Counts ``[T, 2, H, W]``, in ``FRAME_DTYPE``.

    Raises:
        DataError: there is no event, or one lies outside the sensor.
    """
    if not len(events):
        raise DataError(f"{where} holds no event; remove it")
    if int(events.t.max()) - int(events.t.min()) > _MAX_TIME:
        raise DataError(f"{where}: the times of the events cannot be true; write the file again")
    for name, values, limit in (
        ("p", events.p, shape[0]),
        ("y", events.y, shape[1]),
        ("x", events.x, shape[2]),
    ):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= limit:
            raise DataError(
                f"{where}: an event has {name} = {low if low < 0 else high}, not within 0 to "
                f"{limit - 1}; check the size of the sensor or write the file again"
            )
    whole = (binning.steps, *shape)
    try:
        place = np.ravel_multi_index(
            tuple(
                np.asarray(part, np.int64)
                for part in (steps_of(events.t, binning), events.p, events.y, events.x)
            ),
            whole,
        )
        counts = np.bincount(place, minlength=int(np.prod(whole)))
        return counts.astype(FRAME_DTYPE).reshape(whole)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{where}: frames of shape {whole} do not fit into memory; give fewer --timesteps"
        ) from error


def recordings(
    path: Path,
    listing: Listing,
    shape: tuple[int, int, int],
    binning: Binning,
    read: Callable[[Path], Events],
) -> FolderDataset:
    """Return a data set of files that hold one recording each.

    Args:
        path: of the folder, or of the one file.
        listing: its files.
        shape: polarities, height and width.
        binning: how events become steps.
        read: returns the events in a file.
    """

    def decode(file: Path) -> AnyArray:
        return frames_of(read(file), shape, binning, repr(str(file)))

    return FolderDataset(path, listing, ArraySpec((binning.steps, *shape), FRAME_DTYPE), decode)
