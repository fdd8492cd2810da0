"""N-MNIST: folders 0 to 9 of ``.bin`` files, events of 5 bytes from a sensor of 34 x 34.

Layout: "Converting static image datasets to spiking neuromorphic datasets using saccades",
Orchard et al. 2015: x, y, then a bit of polarity and 23 bits of microseconds, big-endian. An event
with y = 240 says that the clock went round: it is dropped, and 2**13 is added to all later times.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnquant.data.events import Events, recordings
from snnquant.data.folder import first_file, list_folder
from snnquant.data.options import ReadOptions
from snnquant.data.reader import Dataset, Reader
from snnquant.errors import DataError

_SUFFIXES = (".bin",)
_SHAPE = (2, 34, 34)
_EVENT = 5
_OVERFLOW_Y = 240
_OVERFLOW_TIME = 1 << 13


def read_events(path: Path) -> Events:
    """Return the events of one ``.bin`` file.

    Raises:
        DataError: it is empty, or ends within an event.
    """
    raw = np.fromfile(path, np.uint8)
    if not len(raw) or len(raw) % _EVENT:
        raise DataError(
            f"{str(path)!r} is no N-MNIST recording or is truncated: {len(raw)} bytes are no "
            f"whole number of {_EVENT}-byte events; copy it again"
        )
    fields = raw.reshape(-1, _EVENT)
    word = fields[:, 2:].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    overflow = fields[:, 1] == _OVERFLOW_Y
    t = (word & 0x7FFFFF) + np.cumsum(overflow) * _OVERFLOW_TIME
    real = ~overflow
    return Events(t[real], fields[real, 0], fields[real, 1], (word >> 23)[real])


def _open(path: Path, options: ReadOptions) -> Dataset:
    binning = options.binning(repr(str(path)))
    return recordings(path, list_folder(path, _SUFFIXES), _SHAPE, binning, read_events)


def _recognises(path: Path, head: bytes) -> bool:
    return first_file(path, _SUFFIXES) is not None


NMNIST = Reader("N-MNIST folder", _recognises, _open, frozenset({"bin"}))
