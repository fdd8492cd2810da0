"""The header of a stored ``.npy`` array, checked against the bytes that are really there."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from snnquant.data.reader import AnyArray, ArraySpec
from snnquant.errors import DataError

MAGIC = b"\x93NUMPY"

#: NumPy's own limit; a header of a plain array takes about 120 bytes.
_MAX_HEADER = 10_000


@dataclass(frozen=True)
class NpyHeader:
    """What a ``.npy`` header declares; ``dtype`` in stored byte order, ``start`` in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    start: int

    @property
    def spec(self) -> ArraySpec:
        """Shape and native dtype."""
        return ArraySpec(self.shape, self.dtype.newbyteorder("="))

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_header(stream: IO[bytes], size: int, where: str, *, structured: bool = False) -> NpyHeader:
    """Read a header from ``stream``, which holds ``size`` bytes in all.

    Args:
        stream: positioned at the magic; left at the first byte of the array.
        size: bytes from the magic to the end of the array, as the file system or zip tells it.
        where: the file (and member) for messages.
        structured: take named fields of numbers too.

    Raises:
        DataError: not a plain array, or the array is not exactly as long as the header declares.
    """
    start = stream.read(8)
    if len(start) < 8 or not start.startswith(MAGIC):
        raise DataError(f"{where} is not a .npy array; write it with numpy.save or numpy.savez")
    version = (start[6], start[7])
    if version not in {(1, 0), (2, 0)}:
        # 3.0 exists for field names of structured arrays, which are refused anyway.
        raise DataError(f"{where}: .npy version {version} is not supported; save a plain array")
    width = 2 if version == (1, 0) else 4
    prefix = stream.read(width)
    length = int.from_bytes(prefix, "little")
    # NumPy checks its limit only after it has read the declared length, up to 4 GiB.
    text = stream.read(length) if length <= _MAX_HEADER else b""
    if len(prefix) < width or len(text) < length:
        raise DataError(f"{where}: the .npy header is damaged; write the file again")
    shape, fortran_order, dtype = _parse(version, prefix + text, where)
    named = dtype.names is not None and not structured
    if dtype.hasobject or named or dtype.subdtype is not None:
        raise DataError(
            f"{where}: dtype {dtype} is not supported (pickled objects are never loaded); "
            "store a plain array of numbers"
        )
    if any(isinstance(extent, bool) or extent < 0 for extent in shape):
        raise DataError(f"{where}: the .npy header declares shape {shape}; write the file again")
    header = NpyHeader(shape, dtype, fortran_order and len(shape) > 1, 8 + width + length)
    declared = header.start + math.prod(shape) * dtype.itemsize
    if declared != size:
        fault = "is truncated" if declared > size else "has more bytes than one array"
        raise DataError(
            f"{where} {fault}: the header declares {declared} bytes, {size} are there; "
            "write the file again"
        )
    return header


def to_native(stored: AnyArray) -> AnyArray:
    """Return a C-ordered array in native byte order; any non-zero byte of a bool is True."""
    if stored.dtype == np.bool_:
        # A file may hold other bytes than 0 and 1, with which numpy's booleans misbehave.
        truth: AnyArray = np.ascontiguousarray(stored).view(np.uint8) != 0
        return truth
    return np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))


def _parse(
    version: tuple[int, int], header: bytes, where: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers of Python 2 are read, with a warning
            shape, fortran_order, dtype = read(io.BytesIO(header), max_header_size=_MAX_HEADER)
    except Exception as error:  # which errors a hostile header causes depends on NumPy's version
        raise DataError(f"{where}: the .npy header is damaged; write the file again") from error
    return shape, fortran_order, dtype
