"""A part of a data set, as a data set of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from snnquant.data.reader import AnyArray, Batch, Dataset


class Part(Dataset):
    """The samples ``start, ..., stop - 1`` of another data set.

    Args:
        inner: the data set.
        start: index of the first sample.
        stop: index behind the last one; there must be one between them.
    """

    def __init__(self, inner: Dataset, start: int, stop: int) -> None:
        self._inner = inner
        self._start = start
        specs = inner.arrays.items()
        super().__init__(
            inner.path,
            {name: replace(spec, shape=(stop - start, *spec.shape[1:])) for name, spec in specs},
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        return self._inner.files

    @property
    def sha256(self) -> str:
        """Hash of the whole data set."""
        return self._inner.sha256

    def _check_labels(self) -> None:
        """The whole data set was checked when it was opened."""

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        return self._inner._chunks(names, size, self._start + start, self._start + stop)

    def _batches(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        for batch in self._inner._batches(size, self._start + start, self._start + stop):
            yield replace(batch, start=batch.start - self._start)
