"""Files in the layout of SHD and SSC: exact values, and damage that HDF5 meets elsewhere."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from event_files import write_shd

from snnquant.data import ReadOptions, open_data, shd
from snnquant.errors import DataError, UsageError

TIME = ReadOptions(timesteps=4, bin="time")
SAMPLES = [
    ([0.0, 0.25, 0.5, 1.0], [0, 699, 5, 5]),
    ([0.5], [3]),
    ([0.125, 0.125, 0.75], [7, 7, 8]),
]


def frames(path: Path, size: int = 2, **more: int) -> np.ndarray:
    return np.concatenate([b.inputs["x"] for b in open_data(path, TIME).batches(size, **more)])


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_spikes_become_counts(tmp_path: Path, dtype: str) -> None:
    path = write_shd(tmp_path / "shd.h5", SAMPLES, [19, 0, 4], dtype)
    wanted = np.zeros((3, 4, 700), np.float32)
    wanted[0, 0, 0] = wanted[0, 1, 699] = wanted[0, 2, 5] = wanted[0, 3, 5] = 1
    wanted[1, 0, 3] = 1
    wanted[2, 0, 7] = 2
    wanted[2, 3, 8] = 1
    np.testing.assert_array_equal(frames(path), wanted)
    np.testing.assert_array_equal(frames(path, start=1, limit=1), wanted[1:2])
    labels = [b.labels.tolist() for b in open_data(path, TIME).batches(2) if b.labels is not None]
    assert labels == [[19, 0], [4]]
    with pytest.raises(UsageError, match=r"--bin time\|count"):
        open_data(path)


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        frames(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    refused(write_shd(path, [([0.0], [700])], [0]), "x = 700, not within 0 to 699")
    refused(write_shd(path, [([0.0], [-1])], [0]), "x = -1, not within")
    refused(write_shd(path, [([np.nan], [1])], [0]), "not all seconds")
    refused(write_shd(path, [([], [])], [0]), "holds no event")
    refused(write_shd(path, [([0.0, 1.0], [1])], [0]), "2 times and 1 units")
    refused(write_shd(path, [([0.0], [1])], [0, 1]), "are 1, 1 and 2")
    refused(write_shd(path, [([0.0], [1])], [0], ">f4"), "spikes/times has the type")
    refused(write_shd(path, [], []), "is empty|no list|are 0")
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    refused(path, "no list spikes/times")
    with h5py.File(path, "w") as file:
        file["spikes/times"] = np.zeros(3)
        file["spikes/units"] = np.zeros(3, int)
        file["labels"] = np.zeros(3, int)
    refused(path, "spikes/times has the type float64")
    write_shd(path, SAMPLES[:1], None)
    with h5py.File(path, "a") as file:
        file.create_dataset("labels", (2**40,), "i8")  # declared, never written
    refused(path, "cannot hold|are 1, 1 and")


def test_damage_is_a_data_error_or_harmless(tmp_path: Path) -> None:
    whole = write_shd(tmp_path / "good.h5", SAMPLES, [1, 2, 3]).read_bytes()
    path = tmp_path / "bad.h5"
    for cut in (8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(path, "truncated, damaged or not in the layout")
    rng = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole), 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            frames(path)


def test_a_process_that_crashes_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shd(tmp_path / "d.h5", SAMPLES, [1, 2, 3])
    for code in ("import os; os.abort()", "import time; time.sleep(60)", "print('L' * 100)"):
        monkeypatch.setattr(shd, "_CHILD", code)
        monkeypatch.setattr(shd, "_PATIENCE", 0.5)
        refused(path, "crashes on it or finds no end")


def test_h5py_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shd(tmp_path / "d.h5", SAMPLES, [1, 2, 3])
    monkeypatch.setattr(shd.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs h5py; install it with pip install"):
        open_data(path, TIME)
    assert sys.modules["h5py"] is h5py
