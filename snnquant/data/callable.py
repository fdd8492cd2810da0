"""``module:callable``: the user's own code gives an iterable of batches.

A batch is an array of inputs, a pair of inputs and labels, or a dict of arrays by input name with
the labels as ``y``; tensors of torch are arrays too. A single batch needs no list around it. The
callable is called for every pass over the data and must give the same each time; the first pass
counts and hashes it.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from snnquant.data.options import ReadOptions
from snnquant.data.reader import INPUT, LABELS, AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError, UsageError, first_line

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
Arrays = dict[str, AnyArray]


class CallableDataset(Dataset):
    """Batches of the user's code, cut anew into batches of the size that is asked for."""

    def __init__(self, name: str, give: Callable[[], Any], *, time_first: bool) -> None:
        self._name = name
        self._give = give
        self._time_first = time_first
        digest = hashlib.sha256()
        count = 0
        specs: dict[str, ArraySpec] = {}
        for arrays in self._passed():
            found = {key: ArraySpec(held.shape[1:], held.dtype) for key, held in arrays.items()}
            if specs and found != specs:
                raise DataError(
                    f"{name}: batch at sample {count} has other arrays, shapes or types than the "
                    "first; give batches that are alike"
                )
            specs = found
            count += len(next(iter(arrays.values())))
            for sample in zip(*(arrays[key] for key in sorted(arrays)), strict=True):
                for part in sample:
                    digest.update(np.ascontiguousarray(part).tobytes())
        if not count:
            raise DataError(f"{name} gives no batch; it must give an iterable of batches")
        digest.update(repr(sorted((k, v.shape, v.dtype.str) for k, v in specs.items())).encode())
        self._digest = digest.hexdigest()
        super().__init__(
            Path(name), {k: ArraySpec((count, *v.shape), v.dtype) for k, v in specs.items()}
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """No files: the data comes from code."""
        return ()

    @property
    def sha256(self) -> str:
        """Hash of all samples, whatever the size of the batches that they came in."""
        return self._digest

    def _chunks(self, names: tuple[str, ...], size: int, start: int, stop: int) -> Iterator[Arrays]:
        held: list[Arrays] = []
        at, wanted = 0, min(size, stop - start)
        for arrays in self._passed():
            if any(
                key not in arrays or arrays[key].shape[1:] != self.arrays[key].shape[1:]
                for key in names
            ):
                break
            count = len(arrays[names[0]])
            first = max(start - at, 0)
            at += count
            while first < count and start < stop:
                missing = wanted - sum(len(part[names[0]]) for part in held)
                held.append({key: arrays[key][first : first + missing] for key in names})
                first += missing
                if sum(len(part[names[0]]) for part in held) < wanted:
                    break
                yield {key: np.concatenate([part[key] for part in held]) for key in names}
                held, start = [], start + wanted
                wanted = min(size, stop - start)
            if start >= stop:
                return
        raise DataError(
            f"{self._name} gives other batches at another call; "
            "it must give the same samples each time"
        )

    def _passed(self) -> Iterator[Arrays]:
        """Yield the batches of one call, samples first."""
        with _users_code(self._name):
            batches = self._give()
            if isinstance(batches, Mapping) or _is_array(batches) or _is_pair(batches):
                batches = [batches]
            iterator = iter(batches)
        while True:
            with _users_code(self._name):
                batch = next(iterator, None)
                arrays = None if batch is None else self._arrays_of(batch)
            if arrays is None:
                return
            yield arrays

    def _arrays_of(self, batch: Any) -> Arrays:
        if isinstance(batch, Mapping):
            arrays = {str(key): np.asarray(value) for key, value in batch.items()}
        elif isinstance(batch, (tuple, list)) and len(batch) == 2:
            arrays = {INPUT: np.asarray(batch[0]), LABELS: np.asarray(batch[1])}
        else:
            arrays = {INPUT: np.asarray(batch)}
        inputs = [key for key in arrays if key != LABELS]
        least = 2 if self._time_first else 1
        if not inputs or any(arrays[key].ndim < least for key in inputs):
            raise DataError(
                f"{self._name}: a batch is no array of samples; give arrays, pairs of inputs and "
                "labels, or dicts of arrays by input name"
            )
        if self._time_first:
            arrays |= {key: arrays[key].swapaxes(0, 1) for key in inputs}
        if len({held.shape[:1] for held in arrays.values()}) != 1:
            shapes = ", ".join(f"{key}: {held.shape}" for key, held in sorted(arrays.items()))
            raise DataError(
                f"{self._name}: the arrays of a batch differ in their number of samples "
                f"({shapes}); if time is first, say --data-layout tb"
            )
        return arrays


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "numpy")


def _is_pair(value: Any) -> bool:
    """Tell whether these are inputs and labels: two batches of inputs have as many axes."""
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_array, value))):
        return False
    return int(value[0].ndim) > 1 and int(value[1].ndim) == 1


@contextmanager
def _users_code(name: str) -> Iterator[None]:
    """Run code of the user: the current folder is searched first, what it prints goes to stderr."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (DataError, UsageError):
        raise
    except (Exception, SystemExit) as error:  # what exits is no success of ours
        said = (
            f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
        )
        raise DataError(f"--data {name} fails: {said}; repair the callable") from error
    finally:
        sys.path.remove(folder)


def _open(path: Path, options: ReadOptions) -> Dataset:
    name = str(path)
    where, _, attribute = name.partition(":")
    try:
        with _users_code(name):
            found: Any = importlib.import_module(where)
            for part in attribute.split("."):
                found = getattr(found, part, None)
    except DataError as error:
        missing = error.__cause__
        if not isinstance(missing, ModuleNotFoundError):
            raise
        raise UsageError(
            f"--data {name}: there is no such file, and no module {missing.name}; check the path, "
            "or run where the module can be imported"
        ) from missing
    if not callable(found):
        raise UsageError(f"--data {name}: {where} has no function {attribute}; check the name")
    return CallableDataset(name, found, time_first=options.layout == "tb")


def _recognises(path: Path, head: bytes) -> bool:
    return _NAME.fullmatch(str(path)) is not None and not path.exists()


CALLABLE = Reader(
    "module:callable", _recognises, _open, frozenset({"normalize", "encode", "layout"})
)
