"""One small data set in every format, and what can be done to its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from event_files import (
    AEDAT_HEADER,
    aedat_packet,
    events_array,
    write_gestures,
    write_mnist,
    write_nmnist,
    write_shd,
)
from test_image_folder import png

from snnquant.data import ReadOptions

EVENTS = [(0, 1, 2, 1), (10, 3, 3, 0), (25, 0, 0, 1), (40, 3, 1, 0)]
BINNED = ReadOptions(timesteps=2, bin="count")
CAMERA = ReadOptions(timesteps=2, bin="time", sensor=(4, 4))
STORED = ReadOptions(normalize="none")
ARRAY = np.arange(96, dtype=np.float32).reshape(6, 16)


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        write: writes a data set into a folder; returns what to open, and the file to damage.
        options: what must be declared.
        other_order: (offset, size) of a number in the header to store in the other byte order;
            None where the format has none that shows it.
        huge: (offset, bytes) in the header that make it declare far more than is there.
        rounds: damages to try by chance.
    """

    write: Callable[[Path], tuple[Path, Path]]
    options: ReadOptions
    other_order: tuple[int, int] | None
    huge: tuple[int, bytes] | None
    rounds: int = 120


def _npz(folder: Path, *, zipped: bool = False) -> tuple[Path, Path]:
    path = folder / "d.npz"
    (np.savez_compressed if zipped else np.savez)(path, x=ARRAY)
    return path, path


def _npy(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "d.npy", ARRAY)
    return folder / "d.npy", folder / "d.npy"


def _idx(folder: Path, *, zipped: bool = False) -> tuple[Path, Path]:
    images = np.arange(96, dtype=np.uint8).reshape(6, 4, 4)
    path = write_mnist(folder, images, np.arange(6, dtype=np.uint8), zipped=zipped)
    return path, path


def _idx_labels(folder: Path) -> tuple[Path, Path]:
    path, _ = _idx(folder)
    return path, folder / "t10k-labels-idx1-ubyte"


def _nmnist(folder: Path) -> tuple[Path, Path]:
    write_nmnist(folder / "bins")
    return folder / "bins", folder / "bins" / "3" / "00000.bin"


def _aedat(folder: Path) -> tuple[Path, Path]:
    rows = [(1, 0, 20), (2, 20, 60)]
    path = write_gestures(folder, "user01_led", [aedat_packet(EVENTS)], rows)
    return path, path


def _aedat_table(folder: Path) -> tuple[Path, Path]:
    path, _ = _aedat(folder)
    return path, folder / "user01_led_labels.csv"


def _spikingjelly(folder: Path) -> tuple[Path, Path]:
    (folder / "np" / "0").mkdir(parents=True)
    t, x, y, p = np.array(EVENTS).T
    for name in ("a", "b"):
        np.savez(folder / "np" / "0" / f"{name}.npz", t=t, x=x, y=y, p=p)
    return folder / "np", folder / "np" / "0" / "b.npz"


def _frames(folder: Path) -> tuple[Path, Path]:
    (folder / "np" / "0").mkdir(parents=True)
    for name in ("a", "b"):
        np.savez(folder / "np" / "0" / f"{name}.npz", frames=np.zeros((2, 2, 4, 4), np.float32))
    return folder / "np", folder / "np" / "0" / "b.npz"


def _tonic(folder: Path) -> tuple[Path, Path]:
    (folder / "np" / "0").mkdir(parents=True)
    for name in ("a", "b"):
        np.save(folder / "np" / "0" / f"{name}.npy", events_array(EVENTS))
    return folder / "np", folder / "np" / "0" / "b.npy"


def _shd(folder: Path) -> tuple[Path, Path]:
    path = write_shd(folder / "shd.h5", [([0.0, 0.5], [1, 2]), ([0.25], [699])], [3, 4])
    return path, path


def _images(folder: Path) -> tuple[Path, Path]:
    (folder / "img" / "cat").mkdir(parents=True)
    for name in ("1", "2"):
        picture = np.arange(16, dtype=np.uint8).reshape(4, 4)
        (folder / "img" / "cat" / f"{name}.png").write_bytes(png(picture))
    return folder / "img", folder / "img" / "cat" / "2.png"


#: Where the length of a .npy header is in a file, and in a zip's first member of a name of 5.
_NPY_LENGTH, _ZIP_LENGTH = (8, 2), (30 + 5 + 20 + 8, 2)
_AEDAT_HEAD = len(AEDAT_HEADER)
FORMATS = {
    "npz": Format(_npz, ReadOptions(), _ZIP_LENGTH, (30 + 5 + 20 + 8, b"\xff\xff")),
    "npz deflated": Format(lambda f: _npz(f, zipped=True), ReadOptions(), None, None),
    "npy": Format(_npy, ReadOptions(), _NPY_LENGTH, (8, b"\xff\xff")),
    "idx": Format(_idx, STORED, (4, 4), (4, b"\x7f\xff\xff\xff")),
    "idx gz": Format(lambda f: _idx(f, zipped=True), STORED, None, None),
    "idx labels": Format(_idx_labels, STORED, (4, 4), (4, b"\x7f\xff\xff\xff")),
    "nmnist": Format(_nmnist, BINNED, None, None),
    "aedat": Format(_aedat, BINNED, (_AEDAT_HEAD + 16, 4), (_AEDAT_HEAD + 16, b"\xff" * 4)),
    "aedat table": Format(_aedat_table, BINNED, None, None),
    "spikingjelly": Format(_spikingjelly, CAMERA, _ZIP_LENGTH, (63, b"\xff\xff")),
    "spikingjelly frames": Format(_frames, ReadOptions(), None, None),
    "tonic": Format(_tonic, CAMERA, _NPY_LENGTH, (8, b"\xff\xff")),
    "shd": Format(_shd, BINNED, None, None, rounds=8),
    "images": Format(_images, STORED, (16, 4), (16, b"\x7f\xff\xff\xff")),
}


def swapped(data: bytes, offset: int, size: int) -> bytes:
    """Return bytes with one number in the other byte order."""
    return data[:offset] + data[offset : offset + size][::-1] + data[offset + size :]


def by_chance(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with a few changed, some of them cut off, or both."""
    damaged = bytearray(data)
    kind = int(rng.integers(4))
    if kind != 1 and damaged:
        for _ in range(int(rng.integers(1, 4))):
            # Headers are where damage is worst.
            most = len(damaged) if rng.random() < 0.5 else min(len(damaged), 128)
            damaged[int(rng.integers(most))] = int(
                rng.choice([0, 0x7F, 0x80, 0xFF, rng.integers(256)])
            )
    if kind in (1, 2):
        del damaged[int(rng.integers(len(damaged) + 1)) :]
    if kind == 3 and rng.random() < 0.3:
        damaged += bytes(int(rng.integers(1, 20)))
    return bytes(damaged)
