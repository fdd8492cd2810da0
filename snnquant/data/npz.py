"""Named arrays in a ``.npz`` file (a zip of ``.npy``), streamed from the zip without unpacking."""

from __future__ import annotations

import struct
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from snnquant.data.header import NpyHeader, read_header, to_native
from snnquant.data.npy import MappedArray, batch_first
from snnquant.data.options import ReadOptions
from snnquant.data.reader import LABELS, AnyArray, Dataset, Reader
from snnquant.errors import DataError, UsageError

_SUFFIX = ".npy"
_CHUNK = 1 << 20
#: Characters of what zipfile says.
_MAX_WORDS = 120
#: Deflate cannot expand by more; a larger declared size is a lie.
_MAX_DEFLATE_RATIO = 1032
#: What zipfile raises on damaged archives, by Python version and kind of damage.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class NpzDataset(Dataset):
    """The arrays of an ``.npz`` file; ``y`` holds labels, the others are inputs by name."""

    def __init__(self, path: Path, headers: dict[str, NpyHeader]) -> None:
        self._headers = headers
        super().__init__(path, {name: header.spec for name, header in headers.items()})

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        with _opened(self.path) as archive, ExitStack() as stack:
            members = {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}
            streams: dict[str, IO[bytes]] = {}
            for name in names:
                header = self._headers[name]
                if name not in members:
                    raise DataError(self._changed())
                streams[name] = stack.enter_context(archive.open(members[name]))
                found = read_header(streams[name], members[name].file_size, _where(self.path, name))
                if found != header:
                    raise DataError(self._changed())
                self._skip(streams[name], name, start * header.sample_bytes)
            for first in range(start, stop, size):
                count = min(size, stop - first)
                yield {name: self._read(streams[name], name, count) for name in names}
            if stop == len(self):
                for name in names:
                    streams[name].read(1)  # the checksum is compared at the end of the member

    def _read(self, stream: IO[bytes], name: str, count: int) -> AnyArray:
        header = self._headers[name]
        try:
            # Pages are committed as they are filled, so a damaged member costs what it holds.
            stored: AnyArray = np.empty((count, *header.shape[1:]), header.dtype)
        except MemoryError as error:
            raise DataError(
                f"{_where(self.path, name)}: {count} samples do not fit into memory; "
                "choose a smaller batch size"
            ) from error
        raw = stored.view(np.uint8).reshape(-1).data
        for first in range(0, len(raw), _CHUNK):
            piece = stream.read(min(_CHUNK, len(raw) - first))
            self._require(len(piece) == min(_CHUNK, len(raw) - first), name)
            raw[first : first + len(piece)] = piece
        return to_native(stored)

    def _skip(self, stream: IO[bytes], name: str, length: int) -> None:
        for first in range(0, length, _CHUNK):
            wanted = min(_CHUNK, length - first)
            self._require(len(stream.read(wanted)) == wanted, name)

    def _require(self, complete: bool, name: str) -> None:
        if not complete:
            raise DataError(f"{_where(self.path, name)} is truncated; write the file again")

    def _changed(self) -> str:
        return (
            f"{str(self.path)!r} changed since it was opened; "
            "leave the file in place until the run ends"
        )


class TimeFirstNpz(Dataset):
    """The arrays of an ``.npz`` file whose inputs are ``[T, B, ...]``; labels are as ever.

    A batch lies scattered over such an array, so that it is mapped into memory: in the file itself
    where it is stored, from an unpacked temporary copy where it is compressed. That is done once,
    in pieces, and the checksum is compared.
    """

    def __init__(self, path: Path, headers: dict[str, NpyHeader]) -> None:
        self._headers = headers
        self._mapped: dict[str, MappedArray] = {}
        super().__init__(
            path,
            {
                name: header.spec
                if name == LABELS
                else batch_first(header.spec, _where(path, name))
                for name, header in headers.items()
            },
        )

    def _chunks(
        self, names: tuple[str, ...], size: int, start: int, stop: int
    ) -> Iterator[dict[str, AnyArray]]:
        for name in names:
            if name not in self._mapped:
                self._mapped[name] = self._map(name)
        for first in range(start, stop, size):
            last = min(first + size, stop)
            yield {name: self._mapped[name].read(first, last) for name in names}

    def _map(self, name: str) -> MappedArray:
        header, where = self._headers[name], _where(self.path, name)
        with _opened(self.path) as archive:
            info = next((i for i in archive.infolist() if i.filename == name + _SUFFIX), None)
            if info is None:
                raise DataError(f"{where} is gone; leave the file in place until the run ends")
            _check_member(info, self.path.stat().st_size, where)
            copy = None
            if info.compress_type != zipfile.ZIP_STORED:
                copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the data set
                weakref.finalize(self, copy.close)
            with archive.open(info) as stream:
                while piece := stream.read(_CHUNK):
                    if copy is not None:
                        _spool(copy, piece, where)
        if copy is not None:
            copy.flush()
        place = _place(self.path, info) if copy is None else 0
        moved = replace(header, start=header.start + place)
        return MappedArray(copy or self.path, moved, where, time_first=name != LABELS)


