"""IDX files, the format of MNIST, plain or gzipped; labels in the file that usually is beside.

Layout: http://yann.lecun.com/exdb/mnist: two zero bytes, a type, the number of axes, the sizes as
big-endian 32-bit numbers, then the values, big-endian.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from snnquant.data.header import to_native
from snnquant.data.options import ReadOptions
from snnquant.data.reader import INPUT, LABELS, AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError, UsageError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
#: Deflate cannot expand by more; a larger declared size is a lie.
_MAX_DEFLATE_RATIO = 1032
_IMAGES, _LABELS_NAME = ("images-idx3", "images.idx3"), ("labels-idx1", "labels.idx1")


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def sample_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class IdxDataset(Dataset):
    """Images ``[N, 1, H, W]`` (values of other ranks as they are), and labels if there are any."""

    def __init__(self, path: Path, labels: Path | None) -> None:
        self._paths = {INPUT: path} | ({LABELS: labels} if labels is not None else {})
        self._headers = {name: _header_of(file) for name, file in self._paths.items()}
        arrays = {
            name: ArraySpec(_shown(header.shape), header.dtype.newbyteorder("="))
            for name, header in self._headers.items()
        }
        super().__init__(path, arrays)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the data comes from."""
        return tuple(self._paths.values())

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        parts = [self._read(name, size, start, stop) for name in names]
        for arrays in zip(*parts, strict=True):
            yield dict(zip(names, arrays, strict=True))

    def _read(self, name: str, size: int, start: int, stop: int) -> Iterator[AnyArray]:
        header, path = self._headers[name], self._paths[name]
        with _opened(path) as stream:
            if _parse(stream, path) != header:
                raise DataError(
                    f"{str(path)!r} changed since it was opened; "
                    "leave the file in place until the run ends"
                )
            _skip(stream, start * header.sample_bytes, path)
            for first in range(start, stop, size):
                shape = (min(size, stop - first), *header.shape[1:])
                stored = np.frombuffer(
                    _exactly(stream, shape[0] * header.sample_bytes, path), header.dtype
                )
                yield to_native(stored.reshape(_shown(shape)))
            if stop == len(self) and stream.read(1):  # gzip compares its checksum here
                raise DataError(f"{str(path)!r} has more bytes than it declares; write it again")


def _shown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that samples have: images get their one channel, as in torchvision."""
    return (shape[0], 1, *shape[1:]) if len(shape) == 3 else shape


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open an IDX file, unzipping it; damage that is found on the way becomes a DataError."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP
            raw.seek(0)
            if not zipped:
                yield raw
                return
            with gzip.open(raw) as stream:
                yield stream  # type: ignore[misc]
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{str(path)!r} is a truncated or corrupt IDX file: {error}; copy it again"
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{str(path)!r}: the samples do not fit into memory; choose a smaller batch size"
        ) from error


def _parse(stream: IO[bytes], path: Path) -> _Header:
    head = _exactly(stream, 4, path)
    if head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
        raise DataError(
            f"{str(path)!r} is no IDX file (it starts with {head.hex()}); copy it again"
        )
    sizes = np.frombuffer(_exactly(stream, 4 * head[3], path), ">u4")
    return _Header(tuple(map(int, sizes)), np.dtype(_TYPES[head[2]]))


def _header_of(path: Path) -> _Header:
    """Return a header that the bytes of the file can bear out."""
    size = path.stat().st_size
    with _opened(path) as stream:
        header = _parse(stream, path)
        zipped = isinstance(stream, gzip.GzipFile)
    declared = header.start + math.prod(header.shape) * header.dtype.itemsize
    possible = declared <= size * _MAX_DEFLATE_RATIO if zipped else declared == size
    if not possible:
        raise DataError(
            f"{str(path)!r} is truncated or damaged: it declares {declared} bytes, "
            f"{size} are there; copy it again"
        )
    return header


def _exactly(stream: IO[bytes], count: int, path: Path) -> bytes:
    held = bytearray()
    while len(held) < count:
        piece = stream.read(min(_CHUNK, count - len(held)))
        if not piece:
            raise DataError(f"{str(path)!r} is truncated; copy it again")
        held += piece
    return bytes(held)


def _skip(stream: IO[bytes], count: int, path: Path) -> None:
    while count > 0:
        count -= len(_exactly(stream, min(_CHUNK, count), path))


def labels_beside(path: Path) -> Path | None:
    """Return the labels that belong to a file of images by its name, zipped or not, if there."""
    for images, labels in zip(_IMAGES, _LABELS_NAME, strict=True):
        if images in path.name:
            name = path.name.replace(images, labels)
            plain = name.removesuffix(".gz")
            for candidate in (name, plain, f"{plain}.gz"):
                if path.with_name(candidate).is_file():
                    return path.with_name(candidate)
    return None


def _open(path: Path, options: ReadOptions) -> Dataset:
    if options.normalize is None:
        raise UsageError(
            f"{str(path)!r} holds images; say what the network was trained on with "
            "--normalize 0..1, none or MEAN,STD"
        )
    return IdxDataset(path, labels_beside(path))


def _recognises(path: Path, head: bytes) -> bool:
    if head.startswith(_GZIP):
        try:
            with gzip.open(path) as stream:
                head = stream.read(4)
        except (EOFError, zlib.error, OSError):
            return "idx" in path.name  # damaged, and the reader says so
    plain = head[:2] == b"\0\0" and len(head) >= 4 and head[2] in _TYPES and head[3] > 0
    return plain or any(word in path.name for word in (*_IMAGES, *_LABELS_NAME))


IDX = Reader("IDX", _recognises, _open, frozenset({"normalize", "encode"}))
