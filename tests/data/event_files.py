"""Small files in the formats of public data sets, byte for byte."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def idx_bytes(array: Array) -> bytes:
    """IDX: 0, 0, type, axes, big-endian sizes, big-endian values."""
    kinds = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    head = bytes([0, 0, kinds[array.dtype.str[1:]], array.ndim])
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder: Path, images: Array, labels: Array | None, *, zipped: bool = False) -> Path:
    """Write images and labels under MNIST's names and return the path of the images."""
    end = ".gz" if zipped else ""
    for name, array in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)):
        if array is not None:
            data = idx_bytes(array)
            (folder / (name + end)).write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    return folder / f"t10k-images-idx3-ubyte{end}"


def nmnist_bytes(events: list[tuple[int, int, int, int]]) -> bytes:
    """N-MNIST events (t, x, y, p): x, y, then p in bit 23 above t, big-endian."""
    return b"".join(bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big") for t, x, y, p in events)


def write_nmnist(folder: Path, *, per_class: int = 1, events: int = 40) -> Path:
    """Write ten classes of random recordings."""
    rng = np.random.default_rng(0)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number in range(per_class):
            t = np.sort(rng.integers(0, 300_000, events))
            rest = rng.integers(0, [34, 34, 2], (events, 3))
            rows = [(int(a), int(x), int(y), int(p)) for a, (x, y, p) in zip(t, rest, strict=True)]
            (folder / str(label) / f"{number:05}.bin").write_bytes(nmnist_bytes(rows))
    return folder


def events_array(events: list[tuple[int, int, int, int]]) -> Array:
    """Events (t, x, y, p) as tonic holds them."""
    rows = [(x, y, t, p) for t, x, y, p in events]
    return np.array(rows, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])


AEDAT_HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2016-01-01 00:00:00 (TZ+0100)\r\n#!END-HEADER\r\n"
)


def aedat_packet(
    events: list[tuple[int, int, int, int]], *, kind: int = 1, wraps: int = 0
) -> bytes:
    """One packet of events (t, x, y, p): 28 bytes of header, then data and time, little-endian."""
    count = len(events)
    head = struct.pack("<HHIIIIII", kind, 1, 8, 4, wraps, count, count, count)
    return head + b"".join(
        struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in events
    )


def write_gestures(
    folder: Path, name: str, packets: list[bytes], rows: list[tuple[int, int, int]]
) -> Path:
    """Write a recording and its table of (class, start, end)."""
    (folder / f"{name}.aedat").write_bytes(AEDAT_HEADER + b"".join(packets))
    lines = ["class,startTime_usec,endTime_usec", *(",".join(map(str, row)) for row in rows)]
    (folder / f"{name}_labels.csv").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.aedat"


def write_shd(
    path: Path,
    samples: list[tuple[list[float], list[int]]],
    labels: list[int] | None,
    dtype: str = "<f2",
) -> Path:
    """Write spikes/times in seconds, spikes/units and labels as the Heidelberg sets have them."""
    import h5py

    with h5py.File(path, "w") as file:
        for number, (name, kind) in enumerate((("times", dtype), ("units", "<i2"))):
            held = file.create_dataset(f"spikes/{name}", (len(samples),), h5py.vlen_dtype(kind))
            for index, sample in enumerate(samples):
                held[index] = np.array(sample[number], kind)
        if labels is not None:
            file["labels"] = np.array(labels, "<u2")
    return path
