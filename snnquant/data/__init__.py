"""Data files as streams of batches: one file per format, and the list of all of them.

To add a format: write its file with a :class:`Reader`, and add that to :data:`READERS`; list it in
the README's table of data, and in ``tests/data/damage.py``, by which every reader is damaged.
"""

from __future__ import annotations

import os
from pathlib import Path

from snnquant.data.aedat import AEDAT
from snnquant.data.callable import CALLABLE
from snnquant.data.encode import Prepared
from snnquant.data.idx import IDX
from snnquant.data.images import IMAGES
from snnquant.data.nmnist import NMNIST
from snnquant.data.npy import NPY
from snnquant.data.npz import NPZ
from snnquant.data.options import ReadOptions
from snnquant.data.reader import LABELS, ArraySpec, Batch, Dataset, Reader
from snnquant.data.samples import first_samples, load_samples, samples_bytes
from snnquant.data.shd import SHD
from snnquant.data.spikingjelly import SPIKINGJELLY
from snnquant.data.tonic import TONIC
from snnquant.errors import DataError

#: The first that recognises a file opens it.
READERS: tuple[Reader, ...] = (
    SPIKINGJELLY,
    TONIC,
    NPZ,
    NPY,
    IDX,
    NMNIST,
    AEDAT,
    SHD,
    IMAGES,
    CALLABLE,
)

_HEAD = 16


def open_data(path: str | os.PathLike[str], options: ReadOptions | None = None) -> Dataset:
    """Open a data file, a folder or ``module:callable``; content decides the format of a file.

    Args:
        path: of the file or folder, or the name.
        options: what is declared about it.

    Raises:
        DataError: it is missing, unreadable, damaged, empty or of an unknown format.
        UsageError: an option that the format needs is missing, or one means nothing to it.
    """
    where = repr(os.fspath(path))
    source = Path(path)
    given = options or ReadOptions()
    formats = ", ".join(reader.name for reader in READERS)
    try:
        head = b""
        if not source.is_dir() and not CALLABLE.recognises(source, head):
            if source.exists() and not source.is_file():
                raise DataError(f"{where} is not a regular file; give one of: {formats}")
            with source.open("rb") as stream:
                head = stream.read(_HEAD)
        for reader in READERS:
            if reader.recognises(source, head):
                given.check_takes(reader.takes, where, f"of the format {reader.name}")
                dataset = reader.open(source, given)
                prepares = given.normalization is not None or given.encoding is not None
                return Prepared(dataset, given) if prepares else dataset
    except FileNotFoundError as error:
        raise DataError(f"there is no data file {where}; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"cannot read {where}: {error}; check the path") from error
    if source.is_dir():
        raise DataError(
            f"{where} is not a regular file, and no folder of samples in a known format; "
            f"give one of: {formats}"
        )
    raise DataError(f"{where} is in no known format; give one of: {formats}")


__all__ = [
    "LABELS",
    "READERS",
    "ArraySpec",
    "Batch",
    "Dataset",
    "ReadOptions",
    "Reader",
    "first_samples",
    "load_samples",
    "open_data",
    "samples_bytes",
]
