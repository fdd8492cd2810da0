"""A part of a data set is what a data set of its samples would be."""

import numpy as np
import pytest

from snnquant.data import ReadOptions, open_data
from snnquant.data.part import Part


def content(dataset, size, **more):
    return [
        (batch.start, {k: v.tolist() for k, v in batch.inputs.items()}, batch.labels.tolist())
        for batch in dataset.batches(size, **more)
    ]


@pytest.mark.parametrize("encoded", [False, True])
def test_a_part_is_what_a_file_of_it_would_be(tmp_path, encoded):
    rng = np.random.default_rng(0)
    x, y = rng.random((11, 3)).astype(np.float32), rng.integers(0, 4, 11)
    np.savez(tmp_path / "all.npz", x=x, y=y)
    np.savez(tmp_path / "part.npz", x=x[3:8], y=y[3:8])
    options = ReadOptions(encode="repeat", timesteps=2) if encoded else ReadOptions()
    whole = open_data(tmp_path / "all.npz", options)
    part, alone = Part(whole, 3, 8), open_data(tmp_path / "part.npz", options)
    assert len(part) == 5
    assert part.has_labels
    assert part.sample_shape("x") == alone.sample_shape("x")
    assert content(part, 2) == content(alone, 2)
    assert content(part, 3, limit=2, start=2) == content(alone, 3, limit=2, start=2)
    assert (part.sha256, part.files) == (whole.sha256, whole.files)


def test_draws_are_those_of_the_whole(tmp_path):
    np.savez(tmp_path / "all.npz", x=np.full((9, 4), 0.5, np.float32))
    whole = open_data(tmp_path / "all.npz", ReadOptions(encode="poisson", timesteps=5, seed=3))
    (every,) = whole.batches(9)
    (some,) = Part(whole, 4, 7).batches(9)
    np.testing.assert_array_equal(some.inputs["x"], every.inputs["x"][4:7])
