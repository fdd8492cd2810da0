"""Event data: exact values, and files that are none."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from event_files import nmnist_bytes, write_nmnist

from snnquant.data import ReadOptions, open_data
from snnquant.data.events import steps_of
from snnquant.data.nmnist import read_events
from snnquant.data.options import Binning
from snnquant.errors import DataError, UsageError

TIME = ReadOptions(timesteps=3, bin="time")
COUNT = ReadOptions(timesteps=3, bin="count")


def values(path: Path, options: ReadOptions | None, size: int = 3) -> np.ndarray:
    return np.concatenate([b.inputs["x"] for b in open_data(path, options).batches(size)])


def refused(path: Path, options: ReadOptions, message: str) -> None:
    """Check that reading fails in one line that names the file, without much memory."""
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        values(path, options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("t", "by", "steps", "wanted"),
    [
        ([10, 19, 20, 29, 30, 41], "time", 3, [0, 0, 1, 1, 2, 2]),  # 31 // 3 = 10 a step
        ([5, 5, 5], "time", 4, [0, 0, 0]),
        ([0, 1], "time", 4, [0, 1]),
        ([0, 0, 0, 0, 9, 9, 9], "count", 3, [0, 0, 1, 1, 2, 2, 2]),
        ([0, 7], "count", 3, [0, 1]),
        ([1], "count", 1, [0]),
    ],
)
def test_binning(t: list[int], by: str, steps: int, wanted: list[int]) -> None:
    assert steps_of(np.array(t), Binning(steps, by)).tolist() == wanted


def test_nmnist_events_and_overflow(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(
        nmnist_bytes([(1, 2, 3, 1), (8191, 33, 0, 0), (0, 0, 240, 0), (5, 4, 5, 1)])
        + bytes([7, 240, 0, 0, 0, 9, 10, 0xFF, 0xFF, 0xFF])
    )
    events = read_events(path)
    assert events.t.tolist() == [1, 8191, 5 + 8192, 0x7FFFFF + 2 * 8192]
    assert events.x.tolist() == [2, 33, 4, 9]
    assert events.y.tolist() == [3, 0, 5, 10]
    assert events.p.tolist() == [1, 0, 1, 1]


def test_nmnist_folder(tmp_path: Path) -> None:
    for name, rows in {
        "0/b.bin": [(0, 1, 2, 1), (10, 1, 2, 1), (30, 33, 0, 0)],
        "1/a.bin": [(0, 0, 0, 0)],
        "0/.hidden.bin": [],
        "0/notes.txt": [],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(nmnist_bytes(rows))
    dataset = open_data(tmp_path, TIME)
    assert len(dataset) == 2
    (batch,) = dataset.batches(8)
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1]
    wanted = np.zeros((2, 3, 2, 34, 34), np.float32)
    wanted[0, 0, 1, 2, 1] = wanted[0, 1, 1, 2, 1] = wanted[0, 2, 0, 0, 33] = 1
    wanted[1, 0, 0, 0, 0] = 1
    np.testing.assert_array_equal(batch.inputs["x"], wanted)
    before = dataset.sha256
    assert open_data(tmp_path, COUNT).sha256 == before
    (tmp_path / "1/a.bin").rename(tmp_path / "1/b.bin")
    assert open_data(tmp_path, COUNT).sha256 != before


def test_events_need_a_declared_binning(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "d")
    for options in (None, ReadOptions(timesteps=3)):
        with pytest.raises(UsageError, match=r"--timesteps N and --bin time\|count"):
            open_data(tmp_path / "d", options)
    with pytest.raises(UsageError, match="--normalize means nothing"):
        open_data(tmp_path / "d", ReadOptions(timesteps=3, bin="time", normalize="0..1"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no N-MNIST recording or is truncated"),
        (nmnist_bytes([(1, 2, 3, 1)])[:-1], "truncated"),
        (nmnist_bytes([(1, 34, 3, 1)]), "x = 34, beyond the sensor"),
        (nmnist_bytes([(1, 3, 34, 1)]), "y = 34, beyond the sensor"),
        (nmnist_bytes([(1, 3, 240, 1)]), "holds no event"),
    ],
)
def test_hostile_nmnist_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.bin").write_bytes(content)
    refused(tmp_path, TIME, message)


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "d")
    with pytest.raises(DataError, match="fewer --timesteps"):
        values(tmp_path / "d", ReadOptions(timesteps=2**40, bin="count"))
