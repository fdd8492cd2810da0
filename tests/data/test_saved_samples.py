from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnquant import files
from snnquant.data import Batch, first_samples, load_samples, open_data, samples_bytes
from snnquant.errors import DataError, UsageError
from snnquant.files import atomic_write, sha256_of


def batch(count: int = 2) -> Batch:
    return Batch(
        {"x": np.arange(count * 3, dtype=np.float32).reshape(count, 3)},
        np.arange(count, dtype=np.int64),
        0,
    )


def save(path: Path, samples: Batch) -> str:
    atomic_write(path, samples_bytes(samples))
    return sha256_of(path)


def test_round_trip_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    digest = save(path, batch())
    assert digest == "36794a869c39c8df2c99abe137e33bb3c8d327241a3c15b7d33f1bddc4843214"
    loaded = load_samples(path)
    assert loaded.start == 0
    np.testing.assert_array_equal(loaded.inputs["x"], [[0, 1, 2], [3, 4, 5]])
    assert loaded.inputs["x"].dtype == np.float32
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 1]


def test_order_of_inputs_does_not_change_the_bytes(tmp_path: Path) -> None:
    a, b = np.zeros((1, 2)), np.ones((1, 2))
    first = save(tmp_path / "1", Batch({"a": a, "b": b}, None, 0))
    second = save(tmp_path / "2", Batch({"b": np.asfortranarray(b), "a": a}, None, 0))
    assert first == second
    assert load_samples(tmp_path / "1").labels is None


def test_first_samples_are_limited_in_number_and_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 5), np.float32), z=np.zeros((20, 5), np.uint8))
    dataset = open_data(tmp_path / "d.npz")
    assert len(first_samples(dataset)) == 8
    assert len(first_samples(dataset, max_bytes=99)) == 3
    assert len(first_samples(dataset, max_bytes=75)) == 3
    assert len(first_samples(dataset, max_bytes=74)) == 2
    assert len(first_samples(dataset, max_bytes=1)) == 1
    np.save(tmp_path / "d.npy", np.zeros((3, 5)))
    assert len(first_samples(open_data(tmp_path / "d.npy"))) == 3


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left")])
def test_interruption_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    path = tmp_path / "samples.npz"
    save(path, batch())
    before = path.read_bytes()

    def interrupt(self: Path, target: Path) -> None:
        raise interruption

    monkeypatch.setattr(files.Path, "replace", interrupt)
    with pytest.raises((KeyboardInterrupt, UsageError)):
        save(path, batch(1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_input_named_like_the_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be named 'y'"):
        samples_bytes(Batch({"y": np.zeros((1, 1))}, None, 0))


def test_foreign_samples_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples file"):
        load_samples(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="corrupt"):
        load_samples(tmp_path / "bad.npz")
    np.savez(tmp_path / "long.npz", x=np.zeros((9, 1)))
    with pytest.raises(DataError, match="holds 9 samples"):
        load_samples(tmp_path / "long.npz")