def _spool(copy: IO[bytes], piece: bytes, where: str) -> None:
    try:
        copy.write(piece)
    except OSError as error:
        raise UsageError(
            f"{where} cannot be unpacked into {tempfile.gettempdir()!r}: {error.strerror}; set "
            "TMPDIR to a folder with space, or write it with numpy.savez"
        ) from error


def _place(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member start in the file."""
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        name, extra = struct.unpack("<26xHH", stream.read(30))
    return int(info.header_offset) + 30 + int(name) + int(extra)


def _where(path: Path, name: str) -> str:
    return f"{str(path)!r}, array {name!r}"


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; damage that is found while it is open becomes a DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _ZIP_ERRORS as error:
        said = " ".join(str(error).split())
        if len(said) > _MAX_WORDS:  # it may quote a name of 64 kB
            said = f"{said[:_MAX_WORDS]} ..."
        raise DataError(
            f"{str(path)!r} is a truncated or corrupt .npz: {said}; write it again with numpy.savez"
        ) from error


def _open(path: Path, options: ReadOptions) -> Dataset:
    time_first = options.layout == "tb"
    headers: dict[str, NpyHeader] = {}
    with _opened(path) as archive:
        for name, info in _members(archive, path):
            where = _where(path, name)
            with archive.open(info) as stream:
                headers[name] = read_header(stream, info.file_size, where)
            if headers[name].fortran_order and not time_first:
                raise DataError(
                    f"{where} is in Fortran order, which cannot be streamed; "
                    "save numpy.ascontiguousarray of it, or an .npy file"
                )
    return TimeFirstNpz(path, headers) if time_first else NpzDataset(path, headers)


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield the arrays of an archive by name, each checked against the bytes that are there."""
    size = path.stat().st_size
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename.removesuffix(_SUFFIX)
        _check_member(info, size, _where(path, name))
        if name in seen:
            raise DataError(f"{_where(path, name)} is stored twice; write the file again")
        seen.add(name)
        yield name, info


def _check_member(info: zipfile.ZipInfo, archive_size: int, where: str) -> None:
    if not info.filename.endswith(_SUFFIX):
        raise DataError(
            f"{where}: zip member {info.filename!r} is not an .npy array; "
            "write the file with numpy.savez"
        )
    if info.flag_bits & 1:
        raise DataError(f"{where} is encrypted; write the file with numpy.savez")
    if info.compress_type == zipfile.ZIP_STORED:
        possible = info.compress_size
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        possible = info.compress_size * _MAX_DEFLATE_RATIO
    else:
        raise DataError(
            f"{where} is compressed by another method than deflate; "
            "write the file with numpy.savez or numpy.savez_compressed"
        )
    # Both sizes are declarations; the compressed bytes must lie inside the file.
    if info.file_size > possible or info.compress_size > archive_size:
        raise DataError(
            f"{where}: {info.file_size} bytes cannot come from {info.compress_size}; "
            "write the file again"
        )


def load_arrays(path: Path) -> dict[str, AnyArray]:
    """Return all arrays of an ``.npz`` file, whatever their shapes; nothing is unpickled.

    Raises:
        DataError: not such a file, damaged, or it declares more than it holds.
    """
    arrays: dict[str, AnyArray] = {}
    with _opened(path) as archive:
        for name, info in _members(archive, path):
            with archive.open(info) as stream:
                header = read_header(stream, info.file_size, _where(path, name))
                # The header is as long as the member, so this is no more than was checked.
                raw = stream.read(info.file_size - header.start)
            flat = np.frombuffer(raw, header.dtype)
            stored = (
                flat.reshape(header.shape[::-1]).T
                if header.fortran_order
                else flat.reshape(header.shape)
            )
            arrays[name] = to_native(stored)
    return arrays


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


NPZ = Reader("npz", _recognises, _open, frozenset({"normalize", "encode", "layout"}))
