"""Data files as streams of batches: one file per format, and the list of all of them.

To add a format: write its file with a :class:`Reader`, and add that to :data:`READERS`.
"""

from __future__ import annotations

import os
from pathlib import Path

from snnquant.data.npy import NPY
from snnquant.data.npz import NPZ
from snnquant.data.reader import LABELS, ArraySpec, Batch, Dataset, Reader
from snnquant.data.samples import first_samples, load_samples, save_samples
from snnquant.errors import DataError

READERS: tuple[Reader, ...] = (NPZ, NPY)

_HEAD = 16


def open_data(path: str | os.PathLike[str]) -> Dataset:
    """Open a data file; its content, not its name, decides the format.

    Raises:
        DataError: the file is missing, unreadable, damaged, empty or of an unknown format.
    """
    where = repr(os.fspath(path))
    source = Path(path)
    formats = " or ".join(f".{reader.name}" for reader in READERS)
    try:
        if source.exists() and not source.is_file():
            raise DataError(f"{where} is not a regular file; give a {formats} file")
        with source.open("rb") as stream:
            head = stream.read(_HEAD)
        for reader in READERS:
            if reader.recognises(source, head):
                return reader.open(source)
    except FileNotFoundError as error:
        raise DataError(f"there is no data file {where}; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"cannot read {where}: {error}; check the path") from error
    raise DataError(f"{where} is in no known format; give a {formats} file")


__all__ = [
    "LABELS",
    "READERS",
    "ArraySpec",
    "Batch",
    "Dataset",
    "Reader",
    "first_samples",
    "load_samples",
    "open_data",
    "save_samples",
]
