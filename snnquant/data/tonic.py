"""Events as tonic holds them: structured ``.npy`` arrays with the fields x, y, t, p.

One file is one recording; a data set is a folder of them by class. Layout: tonic's events dtype,
t in microseconds; the order and the integer types of the fields are free.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from snnquant.data.events import Events, event_arrays, recordings
from snnquant.data.folder import Listing, first_file, list_folder
from snnquant.data.header import MAGIC, read_header
from snnquant.data.options import ReadOptions
from snnquant.data.reader import Dataset, Reader
from snnquant.errors import DataError

_SUFFIXES = (".npy",)
_HEAD = 256
#: How NumPy writes a dtype that has fields.
_STRUCTURED = b"'descr': ["


def read_events(path: Path) -> Events:
    """Return the events of one structured array.

    Raises:
        DataError: it is damaged, or lacks a field.
    """
    where = repr(str(path))
    with path.open("rb") as stream:
        header = read_header(stream, path.stat().st_size, where, structured=True)
        dtype = header.dtype
        if any(dtype[name].kind not in "biuf" for name in dtype.names or ()):
            raise DataError(f"{where}: dtype {dtype} is not of numbers; write the file again")
        stored = np.fromfile(stream, dtype, math.prod(header.shape))
    fields = {name: stored[name] for name in dtype.names or ()}
    return event_arrays(fields, where)


def _open(path: Path, options: ReadOptions) -> Dataset:
    listing = Listing((path,), None) if path.is_file() else list_folder(path, _SUFFIXES)
    where = repr(str(path))
    binning = options.binning(where)
    shape = (2, *options.sensor_size(where))
    return recordings(path, listing, shape, binning, read_events)


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        return first_file(path, _SUFFIXES) is not None
    if not head.startswith(MAGIC):
        return False
    with path.open("rb") as stream:
        start = stream.read(_HEAD)
    fields = (f"'{name}'".encode() in start for name in "xytp")
    return _STRUCTURED in start and all(fields)


TONIC = Reader("tonic structured npy", _recognises, _open, frozenset({"bin", "sensor"}))
