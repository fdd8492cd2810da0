"""Folders of files, one sample each, whose class is the subfolder that they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnquant.data.reader import INPUT, LABELS, AnyArray, ArraySpec, Dataset
from snnquant.errors import DataError


@dataclass(frozen=True)
class Listing:
    """The files of a folder in order, and their classes; None: they are not in subfolders."""

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None


def list_folder(folder: Path, suffixes: tuple[str, ...]) -> Listing:
    """Return the files with these suffixes, sorted by class and name; hidden ones are left out.

    A class is the index of its subfolder among the sorted names, as torchvision's DatasetFolder
    counts them; so ``10`` comes before ``2``. A subfolder without such files keeps its index.
    """
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and _visible(entry))
    found = [(file, label) for label, each in enumerate(classes) for file in _of(each, suffixes)]
    if found:
        return Listing(tuple(file for file, _ in found), tuple(label for _, label in found))
    return Listing(tuple(_of(folder, suffixes)), None)


def first_file(folder: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the first file of a folder's listing, without listing all; None: there is none."""
    if not folder.is_dir():
        return None
    for each in sorted(entry for entry in folder.iterdir() if entry.is_dir() and _visible(entry)):
        if found := _of(each, suffixes):
            return found[0]
    files = _of(folder, suffixes)
    return files[0] if files else None


class FolderDataset(Dataset):
    """Samples in files of their own, each decoded to an array of one shape when it is needed."""

    def __init__(
        self,
        path: Path,
        listing: Listing,
        spec: ArraySpec,
        decode: Callable[[Path], AnyArray],
    ) -> None:
        """Describe the files.

        Args:
            path: of the folder.
            listing: its files.
            spec: shape and dtype of one sample, without the sample axis.
            decode: returns the sample in a file.
        """
        self._listing = listing
        self._decode = decode
        count = len(listing.files)
        arrays = {INPUT: ArraySpec((count, *spec.shape), spec.dtype)}
        if listing.labels is not None:
            arrays[LABELS] = ArraySpec((count,), np.dtype(np.int64))
        super().__init__(path, arrays)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        return self._listing.files

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        labels = np.asarray(self._listing.labels or (), np.int64)
        for first in range(start, stop, size):
            last = min(first + size, stop)
            chunk: dict[str, AnyArray] = {}
            if INPUT in names:
                chunk[INPUT] = self._samples(self._listing.files[first:last])
            if LABELS in names:
                chunk[LABELS] = labels[first:last]
            yield chunk

    def _samples(self, files: tuple[Path, ...]) -> AnyArray:
        shape, dtype = self.sample_shape(INPUT), self.dtype(INPUT)
        samples: list[AnyArray] = []
        for file in files:
            sample = self._decoded(file)
            if sample.shape != shape or sample.dtype != dtype:
                raise DataError(
                    f"{str(file)!r} holds {sample.dtype} of shape {sample.shape}, the first file "
                    f"{dtype} of shape {shape}; all samples must be alike"
                )
            samples.append(sample)
        return np.stack(samples)

    def _decoded(self, file: Path) -> AnyArray:
        try:
            return self._decode(file)
        except OSError as error:
            raise DataError(
                f"cannot read {str(file)!r}: {error.strerror or error}; check the path"
            ) from error
        except MemoryError as error:
            raise DataError(
                f"{str(file)!r} does not fit into memory; choose a smaller batch size"
            ) from error


def _of(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in suffixes and _visible(entry) and entry.is_file()
    )


def _visible(entry: Path) -> bool:
    return not entry.name.startswith(".")
