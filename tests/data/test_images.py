"""IDX files and the declared preparation of static samples."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from event_files import idx_bytes, write_mnist

from snnquant.data import ReadOptions, open_data
from snnquant.errors import DataError, UsageError

STORED = ReadOptions(normalize="none")
UNIT = ReadOptions(normalize="0..1")
IMAGES = (np.arange(7 * 3 * 2) * 6 % 256).astype(np.uint8).reshape(7, 3, 2)
LABELS = np.arange(7, dtype=np.uint8) % 3


def zipped(content: bytes) -> bytes:
    """One file for one content: no time of writing."""
    return gzip.compress(content, mtime=0)


def values(path: Path, options: ReadOptions | None, size: int = 3, **more: int) -> np.ndarray:
    return np.concatenate([b.inputs["x"] for b in open_data(path, options).batches(size, **more)])


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_images_and_labels(tmp_path: Path, compressed: bool) -> None:
    path = write_mnist(tmp_path, IMAGES, LABELS, zipped=compressed)
    dataset = open_data(path, STORED)
    assert (len(dataset), dataset.sample_shape("x"), dataset.dtype("x")) == (7, (1, 3, 2), "u1")
    batches = list(dataset.batches(3))
    assert [b.labels.tolist() for b in batches if b.labels is not None] == [
        [0, 1, 2],
        [0, 1, 2],
        [0],
    ]
    np.testing.assert_array_equal(values(path, STORED), IMAGES[:, np.newaxis])
    np.testing.assert_array_equal(values(path, STORED, 2, start=3, limit=3)[:, 0], IMAGES[3:6])


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_types(tmp_path: Path, dtype: str) -> None:
    stored = np.array([[1, 2], [3, 100]], dtype)
    (tmp_path / "d").write_bytes(idx_bytes(stored))
    found = values(tmp_path / "d", STORED)
    assert found.dtype == stored.dtype
    np.testing.assert_array_equal(found, stored)


def test_labels_beside_may_be_zipped_or_missing(tmp_path: Path) -> None:
    path = write_mnist(tmp_path, IMAGES, None)
    assert not open_data(path, STORED).has_labels
    alone = open_data(path, STORED).sha256
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(zipped(idx_bytes(LABELS)))
    dataset = open_data(path, STORED)
    assert dataset.has_labels
    assert dataset.sha256 != alone
    labels.write_bytes(zipped(idx_bytes(LABELS[:5])))
    with pytest.raises(DataError, match="differ in their number of samples"):
        open_data(path, STORED)


def test_normalisation_is_declared(tmp_path: Path) -> None:
    path = write_mnist(tmp_path, IMAGES, LABELS)
    with pytest.raises(UsageError, match=r"--normalize 0\.\.1, none or MEAN,STD"):
        open_data(path)
    unit = IMAGES[:, np.newaxis].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(values(path, UNIT), unit)
    np.testing.assert_array_equal(
        values(path, ReadOptions(normalize="0.1307,0.3081")),
        (unit - np.float32(0.1307)) / np.float32(0.3081),
    )
    np.save(tmp_path / "i.npy", np.array([[-1, 2]], np.int8))
    with pytest.raises(DataError, match="no declared range"):
        values(tmp_path / "i.npy", UNIT)
    np.save(tmp_path / "f.npy", np.array([[0.5, 2]], np.float32))
    assert values(tmp_path / "f.npy", UNIT).tolist() == [[0.5, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "no IDX file|truncated", id="empty"),
        pytest.param(b"\0\0\x08", "truncated", id="half a magic"),
        pytest.param(b"\0\0\x08\x03" + bytes(6), "truncated", id="half a header"),
        pytest.param(b"\x03\x08\0\0" + bytes(20), "no IDX file", id="little-endian magic"),
        pytest.param(b"\0\0\x07\x01" + bytes(20), "no IDX file", id="type unknown"),
        pytest.param(idx_bytes(IMAGES)[:-1], "truncated or damaged", id="a byte short"),
        pytest.param(idx_bytes(IMAGES) + b"1", "truncated or damaged", id="a byte more"),
        pytest.param(
            b"\0\0\x08\x03" + b"\xff" * 12 + bytes(50), "truncated or damaged", id="huge header"
        ),
        pytest.param(b"\0\0\x08\xff" + b"\xff" * 1020, "truncated or damaged", id="255 axes"),
        pytest.param(idx_bytes(IMAGES[:0]), "is empty", id="no samples"),
        pytest.param(zipped(idx_bytes(IMAGES))[:-9], "truncated", id="gzip cut in its check"),
        pytest.param(zipped(idx_bytes(IMAGES))[:6], "truncated", id="gzip cut in its header"),
        pytest.param(
            zipped(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(50)),
            "truncated or damaged",
            id="gzip of a huge header",
        ),
        pytest.param(
            zipped(b"\0\0\x08\x01\0\0\x10\0" + bytes(50)), "truncated", id="gzip of a short file"
        ),
        pytest.param(
            zipped(idx_bytes(IMAGES))[:-8] + bytes(8), "corrupt", id="gzip with a wrong check"
        ),
        pytest.param(zipped(idx_bytes(IMAGES) + b"more"), "more bytes", id="gzip of a longer file"),
    ],
)
def test_hostile_idx_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        values(path, STORED)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_repeat_keeps_values_and_type(tmp_path: Path) -> None:
    path = write_mnist(tmp_path, IMAGES, LABELS)
    found = values(path, ReadOptions(timesteps=4, encode="repeat", normalize="none"))
    assert found.shape == (7, 4, 1, 3, 2)
    assert found.dtype == np.uint8
    assert (found == IMAGES[:, np.newaxis, np.newaxis]).all()


def test_latency_is_one_spike_per_value(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[1, 0.75, 0.5, 0.25, 0]], np.float32))
    found = values(tmp_path / "d.npy", ReadOptions(timesteps=5, encode="latency"))
    np.testing.assert_array_equal(found[0], np.eye(5))


def test_poisson_depends_on_seed_and_index_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.tile([[0.0, 0.25, 0.5, 1.0]], (200, 1)))
    options = ReadOptions(timesteps=50, encode="poisson", seed=3)
    found = values(tmp_path / "d.npy", options, 200)
    np.testing.assert_array_equal(values(tmp_path / "d.npy", options, 7), found)
    np.testing.assert_array_equal(values(tmp_path / "d.npy", options, 9, start=11), found[11:])
    assert set(np.unique(found)) == {0, 1}
    np.testing.assert_allclose(found.mean((0, 1)), [0, 0.25, 0.5, 1], atol=0.02)
    assert (found[0] != found[1]).any()
    other = ReadOptions(timesteps=50, encode="poisson", seed=4)
    # Another seed is not the same draws one sample later.
    assert (values(tmp_path / "d.npy", other, 200)[:-1] != found[1:]).any()
    assert (values(tmp_path / "d.npy", other, 200) != found).any()
    draws = np.random.Generator(np.random.PCG64((3, 5, 0))).random((50, 4))
    np.testing.assert_array_equal(found[5], draws < [0, 0.25, 0.5, 1])


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_that_are_no_rate_are_refused(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "d.npy", np.array([[0.5, value]]))
    for encode in ("poisson", "latency"):
        with pytest.raises(DataError, match="needs values from 0 to 1"):
            values(tmp_path / "d.npy", ReadOptions(timesteps=2, encode=encode))


def test_time_first_is_declared(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(2, 4, 3)
    np.save(tmp_path / "d.npy", array)
    np.testing.assert_array_equal(
        values(tmp_path / "d.npy", ReadOptions(layout="tb")), array.swapaxes(0, 1)
    )
    np.testing.assert_array_equal(values(tmp_path / "d.npy", ReadOptions(layout="bt")), array)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encode": "repeat"}, "give --timesteps N too"),
        ({"bin": "time"}, "give --timesteps N too"),
        ({"encode": "rate"}, "give none, repeat"),
        ({"bin": "dt", "timesteps": 2}, "give time, count"),
        ({"layout": "tbc"}, "give bt, tb"),
        ({"timesteps": 0}, "at least 1"),
        ({"seed": 1}, "--encode poisson"),
        ({"seed": -1, "encode": "poisson", "timesteps": 1}, "seed >= 0"),
        ({"sensor": (0, 1)}, "HEIGHT,WIDTH"),
        *(({"normalize": text}, "MEAN,STD with STD > 0") for text in ("1", "1,0", "a,b", "nan,1")),
    ],
)
def test_options_that_mean_nothing_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReadOptions(**given)  # type: ignore[arg-type]


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((1, 1)))
    with pytest.raises(UsageError, match=r"--bin means nothing to .*d\.npy"):
        open_data(tmp_path / "d.npy", ReadOptions(timesteps=2, bin="time"))
