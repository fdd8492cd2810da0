"""The vocabulary of data reading: a data set is named arrays, batch first, read in batches."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.data.options import ReadOptions
from snnquant.errors import DataError, UsageError
from snnquant.files import sha256_of

AnyArray = npt.NDArray[Any]

#: The array of this name holds the labels; every other array is a model input.
LABELS = "y"
#: Name of the input of a format that holds one and does not name it.
INPUT = "x"

_LABEL_CHUNK = 1 << 16
#: What every numpy can hold.
_MAX_AXES = 32


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive samples of a data set.

    ``inputs`` has one array per input name, ``(n, ...)`` in the stored dtype; ``labels`` is
    ``(n,)`` int64 or None; ``start`` is the index of the first sample in the data set.
    """

    inputs: dict[str, AnyArray]
    labels: npt.NDArray[np.int64] | None
    start: int

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class ArraySpec:
    """Shape (samples first) and dtype (native byte order) of one stored array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Reader:
    """One format: how it is recognised from path and first bytes (none of a folder), and opened.

    ``takes`` are the fields of :class:`ReadOptions` that mean something to it.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path, ReadOptions], Dataset]
    takes: frozenset[str] = frozenset()


class Dataset(ABC):
    """Samples in files, read in order and in batches; memory holds one batch at a time."""

    def __init__(self, path: Path, arrays: Mapping[str, ArraySpec]) -> None:
        self.path = path
        self._arrays = dict(arrays)
        self.keys: tuple[str, ...] = tuple(sorted(name for name in arrays if name != LABELS))
        self._check_arrays()
        self._length = self._arrays[self.keys[0]].shape[0]
        self._check_labels()

    def __len__(self) -> int:
        return self._length

    @property
    def has_labels(self) -> bool:
        """Tell whether the data set holds labels."""
        return LABELS in self._arrays

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        """Shape and dtype of every array, labels included."""
        return dict(self._arrays)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        return (self.path,)

    @property
    def sha256(self) -> str:
        """Hash of the data as 64 hex digits: of the file, or of the list of names and hashes."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        if self.files == (self.path,):
            return sha256_of(self.path)
        lines = (
            f"{sha256_of(file)}  {os.path.relpath(file, self.path.parent)}\n".replace(os.sep, "/")
            for file in self.files
        )
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def sample_shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of one sample of input ``key``, without the sample axis."""
        return self._spec(key).shape[1:]

    def dtype(self, key: str) -> np.dtype[Any]:
        """Return the dtype that the batches of input ``key`` have."""
        return self._spec(key).dtype

    def batches(
        self, batch_size: int, limit: int | None = None, *, start: int = 0
    ) -> Iterator[Batch]:
        """Yield the samples ``start, start + 1, ...`` in batches; the last one may be smaller.

        Args:
            batch_size: samples per batch.
            limit: at most this many samples in all; None reads to the end.
            start: index of the first sample, for shards and resumed runs.

        Raises:
            UsageError: an argument is out of range.
            DataError: the file is damaged, or changed since it was opened.
        """
        if batch_size < 1 or (limit is not None and limit < 1) or start < 0:
            raise UsageError(
                f"cannot read batches of {batch_size} samples, limit {limit}, from sample {start}; "
                "batch size and limit must be at least 1 and the start at least 0"
            )
        stop = len(self) if limit is None else min(len(self), start + limit)
        return self._batches(batch_size, start, stop) if start < stop else iter(())

    @abstractmethod
    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        """Yield samples ``start`` to ``stop`` of the named arrays, ``size`` samples at a time."""

    def _batches(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        names = (*self.keys, LABELS) if self.has_labels else self.keys
        for chunk in self._chunks(names, size, start, stop):
            stored = chunk.pop(LABELS, None)
            labels = None if stored is None else self._to_labels(stored)
            yield Batch(chunk, labels, start)
            start += size

    def _spec(self, key: str) -> ArraySpec:
        if key not in self.keys:
            known = ", ".join(map(repr, self.keys))
            raise DataError(
                f"{str(self.path)!r} has no input array {key!r}, only {known}; "
                "name the arrays after the model's inputs"
            )
        return self._arrays[key]

    def _check_arrays(self) -> None:
        where = repr(str(self.path))
        if not self.keys:
            raise DataError(f"{where} holds no input array; store the samples as 'x'")
        lengths: dict[str, int] = {}
        for name, spec in sorted(self._arrays.items()):
            if spec.dtype.kind not in "biuf" or spec.dtype.itemsize > 8:
                raise DataError(
                    f"{where}, array {name!r}: dtype {spec.dtype} is not supported; "
                    "store booleans, integers or floats of at most 64 bits"
                )
            if not spec.shape:
                raise DataError(f"{where}, array {name!r} is a scalar; put the samples first")
            if len(spec.shape) > _MAX_AXES:
                raise DataError(
                    f"{where}, array {name!r} has {len(spec.shape)} axes, more than {_MAX_AXES}; "
                    "write the file again"
                )
            if 0 in spec.shape:
                raise DataError(
                    f"{where}, array {name!r} of shape {spec.shape} is empty; "
                    "store at least one sample"
                )
            lengths[name] = spec.shape[0]
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name!r}: {length}" for name, length in lengths.items())
            raise DataError(
                f"{where}: the arrays differ in their number of samples ({listed}); "
                "store the same samples in each"
            )

    def _check_labels(self) -> None:
        if not self.has_labels:
            return
        spec = self._arrays[LABELS]
        if len(spec.shape) != 1:
            raise DataError(
                f"{str(self.path)!r}: the labels 'y' have shape {spec.shape}; "
                "store one integer class per sample, not one-hot rows"
            )
        if spec.dtype.kind == "f" or spec.dtype == np.uint64:
            for chunk in self._chunks((LABELS,), _LABEL_CHUNK, 0, len(self)):
                self._to_labels(chunk[LABELS])

    def _to_labels(self, stored: AnyArray) -> npt.NDArray[np.int64]:
        if stored.dtype.kind == "f":
            # 2**62 is far beyond any class index and safe to convert; NaN fails the comparison.
            valid = bool((np.rint(stored) == stored).all() and (np.abs(stored) <= 2.0**62).all())
        else:
            valid = stored.dtype != np.uint64 or bool(stored.max() <= 2**62)
        if not valid:
            raise DataError(
                f"{str(self.path)!r}: the labels 'y' are not all whole numbers; "
                "store the integer class of each sample"
            )
        return stored.astype(np.int64, copy=False)
