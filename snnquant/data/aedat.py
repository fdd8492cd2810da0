"""DVS128-Gesture: AEDAT 3.1 recordings, cut into samples by the CSV of labels beside each.

Layout: "AEDAT 3.1" of iniVation: lines that start with ``#`` to ``#!END-HEADER``, then packets:
28 bytes little-endian (type u16 at 0, bytes per event u32 at 4, overflows of the clock u32 at 12,
capacity u32 at 16), then that many events. Polarity events (type 1) are data u32 and microseconds
u32. The CSV ``NAME_labels.csv`` has class (from 1), start and end in microseconds per sample.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnquant.data.events import FRAME_DTYPE, Events, frames_of
from snnquant.data.folder import first_file
from snnquant.data.options import Binning, ReadOptions
from snnquant.data.reader import INPUT, LABELS, AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError

_SUFFIXES = (".aedat",)
#: The lists of recordings that divide the set: trials_to_train.txt, trials_to_test.txt.
_LIST = ".txt"
_MAGIC = b"#!AER-DAT3.1"
_END = b"#!END-HEADER"
_SHAPE = (2, 128, 128)
_PACKET, _EVENT, _POLARITY = 28, 8, 1
_HEAD = struct.Struct("<HxxI4xII8x")
#: The clock overflows every 36 minutes; more is no recording.
_MAX_WRAPS = 1 << 20
_MAX_HEADER = 1 << 16
_MAX_TABLE = 1 << 20


@dataclass(frozen=True)
class _Sample:
    """One gesture: from ``start`` up to ``end`` (left out), in microseconds."""

    file: Path
    label: int
    start: int
    end: int


@dataclass(frozen=True)
class _Packet:
    """Polarity events in a file; ``first`` and ``last`` are their earliest and latest time."""

    offset: int
    count: int
    wraps: int
    first: int
    last: int


class AedatDataset(Dataset):
    """Frames ``[N, T, 2, 128, 128]`` of samples in recordings; one sample's events at a time."""

    def __init__(self, path: Path, samples: tuple[_Sample, ...], binning: Binning) -> None:
        self._samples = samples
        self._binning = binning
        self._indexed: tuple[Path, tuple[_Packet, ...]] | None = None
        count = len(samples)
        super().__init__(
            path,
            {
                INPUT: ArraySpec((count, binning.steps, *_SHAPE), FRAME_DTYPE),
                LABELS: ArraySpec((count,), np.dtype(np.int64)),
            },
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        recordings = dict.fromkeys(sample.file for sample in self._samples)
        return tuple(file for each in recordings for file in (each, _table_of(each)))

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        for first in range(start, stop, size):
            samples = self._samples[first : min(first + size, stop)]
            chunk: dict[str, AnyArray] = {}
            if INPUT in names:
                chunk[INPUT] = np.stack([self._frames(sample) for sample in samples])
            if LABELS in names:
                chunk[LABELS] = np.array([sample.label for sample in samples], np.int64)
            yield chunk

    def _frames(self, sample: _Sample) -> AnyArray:
        where = f"{str(sample.file)!r}, from {sample.start} to {sample.end}"
        try:
            held = np.memmap(sample.file, np.uint8, "r")
            if self._indexed is None or self._indexed[0] != sample.file:
                self._indexed = (sample.file, tuple(_packets(held, sample.file)))
            parts = [
                _events(held, packet)
                for packet in self._indexed[1]
                if packet.first < sample.end and packet.last >= sample.start
            ]
        except (OSError, ValueError) as error:
            raise DataError(
                f"{str(sample.file)!r} cannot be read or changed since it was opened: {error}; "
                "leave the file in place until the run ends"
            ) from error
        data, t = np.concatenate(parts, axis=1) if parts else np.empty((2, 0), np.int64)
        inside = (t >= sample.start) & (t < sample.end)
        data, t = data[inside], t[inside]
        events = Events(t, data >> 17 & 0x7FFF, data >> 2 & 0x7FFF, data >> 1 & 1)
        return frames_of(events, _SHAPE, self._binning, where)


def _events(held: AnyArray, packet: _Packet) -> AnyArray:
    """Return data and microseconds of a packet's events, ``[2, n]`` int64."""
    raw = held[packet.offset : packet.offset + packet.count * _EVENT]
    both = raw.view("<u4").reshape(-1, 2).astype(np.int64)
    both[:, 1] += packet.wraps << 31
    return both.T


def _packets(held: AnyArray, path: Path) -> Iterator[_Packet]:
    """Yield the packets of polarity events in a recording.

    Raises:
        DataError: it is truncated or damaged.
    """
    damaged = f"{str(path)!r} is truncated or damaged"
    at = _header_end(bytes(held[:_MAX_HEADER]), path)
    while at < len(held):
        if at + _PACKET > len(held):
            raise DataError(f"{damaged}: it ends within a packet at byte {at}; copy it again")
        kind, size, wraps, capacity = _HEAD.unpack(bytes(held[at : at + _PACKET]))
        offset, at = at + _PACKET, at + _PACKET + size * capacity
        if at > len(held) or (kind == _POLARITY and (size != _EVENT or wraps > _MAX_WRAPS)):
            raise DataError(
                f"{damaged}: the packet at byte {offset - _PACKET} declares {capacity} events of "
                f"{size} bytes; copy it again"
            )
        if kind == _POLARITY and capacity:
            t = _events(held, _Packet(offset, capacity, wraps, 0, 0))[1]
            yield _Packet(offset, capacity, wraps, int(t.min()), int(t.max()))


def _header_end(start: bytes, path: Path) -> int:
    """Return where the lines end and the packets begin."""
    end = start.find(b"\n" + _END)
    line = start.find(b"\n", end + 1)
    if not start.startswith(_MAGIC) or end < 0 or line < 0:
        raise DataError(
            f"{str(path)!r} is no AEDAT 3.1 recording, or its header has no end; copy it again"
        )
    return line + 1


def _table_of(recording: Path) -> Path:
    return recording.with_name(f"{recording.stem}_labels.csv")


def _samples_of(recording: Path) -> Iterator[_Sample]:
    """Yield the samples that the table beside a recording names, in its order."""
    with recording.open("rb") as stream:
        _header_end(stream.read(_MAX_HEADER), recording)
    table = _table_of(recording)
    if not table.is_file():
        raise DataError(f"there are no labels {str(table)!r}; put the CSV beside the recording")
    if table.stat().st_size > _MAX_TABLE:
        raise DataError(f"{str(table)!r} is too large for a table of labels; copy it again")
    lines = table.read_text(encoding="ascii", errors="replace").splitlines()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            label, start, end = (int(word) for word in line.split(","))
            if label < 1 or not 0 <= start < end < 1 << 62:
                raise ValueError(line)  # noqa: TRY301 - one message for all that is wrong
        except ValueError as error:
            raise DataError(
                f"{str(table)!r}, line {number}: not a class from 1, a start and a later end; "
                "copy it again"
            ) from error
        yield _Sample(recording, label - 1, start, end)


def _open(path: Path, options: ReadOptions) -> Dataset:
    binning = options.binning(repr(str(path)))
    recordings = [path]
    if path.is_dir():
        recordings = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    elif path.suffix == _LIST:
        names = path.read_text(encoding="ascii", errors="replace").split()
        recordings = [path.with_name(Path(name).name) for name in names]
    samples = tuple(sample for file in recordings for sample in _samples_of(file))
    return AedatDataset(path, samples, binning)


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        file = first_file(path, _SUFFIXES)
        return file is not None and file.parent == path
    if path.suffix == _LIST and path.stat().st_size < _MAX_TABLE:
        names = path.read_text(encoding="ascii", errors="replace").split()
        return bool(names) and all(name.endswith(_SUFFIXES) for name in names)
    return head.startswith(_MAGIC) or path.suffix.lower() in _SUFFIXES


AEDAT = Reader("DVS-Gesture AEDAT 3.1", _recognises, _open, frozenset({"bin"}))
