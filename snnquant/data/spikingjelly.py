"""Samples as SpikingJelly stores them: one ``.npz`` each, in folders by class.

Layout: ``spikingjelly.datasets``: arrays t (microseconds), x, y, p of one recording, or the frames
``[T, 2, H, W]`` that were made of it. A single file of events is a data set of one sample.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from snnquant.data.events import Events, event_arrays, recordings
from snnquant.data.folder import FolderDataset, Listing, first_file, list_folder
from snnquant.data.npz import load_arrays
from snnquant.data.options import ReadOptions
from snnquant.data.reader import AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError, UsageError

_SUFFIXES = (".npz",)
_EVENTS = frozenset({"t", "x", "y", "p"})
_FRAMES = "frames"
_KNOWN = (_EVENTS, frozenset({_FRAMES}), frozenset[str]())


def _members(path: Path) -> frozenset[str]:
    """Return the names of the arrays in a zip; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return frozenset()


def read_events(path: Path) -> Events:
    """Return the events of one recording.

    Raises:
        DataError: it is damaged, or lacks an array.
    """
    return event_arrays(load_arrays(path), repr(str(path)))


def _frames(file: Path) -> AnyArray:
    arrays = load_arrays(file)
    if _FRAMES not in arrays:
        raise DataError(f"{str(file)!r} has no array 'frames'; all samples must be alike")
    return arrays[_FRAMES]


def _open(path: Path, options: ReadOptions) -> Dataset:
    listing = Listing((path,), None) if path.is_file() else list_folder(path, _SUFFIXES)
    where = repr(str(path))
    if _members(listing.files[0]) != _EVENTS:
        first = _frames(listing.files[0])
        if options.bin is not None or options.sensor is not None:
            raise UsageError(f"{where} holds frames, not events; drop --bin and --sensor")
        return FolderDataset(path, listing, ArraySpec(first.shape, first.dtype), _frames)
    binning = options.binning(where)
    shape = (2, *options.sensor_size(where))
    return recordings(path, listing, shape, binning, read_events)


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        file = first_file(path, _SUFFIXES)
        # Damaged too: nothing else is stored in this way.
        return file is not None and _members(file) in _KNOWN
    return head.startswith(b"PK\x03\x04") and _members(path) == _EVENTS


SPIKINGJELLY = Reader("SpikingJelly npz folder", _recognises, _open, frozenset({"bin", "sensor"}))
