from __future__ import annotations

import hashlib
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import npy_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.data import READERS, Batch, Dataset, open_data
from snnquant.errors import DataError, UsageError

DTYPES = [
    *("?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"),
    *(">i2", ">u4", ">i8", ">f2", ">f4", ">f8"),
]


def gather(dataset: Dataset, size: int, limit: int | None = None, **more: int) -> list[Batch]:
    return list(dataset.batches(size, limit, **more))


def write(path: Path, kind: str, array: np.ndarray[Any, Any]) -> Path:
    if kind == "npy":
        np.save(path, array)
        return path.with_name(path.name + ".npy")
    save = np.savez if kind == "stored" else np.savez_compressed
    save(path, x=array)
    return path.with_name(path.name + ".npz")


@pytest.mark.parametrize("kind", ["npy", "stored", "deflated"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_native_dtype_are_kept(tmp_path: Path, kind: str, dtype: str) -> None:
    array = (np.arange(30).reshape(5, 3, 2) % 7 % 3).astype(dtype)
    dataset = open_data(write(tmp_path / "d", kind, array))
    assert len(dataset) == 5
    assert dataset.keys == ("x",)
    assert dataset.sample_shape("x") == (3, 2)
    assert dataset.dtype("x") == array.dtype.newbyteorder("=")
    assert not dataset.has_labels
    batches = gather(dataset, 2)
    assert [(batch.start, len(batch)) for batch in batches] == [(0, 2), (2, 2), (4, 1)]
    joined = np.concatenate([batch.inputs["x"] for batch in batches])
    assert joined.dtype.isnative
    assert joined.dtype == dataset.dtype("x")
    np.testing.assert_array_equal(joined, array)
    assert all(batch.labels is None for batch in batches)


def test_every_reader_is_listed() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS) >= 7


@settings(deadline=None)
@given(
    size=st.integers(1, 9),
    limit=st.none() | st.integers(1, 12),
    start=st.integers(0, 9),
    deflated=st.booleans(),
)
def test_start_and_limit_select_a_range(
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    limit: int | None,
    start: int,
    deflated: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"range-{deflated}.npz"
    if not path.exists():
        save = np.savez_compressed if deflated else np.savez
        save(path, x=np.arange(14, dtype=np.int16).reshape(7, 2), y=np.arange(7))
    batches = gather(open_data(path), size, limit, start=start)
    wanted = list(range(7))[start:][:limit]
    assert [int(label) for batch in batches for label in batch.labels] == wanted  # type: ignore[union-attr]
    assert [int(row[0]) // 2 for batch in batches for row in batch.inputs["x"]] == wanted
    assert [batch.start for batch in batches] == wanted[::size]


def test_several_inputs_and_labels(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "d.npz",
        **{"in/left": np.ones((3, 2)), "right": np.zeros(3, bool), "y": np.array([2.0, 0.0, 1.0])},
    )
    dataset = open_data(tmp_path / "d.npz")
    assert dataset.keys == ("in/left", "right")
    assert dataset.has_labels
    (batch,) = gather(dataset, 10)
    assert batch.labels is not None
    assert batch.labels.dtype == np.int64
    assert batch.labels.tolist() == [2, 0, 1]
    assert sorted(batch.inputs) == ["in/left", "right"]
    with pytest.raises(DataError, match=r"no input array 'x', only 'in/left', 'right'"):
        dataset.sample_shape("x")


def test_fortran_order_is_read_from_npy_and_refused_in_npz(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "f.npy", array)
    np.testing.assert_array_equal(
        gather(open_data(tmp_path / "f.npy"), 2)[1].inputs["x"], [[4.0, 5.0]]
    )
    np.savez(tmp_path / "f.npz", x=array)
    with pytest.raises(DataError, match=r"Fortran order.*ascontiguousarray"):
        open_data(tmp_path / "f.npz")


def test_hash_is_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    path.write_bytes(npy_bytes((3,), "|u1", b"abc"))
    assert open_data(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("size", "limit", "start"), [(0, None, 0), (-1, None, 0), (1, 0, 0), (1, None, -1)]
)
def test_arguments_out_of_range_are_usage_errors(
    tmp_path: Path, size: int, limit: int | None, start: int
) -> None:
    np.save(tmp_path / "d.npy", np.zeros((2, 1)))
    with pytest.raises(UsageError, match="must be at least 1"):
        open_data(tmp_path / "d.npy").batches(size, limit, start=start)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros(3, int)}, "holds no input array"),
        ({}, "holds no input array"),
        ({"x": np.zeros((3, 1)), "y": np.zeros(2, int)}, r"differ.*'x': 3, 'y': 2"),
        ({"a": np.zeros((3, 1)), "b": np.zeros((4, 1))}, r"differ.*'a': 3, 'b': 4"),
        ({"x": np.zeros((0, 4))}, "is empty"),
        ({"x": np.zeros((4, 0))}, "is empty"),
        ({"x": np.float32(1.0)}, "is a scalar"),
        ({"x": np.zeros((2, 1), complex)}, "complex128 is not supported"),
        ({"x": np.array(["a", "b"])}, "dtype <U1 is not supported"),
        ({"x": np.zeros(2, "datetime64[s]")}, "not supported"),
        ({"x": np.zeros(2, np.longdouble)}, "not supported"),
        ({"x": np.zeros(2, [("a", "f4")])}, "not supported"),
        ({"x": np.array([None, {}], object)}, "pickled objects are never loaded"),
        ({"x": np.zeros((2, 1)), "y": np.zeros((2, 1), int)}, "not one-hot rows"),
        ({"x": np.zeros((2, 1)), "y": np.array([0.5, 1.0])}, "not all whole numbers"),
        ({"x": np.zeros((2, 1)), "y": np.array([np.nan, 1.0])}, "not all whole numbers"),
        ({"x": np.zeros((2, 1)), "y": np.array([np.inf, 1.0])}, "not all whole numbers"),
        ({"x": np.zeros((2, 1)), "y": np.array([0, 2**63], np.uint64)}, "not all whole numbers"),
    ],
)
def test_unusable_npz_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        open_data(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_folder_and_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data file"):
        open_data(tmp_path / "none.npz")
    with pytest.raises(DataError, match="not a regular file"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        open_data("nul\0byte")
    for content in (b"", b"hello", b"\x80\x04N."):
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(DataError, match="no known format; give one of: "):
            open_data(tmp_path / "d.npz")


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "d.npy", np.zeros(3))

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(DataError, match="Permission denied"):
        open_data(tmp_path / "d.npy")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_file_that_changes_during_a_run_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d.{suffix}"
    save = {"npy": np.save, "npz": lambda file, array: np.savez(file, x=array)}[suffix]
    save(path, np.zeros((8, 1000)))
    dataset = open_data(path)
    save(path, np.zeros((2, 1000)))
    with pytest.raises(DataError, match="changed since it was opened"):
        gather(dataset, 2)


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_streaming_memory_does_not_grow_with_the_data(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "big.npz"
    samples, width = 2000, 25_000  # 200 MB of float32
    compression = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
    row = np.arange(width, dtype=np.float32).tobytes()
    with (
        zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_bytes((samples, width)))
        for _ in range(samples):
            member.write(row)
    tracemalloc.start()
    seen = 0
    for batch in open_data(path).batches(10):  # 1 MB each
        seen += len(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == samples
    assert peak < 8_000_000
