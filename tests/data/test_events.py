"""Event data: exact values, and files that are none."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from event_files import (
    AEDAT_HEADER,
    aedat_packet,
    events_array,
    nmnist_bytes,
    write_gestures,
    write_nmnist,
)

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
        (nmnist_bytes([(1, 34, 3, 1)]), "x = 34, not within 0 to 33"),
        (nmnist_bytes([(1, 3, 34, 1)]), "y = 34, not within 0 to 33"),
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


EVENTS = [(0, 1, 2, 1), (10, 1, 2, 1), (30, 3, 0, 0)]
SMALL = ReadOptions(timesteps=3, bin="time", sensor=(3, 4))


def small_frames() -> np.ndarray:
    wanted = np.zeros((1, 3, 2, 3, 4), np.float32)
    wanted[0, 0, 1, 2, 1] = wanted[0, 1, 1, 2, 1] = wanted[0, 2, 0, 0, 3] = 1
    return wanted


def columns(events: list[tuple[int, int, int, int]]) -> dict[str, np.ndarray]:
    return {name: np.array([e[k] for e in events]) for k, name in enumerate("txyp")}


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize("folder", [False, True])
def test_stored_events(tmp_path: Path, kind: str, folder: bool) -> None:
    (tmp_path / "d" / "first").mkdir(parents=True)
    (tmp_path / "d" / "second").mkdir()
    path = tmp_path / "d" / "second" / f"a.{kind}"
    if kind == "npz":
        np.savez(path, **columns(EVENTS))
    else:
        np.save(path, events_array(EVENTS))
    given = tmp_path / "d" if folder else path
    with pytest.raises(UsageError, match="--sensor HEIGHT,WIDTH"):
        open_data(given, TIME)
    np.testing.assert_array_equal(values(given, SMALL), small_frames())
    (batch,) = open_data(given, SMALL).batches(2)
    assert (None if batch.labels is None else batch.labels.tolist()) == ([1] if folder else None)
    refused(given, ReadOptions(timesteps=3, bin="time", sensor=(2, 4)), "y = 2, not within 0 to 1")


def test_frames_of_spikingjelly(tmp_path: Path) -> None:
    frames = np.arange(2 * 3 * 2 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2, 2)
    for label in (0, 1):
        (tmp_path / str(label)).mkdir()
        np.savez_compressed(tmp_path / str(label) / "a.npz", frames=frames[label])
    np.testing.assert_array_equal(values(tmp_path, None), frames)
    with pytest.raises(UsageError, match="holds frames, not events"):
        open_data(tmp_path, TIME)
    np.savez(tmp_path / "1" / "b.npz", frames=frames[0, :2])
    with pytest.raises(DataError, match="all samples must be alike"):
        values(tmp_path, None)


def test_stored_events_that_are_none(tmp_path: Path) -> None:
    good = columns(EVENTS)
    for name, arrays in {
        "differ in length": good | {"t": np.arange(2)},
        "array 'x' of whole numbers": good | {"x": np.array([0.5, 1, 2])},
        "'y' of whole": good | {"y": np.zeros((3, 1), int)},
        "t = 18446744073709551615": good | {"t": np.full(3, 2**64 - 1, np.uint64)},
        "cannot be true": good | {"t": np.array([-(2**62), 0, 2**62])},
        "p = 2, not within": good | {"p": np.array([0, 1, 2])},
        "holds no event": columns([]) | {k: np.zeros(0, int) for k in "txyp"},
    }.items():
        np.savez(tmp_path / "e.npz", **arrays)
        refused(tmp_path / "e.npz", SMALL, name)
    np.save(tmp_path / "e.npy", events_array(EVENTS))
    whole = (tmp_path / "e.npy").read_bytes()
    for content, message in (
        (whole[:-1], "is truncated"),
        (whole.replace(b"(3,)", b"(9,)"), "is truncated"),
        (
            whole.replace(b"(3,)", b"(3000000000000,)").replace(b" " * 12 + b"\n", b"\n"),
            "truncated",
        ),
        (whole.replace(b"|b1", b"|V1"), "not of numbers"),
        (whole.replace(b"|b1", b"|O1"), "damaged|pickled"),
    ):
        (tmp_path / "e.npy").write_bytes(content)
        refused(tmp_path / "e.npy", SMALL, message)
    (tmp_path / "f" / "0").mkdir(parents=True)
    (tmp_path / "f" / "0" / "a.npz").write_bytes(b"PK\x03\x04")
    refused(tmp_path / "f", SMALL, "truncated or corrupt")


def test_gestures_are_cut_by_their_table(tmp_path: Path) -> None:
    packets = [
        aedat_packet([(5, 127, 0, 1), (99, 3, 4, 0)]),
        aedat_packet([(7, 1, 1, 1)], kind=0),  # special events
        aedat_packet([(100, 3, 4, 1), (130, 3, 4, 1), (200, 5, 6, 0)]),
        aedat_packet([(0, 9, 127, 1)], wraps=1),
        aedat_packet([]),
    ]
    rows = [(11, 0, 100), (1, 100, 200), (2, 150, 1 << 32)]
    path = write_gestures(tmp_path, "user01_led", packets, rows)
    wanted = np.zeros((3, 3, 2, 128, 128), np.float32)
    wanted[0, 0, 1, 0, 127] = wanted[0, 2, 0, 4, 3] = 1
    wanted[1, 0, 1, 4, 3] = wanted[1, 2, 1, 4, 3] = 1
    wanted[2, 0, 0, 6, 5] = wanted[2, 2, 1, 127, 9] = 1
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\n")
    for given in (path, tmp_path, tmp_path / "trials_to_train.txt"):
        dataset = open_data(given, TIME)
        (batch,) = dataset.batches(8)
        assert batch.labels is not None
        assert batch.labels.tolist() == [10, 0, 1]
        np.testing.assert_array_equal(batch.inputs["x"], wanted)
    before = dataset.sha256
    write_gestures(tmp_path, "user01_led", packets, [(10, 0, 100), *rows[1:]])
    assert open_data(path, TIME).sha256 != before


PACKET = aedat_packet([(1, 2, 3, 1)])
HOSTILE_AEDAT = [
    (b"", "no AEDAT 3.1 recording"),
    (b"#!AER-DAT2.0\r\n#!END-HEADER\r\n" + PACKET, "no AEDAT 3.1 recording"),
    (AEDAT_HEADER[:-4], "header has no end"),
    (b"#!AER-DAT3.1\r\n" + b"#\r\n" * 100_000, "header has no end"),
    (AEDAT_HEADER, "holds no event"),
    (AEDAT_HEADER + PACKET[:20], "ends within a packet"),
    (AEDAT_HEADER + PACKET[:-1], "truncated or damaged"),
    (AEDAT_HEADER + PACKET[:16] + b"\xff\xff\xff\xff" + PACKET[20:], "declares 4294967295 events"),
    (AEDAT_HEADER + PACKET[:4] + b"\0\0\0\x08" + PACKET[8:], "declares 1 events of 134217728"),
    (AEDAT_HEADER + PACKET[:12] + b"\xff\xff\xff\xff" + PACKET[16:], "truncated or damaged"),
    (AEDAT_HEADER + aedat_packet([(1, 128, 3, 1)]), "x = 128, not within"),
]


@pytest.mark.parametrize(("content", "message"), HOSTILE_AEDAT, ids=range(len(HOSTILE_AEDAT)))
def test_hostile_aedat_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = write_gestures(tmp_path, "a", [], [(1, 0, 100)])
    path.write_bytes(content)
    refused(path, TIME, message)


def test_hostile_tables_of_labels_are_refused(tmp_path: Path) -> None:
    path = write_gestures(tmp_path, "a", [PACKET], [])
    table = tmp_path / "a_labels.csv"
    refused(path, TIME, "is empty")
    for row in ("0,1,2", "1,5,5", "1,-1,5", "1,2", "1,2,3,4", "a,b,c", f"1,0,{1 << 62}", "\xff"):
        table.write_text(f"class,start,end\n\n{row}\n", encoding="latin-1")
        with pytest.raises(DataError, match=r"a_labels\.csv', line 3: not a class") as caught:
            open_data(path, TIME)
        assert "\n" not in str(caught.value)
    table.write_bytes(bytes(1 << 21))
    with pytest.raises(DataError, match="too large"):
        open_data(path, TIME)
    table.unlink()
    with pytest.raises(DataError, match="put the CSV beside"):
        open_data(path, TIME)
