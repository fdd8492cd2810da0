"""Events of an event camera, and the declared way in which they become frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnquant.data.options import Binning
from snnquant.data.reader import AnyArray
from snnquant.errors import DataError

#: Event data becomes frames of counts in this type, exact up to 2**24 events.
FRAME_DTYPE = np.dtype(np.float32)


@dataclass(frozen=True, eq=False)
class Events:
    """One recording: ``t`` in microseconds, ``x``, ``y`` in pixels, ``p`` 0 or 1; all ``(n,)``."""

    t: AnyArray
    x: AnyArray
    y: AnyArray
    p: AnyArray

    def __len__(self) -> int:
        return len(self.t)


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
        since = t.astype(np.int64) - int(t.min())
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
    for name, values, limit in (
        ("p", events.p, shape[0]),
        ("y", events.y, shape[1]),
        ("x", events.x, shape[2]),
    ):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= limit:
            raise DataError(
                f"{where}: an event has {name} = {low if low < 0 else high}, beyond the sensor "
                f"(0 to {limit - 1}); check the size of the sensor or write the file again"
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
