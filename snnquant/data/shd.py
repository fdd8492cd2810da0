"""Spiking Heidelberg Digits and Speech Commands: HDF5 files of spikes in 700 channels.

Layout: "The Heidelberg spiking data sets", Cramer et al. 2020: ``spikes/times`` in seconds and
``spikes/units`` from 0 to 699, one list per sample each, and ``labels``. The file is read in a
process of its own, because damage to it can crash the HDF5 library.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from snnquant.data import shd_process
from snnquant.data.events import FRAME_DTYPE, Events, frames_of
from snnquant.data.options import Binning, ReadOptions
from snnquant.data.reader import INPUT, LABELS, AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError, UsageError

_MAGIC = b"\x89HDF\r\n\x1a\n"
_UNITS = 700
#: Seconds for any one sample; a damaged file can keep HDF5 busy for ever.
_PATIENCE = 60.0
_CHUNK = 1 << 20
_CHILD = """
import importlib.util, json, sys
sys.path[:] = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("shd_process", sys.argv[2])
module = sys.modules["shd_process"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.serve(sys.argv[3], *map(int, sys.argv[4:]))
"""


class ShdDataset(Dataset):
    """Frames ``[N, T, 700]`` of spike counts; one sample's spikes at a time."""

    def __init__(self, path: Path, binning: Binning) -> None:
        self._binning = binning
        with _messages(path, 0, 0) as messages:
            self._labels = _labels(messages)
        count = len(self._labels)
        super().__init__(
            path,
            {
                INPUT: ArraySpec((count, binning.steps, _UNITS), FRAME_DTYPE),
                LABELS: ArraySpec((count,), np.dtype(np.int64)),
            },
        )

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        with _messages(self.path, start, stop) as messages:
            if not np.array_equal(_labels(messages), self._labels):
                raise DataError(
                    f"{str(self.path)!r} changed since it was opened; "
                    "leave the file in place until the run ends"
                )
            for first in range(start, stop, size):
                last = min(first + size, stop)
                samples = [self._frames(next(messages), index) for index in range(first, last)]
                chunk = {INPUT: np.stack(samples), LABELS: self._labels[first:last]}
                yield {name: chunk[name] for name in names}

    def _frames(self, content: bytes, index: int) -> AnyArray:
        where = f"{str(self.path)!r}, sample {index}"
        count = len(content) // 16
        seconds = np.frombuffer(content, np.float64, count)
        units = np.frombuffer(content, np.int64, count, 8 * count)
        if not (np.abs(seconds) < 1e9).all():
            raise DataError(f"{where}: the times are not all seconds; copy the file again")
        none = np.zeros(count, np.int64)
        events = Events(np.rint(seconds * 1e6).astype(np.int64), units, none, none)
        frames = frames_of(events, (1, 1, _UNITS), self._binning, where)
        return frames.reshape(self._binning.steps, _UNITS)


def _labels(messages: Iterator[bytes]) -> AnyArray:
    return np.frombuffer(next(messages), np.int64)


@contextmanager
def _messages(path: Path, start: int, stop: int) -> Iterator[Iterator[bytes]]:
    """Run the process, and yield the contents of its messages: labels, then samples."""
    size = path.stat().st_size
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), shd_process.__file__]
    process = subprocess.Popen(
        [*command, str(path), str(start), str(stop), str(size)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None  # it is a pipe
    try:
        yield _received(process, process.stdout, path, 16 * size)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _received(
    process: subprocess.Popen[bytes], stream: IO[bytes], path: Path, most: int
) -> Iterator[bytes]:
    """Yield the contents of messages; whatever else comes is an error."""
    damaged = f"{str(path)!r} is truncated, damaged or not in the layout of SHD"
    while True:
        watch = threading.Timer(_PATIENCE, process.kill)
        watch.start()
        try:
            head = stream.read(9)
            length = int.from_bytes(head[1:], "little")
            content = _exactly(stream, length) if len(head) == 9 and length <= most else b""
        finally:
            watch.cancel()
        if head[:1] == b"E":
            raise DataError(f"{damaged}: {content.decode(errors='replace')}; copy it again")
        if len(head) < 9 or len(content) < length:
            raise DataError(f"{damaged} (HDF5 crashes on it or finds no end); copy it again")
        yield content


def _exactly(stream: IO[bytes], count: int) -> bytes:
    held = bytearray()
    while len(held) < count and (piece := stream.read(min(_CHUNK, count - len(held)))):
        held += piece
    return bytes(held)


def _open(path: Path, options: ReadOptions) -> Dataset:
    if importlib.util.find_spec("h5py") is None:
        raise UsageError(
            f"{str(path)!r} is HDF5, which needs h5py; install it with pip install 'snnquant[nir]'"
        )
    return ShdDataset(path, options.binning(repr(str(path))))


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


SHD = Reader("SHD/SSC HDF5", _recognises, _open, frozenset({"bin"}))
