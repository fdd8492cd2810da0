"""Folders of images: exact pixels, and files that are none."""

from __future__ import annotations

import importlib.util
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from snnquant.data import ReadOptions, images, open_data
from snnquant.errors import DataError, UsageError

pytest.importorskip("PIL")
STORED = ReadOptions(normalize="none")


def png(pixels: np.ndarray, *, declared: tuple[int, int] | None = None, kind: int = 0) -> bytes:
    """A PNG: 8 or 16 bits grey (kind 0), RGB (2), RGBA (6)."""
    height, width = declared or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(data)) + name + data
        out += struct.pack(">I", zlib.crc32(name + data))
    return out


def write(folder: Path, **files: bytes) -> Path:
    """Write files of names such as ``cat__1_png``."""
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (png(GREY), GREY[np.newaxis]),
        (png(RGB, kind=2), RGB.transpose(2, 0, 1)),
        (png(GREY.astype(np.uint16) * 257 + 1), GREY[np.newaxis].astype(np.uint16) * 257 + 1),
        (b"P5 4 3 255\n" + GREY.tobytes(), GREY[np.newaxis]),
        (b"P6 4 3 255\n" + RGB.tobytes(), RGB.transpose(2, 0, 1)),
        (b"P4 4 2\n\xa0\x50", np.array([[[0, 255, 0, 255], [255, 0, 255, 0]]], np.uint8)),
    ],
)
def test_pixels_and_classes(tmp_path: Path, data: bytes, wanted: np.ndarray) -> None:
    write(tmp_path, cat__1_png=data, dog__a_png=data, dog__b_png=data, notes_txt=b"")
    dataset = open_data(tmp_path, STORED)
    (batch,) = dataset.batches(5)
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 1]
    assert batch.inputs["x"].dtype == wanted.dtype
    np.testing.assert_array_equal(batch.inputs["x"], [wanted] * 3)
    (unit,) = open_data(tmp_path, ReadOptions(normalize="0..1")).batches(5)
    largest = np.float32(np.iinfo(wanted.dtype).max)
    np.testing.assert_array_equal(unit.inputs["x"][0], wanted.astype(np.float32) / largest)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no image or is damaged"),
        (b"hello", "no image or is damaged"),
        (png(GREY)[:45], "no image or is damaged"),
        (png(GREY)[:20], "no image or is damaged"),
        (png(GREY, declared=(9000, 9000)), "cannot hold"),
        (png(GREY, declared=(2**30, 2**30)), "no image or is damaged"),
        (b"P5 60000 1000 255\n", "cannot hold"),
        (b"P5 4 3 255\n" + bytes(5), "no image or is damaged"),
        (png(np.zeros((2, 2, 4), np.uint8), kind=6), "mode RGBA; convert"),
    ],
)
def test_hostile_images_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    write(tmp_path, c__a_png=png(GREY), d__b_png=data)
    dataset = open_data(tmp_path, STORED)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            list(dataset.batches(5))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "b.png" in str(caught.value)


def test_images_differ_or_nothing_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, c__a_png=png(GREY), c__b_png=png(GREY[:2]))
    with pytest.raises(DataError, match="all samples must be alike"):
        list(open_data(tmp_path, STORED).batches(5))
    with pytest.raises(UsageError, match=r"--normalize 0\.\.1, none or MEAN,STD"):
        open_data(tmp_path)
    assert images.importlib.util is importlib.util
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="run pip install pillow"):
        open_data(tmp_path, STORED)
