"""Sequences stored as [T, B, ...]: declared, read in slices of samples, in bounded memory."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from array_files import npy_bytes

from snnquant.data import ReadOptions, open_data
from snnquant.errors import DataError, UsageError

TIME_FIRST = ReadOptions(layout="tb")
STEPS, SAMPLES = 3, 10
ARRAY = np.arange(STEPS * SAMPLES * 4, dtype=">f4").reshape(STEPS, SAMPLES, 2, 2)
LABELS = np.arange(SAMPLES)[::-1]


def save(path: Path, array: np.ndarray = ARRAY, **more: np.ndarray) -> Path:
    if path.name.endswith(".npy"):
        np.save(path, array)
    else:
        write = np.savez_compressed if "deflated" in path.name else np.savez
        write(path, x=array, **more)
    return path


@pytest.mark.parametrize("name", ["d.npy", "stored.npz", "deflated.npz"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_batches_are_batch_first(tmp_path: Path, name: str, order: str) -> None:
    path = save(tmp_path / name, np.array(ARRAY, order=order))
    dataset = open_data(path, TIME_FIRST)
    assert (len(dataset), dataset.sample_shape("x")) == (SAMPLES, (STEPS, 2, 2))
    for start, size in ((0, 4), (3, 2), (9, 1)):
        found = np.concatenate([b.inputs["x"] for b in dataset.batches(size, start=start)])
        np.testing.assert_array_equal(found, ARRAY.swapaxes(0, 1)[start:])
        assert found.dtype == np.float32
    if order == "F" and name != "d.npy":
        with pytest.raises(DataError, match="Fortran order"):
            open_data(path)
    else:
        assert open_data(path).sample_shape("x") == (SAMPLES, 2, 2)  # never guessed


@pytest.mark.parametrize("name", ["stored.npz", "deflated.npz"])
def test_labels_and_several_inputs(tmp_path: Path, name: str) -> None:
    other = np.arange(2 * SAMPLES, dtype=np.int8).reshape(2, SAMPLES)
    path = save(tmp_path / name, y=LABELS.astype(np.float64), other=other)
    dataset = open_data(path, TIME_FIRST)
    assert dataset.keys == ("other", "x")
    batches = list(dataset.batches(4))
    np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), LABELS)
    np.testing.assert_array_equal(np.concatenate([b.inputs["other"] for b in batches]), other.T)
    assert [len(b) for b in batches] == [4, 4, 2]


@pytest.mark.parametrize("name", ["d.npy", "stored.npz", "deflated.npz"])
def test_what_is_no_sequence_is_refused(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, np.zeros(4))
    with pytest.raises(DataError, match=r"not \[T, B, ...\]; drop --data-layout tb"):
        open_data(path, TIME_FIRST)


def test_labels_of_another_number_of_samples_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "stored.npz", y=np.arange(STEPS))
    with pytest.raises(DataError, match="differ in their number of samples"):
        open_data(path, TIME_FIRST)
    assert len(open_data(path)) == STEPS


@pytest.mark.parametrize("name", ["stored.npz", "deflated.npz"])
def test_a_wrong_checksum_is_found(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name)
    data = bytearray(path.read_bytes())
    middle = data.index(b"\n", data.index(b"NUMPY")) + 60 if "stored" in name else 120
    data[middle] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"corrupt|damaged|truncated"):
        list(open_data(path, TIME_FIRST).batches(4))


def test_no_space_for_a_copy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    dataset = open_data(save(tmp_path / "deflated.npz"), TIME_FIRST)
    with pytest.raises(UsageError, match="No space left on device; set TMPDIR"):
        list(dataset.batches(4))
    assert len(list(open_data(save(tmp_path / "stored.npz"), TIME_FIRST).batches(4))) == 3


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=str)
def test_memory_does_not_grow_with_the_data(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "big.npz"
    steps, samples, width = 20, 100, 10_000  # 80 MB of float32
    row = np.arange(width, dtype=np.float32).tobytes() * samples
    with (
        zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_bytes((steps, samples, width)))
        for _ in range(steps):
            member.write(row)
    tracemalloc.start()
    seen = 0
    for batch in open_data(path, TIME_FIRST).batches(1):  # 0.8 MB each
        seen += len(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == samples
    assert peak < 8_000_000
