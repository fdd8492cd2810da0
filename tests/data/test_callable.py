"""Batches from the user's own code."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnquant.data import ReadOptions, open_data
from snnquant.data.callable import CallableDataset
from snnquant.errors import DataError, UsageError

X = np.arange(44, dtype=np.float32).reshape(11, 2, 2)
Y = np.arange(11)


def dataset(give, *, time_first: bool = False) -> CallableDataset:  # type: ignore[no-untyped-def]
    return CallableDataset("m:f", give, time_first=time_first)


@given(
    cuts=st.lists(st.integers(0, 11), max_size=4),
    size=st.integers(1, 12),
    start=st.integers(0, 11),
    limit=st.none() | st.integers(1, 12),
)
def test_batches_are_cut_anew(cuts: list[int], size: int, start: int, limit: int | None) -> None:
    edges = [0, *sorted(cuts), 11]
    pairs = [(X[a:b], Y[a:b]) for a, b in itertools.pairwise(edges)]
    found = dataset(lambda: iter(pairs))
    assert len(found) == 11
    assert found.sha256 == dataset(lambda: [(X, Y)]).sha256
    batches = list(found.batches(size, limit, start=start))
    wanted = list(range(11))[start:][:limit]
    labels = [int(y) for b in batches if b.labels is not None for y in b.labels]
    assert labels == wanted
    assert [b.start for b in batches] == wanted[::size]
    if wanted:
        np.testing.assert_array_equal(np.concatenate([b.inputs["x"] for b in batches]), X[wanted])


def test_forms_of_batches() -> None:
    for give in (lambda: X, lambda: [X[:5], X[5:]], lambda: {"x": X}, lambda: iter([{"x": X}])):
        (batch,) = dataset(give).batches(20)
        np.testing.assert_array_equal(batch.inputs["x"], X)
        assert batch.labels is None
    found = dataset(lambda: [{"a": X, "b": X, "y": Y}])
    assert found.keys == ("a", "b")
    assert found.has_labels
    (batch,) = dataset(lambda: (X, Y)).batches(20)
    np.testing.assert_array_equal(batch.labels, Y)
    assert len(dataset(lambda: (X, X))) == 22  # two batches
    (batch,) = dataset(lambda: (X.swapaxes(0, 1), Y), time_first=True).batches(20)
    np.testing.assert_array_equal(batch.inputs["x"], X)
    timed = dataset(lambda: [(X.swapaxes(0, 1), Y)], time_first=True)
    (batch,) = timed.batches(20)
    np.testing.assert_array_equal(batch.inputs["x"], X)


def test_what_is_no_batch_is_refused() -> None:
    def fails():  # type: ignore[no-untyped-def]
        yield X
        raise RuntimeError("one\ntwo")

    for give, message in (
        (lambda: [], "gives no batch"),
        (lambda: 3, "TypeError: 'int' object is not iterable"),
        (lambda: [3.0], "no array of samples"),
        (lambda: [{"y": Y}], "no array of samples"),
        (lambda: [(X, Y[:4])], "differ in their number of samples"),
        (lambda: [X, X[:, :1]], "batches that are alike"),
        (lambda: [X, X.astype(int)], "batches that are alike"),
        (lambda: ["text", "more"], "no array of samples"),
        (lambda: [np.array([None])], "object is not supported"),
        (fails, "RuntimeError: one; repair"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            dataset(give)
        assert "\n" not in str(caught.value)


def test_other_samples_at_another_call_are_noticed() -> None:
    lengths = iter([11, 6, 6])
    found = dataset(lambda: [X[: next(lengths)]])
    with pytest.raises(DataError, match="the same samples each time"):
        list(found.batches(4))


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_data.py").write_text(
        "import numpy as np\nprint('imported')\nnumber = 3\n"
        "class Sets:\n    @staticmethod\n    def test():\n        return np.ones((4, 2), 'u1')\n"
    )
    (tmp_path / "broken_data.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    found = open_data("my_data:Sets.test", ReadOptions(encode="repeat", timesteps=3))
    assert (len(found), found.sample_shape("x")) == (4, (3, 2))
    for name, error, message in (
        ("no_such_module:f", UsageError, "no such file, and no module no_such_module"),
        ("my_data:nothing", UsageError, "has no function nothing"),
        ("my_data:number", UsageError, "has no function number"),
        ("broken_data:f", DataError, "ZeroDivisionError: division by zero"),
        ("my_data:", DataError, "there is no data file"),
    ):
        with pytest.raises(error, match=message):
            open_data(name)
