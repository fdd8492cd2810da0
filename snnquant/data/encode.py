"""Declared preparation of stored values: normalisation, and sequences from static samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnquant.data.options import Normalization, ReadOptions
from snnquant.data.reader import LABELS, AnyArray, ArraySpec, Dataset
from snnquant.errors import DataError


class Prepared(Dataset):
    """A data set whose inputs are normalised, then encoded; a batch at a time."""

    def __init__(self, inner: Dataset, options: ReadOptions) -> None:
        self._inner = inner
        self._normalization = options.normalization
        self._encoding = options.encoding
        self._steps = options.timesteps or 0
        self._seed = options.seed or 0
        arrays = inner.arrays
        super().__init__(
            inner.path,
            {
                name: spec if name == LABELS else self._prepared(spec)
                for name, spec in arrays.items()
            },
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        return self._inner.files

    @property
    def sha256(self) -> str:
        """Hash of the stored data, whatever is made of it."""
        return self._inner.sha256

    def _prepared(self, spec: ArraySpec) -> ArraySpec:
        shape, dtype = spec.shape, spec.dtype
        if self._normalization is not None:
            dtype = np.dtype(np.float32)
        if self._encoding is not None:
            shape = (shape[0], self._steps, *shape[1:])
            dtype = dtype if self._encoding == "repeat" else np.dtype(np.uint8)
        return ArraySpec(shape, dtype)

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        for chunk in self._inner._chunks(names, size, start, stop):
            try:
                yield {
                    name: array if name == LABELS else self._prepare(array, name, start)
                    for name, array in chunk.items()
                }
            except MemoryError as error:
                raise DataError(
                    f"{str(self.path)!r}: {size} samples of {self._steps} steps do not fit into "
                    "memory; choose a smaller batch size"
                ) from error
            start += size

    def _prepare(self, array: AnyArray, name: str, start: int) -> AnyArray:
        where = f"{str(self.path)!r}, array {name!r}"
        if self._normalization is not None:
            array = normalized(array, self._normalization, where)
        if self._encoding == "repeat":
            return np.repeat(array[:, np.newaxis], self._steps, axis=1)
        if self._encoding is None:
            return array
        if not (array.min() >= 0 and array.max() <= 1):  # NaN fails too
            raise DataError(
                f"{where}: --encode {self._encoding} needs values from 0 to 1, these go from "
                f"{array.min():g} to {array.max():g}; give --normalize 0..1, or scale them"
            )
        if self._encoding == "latency":
            return latency(array, self._steps)
        spikes = np.empty((len(array), self._steps, *array.shape[1:]), np.uint8)
        key = self.keys.index(name)
        for offset, sample in enumerate(array):
            spikes[offset] = poisson(sample, self._steps, (self._seed, start + offset, key))
        return spikes


def normalized(array: AnyArray, how: Normalization, where: str) -> AnyArray:
    """Return values as float32: divided by the largest of their type, then shifted and scaled.

    Booleans count as 0 and 1, and floats are not divided. The order of operations is that of
    torchvision's ToTensor and Normalize.

    Raises:
        DataError: the values are signed integers, whose range is not known.
    """
    if array.dtype.kind == "i":
        raise DataError(
            f"{where}: {array.dtype} values have no declared range; store unsigned integers or "
            "floats, or give --normalize none"
        )
    largest = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    scaled = array.astype(np.float32) / np.float32(largest)
    if how.mean or how.std != 1:
        scaled = (scaled - np.float32(how.mean)) / np.float32(how.std)
    return np.asarray(scaled)


def poisson(sample: AnyArray, steps: int, seed: tuple[int, int, int]) -> AnyArray:
    """Return spikes ``[T, ...]`` that come with the probability that each value is.

    Args:
        sample: values from 0 to 1.
        steps: T.
        seed: of the draws: the user's seed, the sample's index, the input's number.
    """
    draws = np.random.Generator(np.random.PCG64(seed))
    spikes = np.empty((steps, *sample.shape), np.uint8)
    for step in range(steps):
        spikes[step] = draws.random(sample.shape) < sample
    return spikes


def latency(batch: AnyArray, steps: int) -> AnyArray:
    """Return one spike per value ``[B, T, ...]``, at step ``round((T - 1) * (1 - x))``.

    The rule is SpikingJelly's linear LatencyEncoder; halves go to the even step.
    """
    first = np.rint((steps - 1) * (1 - batch.astype(np.float32))).astype(np.int64)
    at = np.arange(steps).reshape(1, steps, *[1] * (batch.ndim - 1))
    spikes: AnyArray = (first[:, np.newaxis] == at).astype(np.uint8)
    return spikes
