"""One array in a ``.npy`` file: the input ``x``, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnquant.data.header import MAGIC, NpyHeader, read_header, to_native
from snnquant.data.options import ReadOptions
from snnquant.data.reader import AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError

_KEY = "x"


class NpyDataset(Dataset):
    """A memory-mapped array, samples first or, if that is declared, time first."""

    def __init__(self, path: Path, header: NpyHeader, *, time_first: bool = False) -> None:
        self._header = header
        self._time_first = time_first
        spec = header.spec
        if time_first:
            if len(spec.shape) < 2:
                raise DataError(
                    f"{str(path)!r} has the shape {spec.shape}, which is not [T, B, ...]; "
                    "drop --data-layout tb"
                )
            steps, samples, *rest = spec.shape
            spec = ArraySpec((samples, steps, *rest), spec.dtype)
        super().__init__(path, {_KEY: spec})

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        for first in range(start, stop, size):
            yield {_KEY: self._read(first, min(first + size, stop))}

    def _read(self, start: int, stop: int) -> AnyArray:
        header = self._header
        try:
            # Mapped anew for each batch: pages that were read do not stay resident.
            mapped: AnyArray = np.memmap(
                self.path,
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
                f"{str(self.path)!r} cannot be read or changed since it was opened: {error}; "
                "leave the file in place until the run ends"
            ) from error
        except MemoryError as error:
            raise DataError(
                f"{str(self.path)!r}: {stop - start} samples do not fit into memory; "
                "choose a smaller batch size"
            ) from error


def _open(path: Path, options: ReadOptions) -> Dataset:
    with path.open("rb") as stream:
        header = read_header(stream, path.stat().st_size, repr(str(path)))
    return NpyDataset(path, header, time_first=options.layout == "tb")


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


NPY = Reader("npy", _recognises, _open, frozenset({"normalize", "encode", "layout"}))
