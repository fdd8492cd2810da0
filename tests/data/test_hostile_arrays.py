"""Damaged and hostile .npy and .npz files are refused in one line."""

from __future__ import annotations

import contextlib
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from array_files import CENTRAL, HUGE, npy_bytes, patched, zip_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.data import ReadOptions, open_data
from snnquant.errors import DataError

HOSTILE_NPY = [
    (npy_bytes((2**40, 2**20), payload=bytes(64)), "is truncated"),
    (npy_bytes((2**80,), payload=bytes(64)), "is truncated"),
    (npy_bytes((3,), payload=bytes(16)), "has more bytes than one array"),
    (npy_bytes((-2, -2), payload=bytes(16)), "declares shape"),
    (npy_bytes((True,), payload=bytes(4)), "declares shape"),
    (npy_bytes([4], payload=bytes(16)), "header is damaged"),
    (npy_bytes((4,), "<q9", bytes(16)), "header is damaged"),
    (npy_bytes((4,), "|O", bytes(32)), "pickled objects are never loaded"),
    (npy_bytes((0,)), "is empty"),
    (npy_bytes((1,) * 70, payload=bytes(4)), "has 70 axes, more than 32; write the file again"),
    (npy_bytes(()), "header declares"),
    (npy_bytes((4,))[:40], "header is damaged"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "header is damaged"),
    (b"\x93NUMPY\x01\x00\x10\x27" + b"-" * 10_000, "header is damaged"),
    (b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, "header is damaged"),
    (b"\x93NUMPY\x03\x00\x00\x00", "version"),
    (b"\x93NUMPY", "not a .npy array"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE_NPY, ids=range(len(HOSTILE_NPY)))
@pytest.mark.parametrize("compression", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_hostile_arrays_are_refused(
    tmp_path: Path, content: bytes, message: str, compression: int | None
) -> None:
    path = tmp_path / "d"
    if compression is None:
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("x.npy", content)
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        open_data(path)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_more_axes_than_numpy_has_are_refused_in_idx_too(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_bytes(bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255 + b"\0")
    with pytest.raises(DataError, match="has 255 axes, more than 32; write the file again"):
        open_data(path, ReadOptions(normalize="none"))


def test_python_2_header_is_read(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L,)}\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
    (tmp_path / "d.npy").write_bytes(content)
    assert len(open_data(tmp_path / "d.npy")) == 2


def test_stray_bytes_in_booleans_are_true(tmp_path: Path) -> None:
    (tmp_path / "d.npy").write_bytes(npy_bytes((4,), "|b1", b"\x00\x01\x02\xff"))
    (batch,) = list(open_data(tmp_path / "d.npy").batches(4))
    assert batch.inputs["x"].view(np.uint8).tolist() == [0, 1, 1, 1]


HOSTILE_ZIP = [
    (zip_bytes()[:-30], "corrupt"),
    (zip_bytes()[:50], "corrupt"),
    (b"PK\x03\x04", "corrupt"),
    (zip_bytes(name="notes.txt"), r"member 'notes.txt' is not an .npy array"),
    (zip_bytes(compression=zipfile.ZIP_BZIP2), "another method"),
    (zip_bytes(compression=zipfile.ZIP_LZMA), "another method"),
    (patched(zip_bytes(), CENTRAL, 8, b"\x01"), "encrypted"),
    # The directory declares 2 GiB that 150 compressed bytes cannot hold.
    (patched(zip_bytes(), CENTRAL, 24, b"\xff\xff\xff\x7f"), "cannot come from"),
    (
        patched(zip_bytes(content=HUGE, compression=8), CENTRAL, 24, b"\xff\xff\xff\x7f"),
        "cannot come from",
    ),
    (
        patched(
            patched(zip_bytes(content=HUGE), CENTRAL, 20, b"\xff\xff\xff\x7f"),
            CENTRAL,
            24,
            b"\xff\xff\xff\x7f",
        ),
        "cannot come from",
    ),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE_ZIP, ids=range(len(HOSTILE_ZIP)))
def test_hostile_zips_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_data(path)
    assert "\n" not in str(caught.value)


def test_array_stored_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", npy_bytes((1,), "|u1", b"0"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", npy_bytes((1,), "|u1", b"0"))
    with pytest.raises(DataError, match="stored twice"):
        open_data(tmp_path / "d.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_payload_is_found_by_the_checksum(tmp_path: Path, compression: int) -> None:
    payload = np.random.default_rng(0).integers(0, 256, 4096, np.uint8).tobytes()
    data = bytearray(zip_bytes("x.npy", npy_bytes((4096,), "|u1", payload), compression))
    data[2000] ^= 0x55
    (tmp_path / "d.npz").write_bytes(data)
    with pytest.raises(DataError, match="corrupt"):
        list(open_data(tmp_path / "d.npz").batches(100))


@settings(deadline=None)
@given(data=st.data())
def test_any_damage_is_a_data_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    good = data.draw(
        st.sampled_from([zip_bytes(), zip_bytes(compression=8), npy_bytes((3,), "<f4", bytes(12))])
    )
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(good)))])
    with contextlib.suppress(DataError):
        list(open_data(path).batches(2))
