"""Bytes of .npy and .npz files, whatever they declare."""

from __future__ import annotations

import io
import zipfile


def npy_bytes(shape: object, descr: str = "<f4", payload: bytes = b"") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + payload


def zip_bytes(name: str = "x.npy", content: bytes | None = None, compression: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(name, npy_bytes((64,), "|u1", bytes(64)) if content is None else content)
    return buffer.getvalue()


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


CENTRAL = b"PK\x01\x02"
HUGE = npy_bytes((2**31,), "|u1", b"")
