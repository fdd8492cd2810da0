"""One array in a ``.npy`` file: the input ``x``, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from snnquant.data.header import MAGIC, NpyHeader, read_header, to_native
from snnquant.data.options import ReadOptions
from snnquant.data.reader import INPUT, AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError


class MappedArray:
    """An array in a file, of which slices of samples are read.

    Args:
        file: path, or an open file that stays open.
        header: what the file declares.
        where: the file (and member) for messages.
        time_first: the samples are the second axis, ``[T, B, ...]``.
    """

    def __init__(
        self, file: Path | IO[bytes], header: NpyHeader, where: str, *, time_first: bool
    ) -> None:
        self._file = file
        self._header = header
        self._where = where
        self._time_first = time_first

    def read(self, start: int, stop: int) -> AnyArray:
        """Return the samples ``start`` to ``stop``, batch first.

        Raises:
            DataError: the file is gone or shorter than it was.
        """
        header = self._header
        try:
            # Mapped anew for each batch: pages that were read do not stay resident.
            mapped: AnyArray = np.memmap(
                self._file,
                header.dtype,
                "r",
                header.start,
                header.shape,
                "F" if header.fortran_order else "C",
            )
            if self._time_first:
                mapped = mapped.swapaxes(0, 1)
            return to_native(np.array(mapped[start:stop], order="C"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._where} cannot be read or changed since it was opened: {error}; "
                "leave the file in place until the run ends"
            ) from error
        except MemoryError as error:
            raise DataError(
                f"{self._where}: {stop - start} samples do not fit into memory; "
                "choose a smaller batch size"
            ) from error


def batch_first(spec: ArraySpec, where: str) -> ArraySpec:
    """Return the form in which a stored ``[T, B, ...]`` is read.

    Raises:
        DataError: it has no two axes.
    """
    if len(spec.shape) < 2:
        raise DataError(
            f"{where} has the shape {spec.shape}, which is not [T, B, ...]; drop --data-layout tb"
        )
    steps, samples, *rest = spec.shape
    return ArraySpec((samples, steps, *rest), spec.dtype)


class NpyDataset(Dataset):
    """A memory-mapped array, samples first or, if that is declared, time first."""

    def __init__(self, path: Path, header: NpyHeader, *, time_first: bool = False) -> None:
        where = repr(str(path))
        self._mapped = MappedArray(path, header, where, time_first=time_first)
        super().__init__(
            path, {INPUT: batch_first(header.spec, where) if time_first else header.spec}
        )

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        for first in range(start, stop, size):
            yield {INPUT: self._mapped.read(first, min(first + size, stop))}


def _open(path: Path, options: ReadOptions) -> Dataset:
    with path.open("rb") as stream:
        header = read_header(stream, path.stat().st_size, repr(str(path)))
    return NpyDataset(path, header, time_first=options.layout == "tb")


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


NPY = Reader("npy", _recognises, _open, frozenset({"normalize", "encode", "layout"}))
