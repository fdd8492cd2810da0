from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from snnquant.errors import CalibrationMismatchError, DataError, NumericalError
from snnquant.numerics import IntRange
from snnquant.observers import TensorStatistics
from snnquant.observers.grid import FINITE_BINS, bin_of, edges_of

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
BATCH = npst.arrays(
    np.float32,
    st.integers(0, 20),
    elements=FLOATS | st.sampled_from([0.0, -0.0, 1.0, -3.0, 127.0, 128.0, 1e-45]),
)


def statistics_of(*batches: Any, name: str = "x") -> TensorStatistics:
    statistics = TensorStatistics(name)
    for batch in batches:
        statistics.update(np.asarray(batch, np.float32))
    return statistics


def text(statistics: TensorStatistics) -> str:
    return json.dumps(statistics.to_json())


def test_literal_values() -> None:
    statistics = statistics_of([[1.0, -2.0, 0.0]], [-0.0, 0.5, 3.0])
    assert text(statistics) == (
        '{"count": 6, "zeros": 2, "batches": 2, "minimum": -2.0, "maximum": 3.0, '
        '"sum_of_batch_absmax": "5", "all_integer": false, "bins_per_octave": 64, '
        '"positive": {"8064": 1, "8128": 1, "8224": 1}, "negative": {"8192": 1}}'
    )
    positive, negative = statistics.magnitudes()
    assert positive.lower.tolist() == [0.5, 1.0, 3.0]
    assert positive.upper.tolist() == [0.5078125, 1.015625, 3.0]
    assert positive.centers.tolist() == [0.50390625, 1.0078125, 3.0]
    assert positive.counts.tolist() == [1, 1, 1]
    assert negative.lower.tolist() == negative.upper.tolist() == [2.0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("extra", [[], [1e-45], [0.5], [2.0], [-1.0], [-0.0]])
def test_spikes_are_counted_as_other_values_are(sign: float, extra: list[float]) -> None:
    spikes = (np.arange(40_000) % 3 == 0).astype(np.float32)
    values = np.float32(sign) * np.append(spikes, np.float32(extra))
    found = json.loads(text(statistics_of(values)))
    magnitudes = np.abs(values)
    assert found["zeros"] == np.count_nonzero(magnitudes == 0)
    for name, wanted in (("positive", values > 0), ("negative", values < 0)):
        bins, counts = np.unique(
            [bin_of(magnitude) for magnitude in magnitudes[wanted].tolist()], return_counts=True
        )
        assert found[name] == dict(zip(map(str, bins.astype(int)), counts.tolist(), strict=True))
    assert found["all_integer"] == bool((values == np.rint(values)).all())


def test_renamed_statistics_go_on_alone() -> None:
    first = statistics_of([1.0, 0.0])
    second = first.renamed("y")
    assert (second.name, text(second)) == ("y", text(first))
    second.update([3.0])
    assert text(first) == text(statistics_of([1.0, 0.0]))


def test_empty_statistics() -> None:
    statistics = statistics_of([], np.zeros((0, 3)))
    assert text(statistics) == (
        '{"count": 0, "zeros": 0, "batches": 0, "minimum": 0.0, "maximum": 0.0, '
        '"sum_of_batch_absmax": "0", "all_integer": true, "bins_per_octave": 64, '
        '"positive": {}, "negative": {}}'
    )
    assert not statistics.holds_only_integers(IntRange.signed(8))
    assert [side.counts.size for side in statistics.magnitudes()] == [0, 0]


def test_silent_first_batch_counts_as_a_batch() -> None:
    statistics = statistics_of(np.zeros(5), [4.0, 6.0])
    assert (statistics.minimum, statistics.maximum, statistics.zeros) == (0.0, 6.0, 5)
    assert (statistics.batches, statistics.absmax_sum) == (2, 6)
    only = statistics_of([-0.0, -0.0])
    assert (text(only), only.count) == (text(statistics_of([0.0, 0.0])), 2)


def test_extremes_of_one_sign_do_not_include_zero() -> None:
    assert statistics_of([2.0, 3.0]).minimum == 2.0
    assert statistics_of([-2.0, -3.0]).maximum == -2.0
    merged = statistics_of([2.0]).merge(statistics_of()).merge(statistics_of([3.0]))
    assert (merged.minimum, merged.maximum) == (2.0, 3.0)


def test_sum_of_batch_absmax_is_exact() -> None:
    statistics = statistics_of([3.4028234663852886e38], [-1e-45], [1.0])
    expected = (2**24 - 1) * 2**104 + Fraction(1, 2**149) + 1
    assert statistics.absmax_sum == expected
    assert TensorStatistics.from_json("x", statistics.to_json()).absmax_sum == expected


def test_other_layouts_and_dtypes_are_taken_as_float32() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = text(statistics_of(array))
    for view in (array.T, array[::-1], array.astype(">f4"), array.astype(np.uint8), array[None]):
        statistics = TensorStatistics("x")
        statistics.update(view)
        assert text(statistics) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_not_finite_are_refused_and_change_nothing(bad: float) -> None:
    statistics = statistics_of([1.0])
    before = text(statistics)
    with pytest.raises(NumericalError, match=r"tensor 'x' holds NaN or infinite"):
        statistics.update(np.array([0.0, bad, 1.0]))
    assert text(statistics) == before


@settings(deadline=None)
@given(st.lists(BATCH, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_merging_is_one_pass(batches: list[Any], i: int, j: int) -> None:
    i, j = sorted((i, j))
    a, b, c = (statistics_of(*part) for part in (batches[:i], batches[i:j], batches[j:]))
    whole = text(statistics_of(*batches))
    assert text(a.merge(b).merge(c)) == whole
    assert text(a.merge(b.merge(c))) == whole
    assert text(c.merge(a).merge(b)) == whole


@settings(deadline=None)
@given(st.lists(BATCH, max_size=4))
def test_json_round_trip(batches: list[Any]) -> None:
    statistics = statistics_of(*batches)
    again = TensorStatistics.from_json("x", json.loads(text(statistics)))
    assert text(again) == text(statistics)
    assert text(again.merge(again)) == text(statistics_of(*batches, *batches))


@settings(deadline=None)
@given(BATCH)
def test_against_plain_counting(batch: Any) -> None:
    statistics = statistics_of(batch)
    assert statistics.zeros == sum(value == 0 for value in batch.tolist())
    assert statistics.all_integer == all(value.is_integer() for value in batch.tolist())
    positive, negative = statistics.magnitudes()
    for side, values in ((positive, batch[batch > 0]), (negative, -batch[batch < 0])):
        assert side.counts.sum() == values.size
        for lower, upper, count in zip(side.lower, side.upper, side.counts, strict=True):
            # An upper edge belongs to the next bin unless it is the extreme.
            in_bin = [value for value in values.tolist() if bin_of(value) == bin_of(lower)]
            assert count == len(in_bin)
            assert all(lower <= value <= upper for value in in_bin)


def test_no_edge_is_a_negative_zero() -> None:
    for values in ([0.0, -1e-45], [0.0, 1e-45], [-0.0, -0.25]):
        for side in statistics_of(values).magnitudes():
            assert not np.signbit(side.lower).any()


def test_chunks_of_a_large_batch_add_up() -> None:
    values = np.random.default_rng(1).integers(-3, 4, 100_003).astype(np.float32)
    statistics = statistics_of(values)
    assert (statistics.count, statistics.batches) == (100_003, 1)
    assert statistics.zeros == np.count_nonzero(values == 0)
    positive, negative = statistics.magnitudes()
    assert positive.lower.tolist() == negative.lower.tolist() == [1.0, 2.0, 3.0]
    assert positive.counts.tolist() == [np.count_nonzero(values == v) for v in (1, 2, 3)]
    assert negative.counts.tolist() == [np.count_nonzero(values == -v) for v in (1, 2, 3)]


def test_grid() -> None:
    assert [bin_of(value) for value in (0.0, 1e-45, 1.0, 1.015625, 2.0)] == [
        *(0, 0, 8128, 8129, 8192)
    ]
    assert bin_of(3.4028234663852886e38) == FINITE_BINS - 1
    lower, upper = edges_of(np.array([0, 1, 8128, FINITE_BINS - 1]))
    assert lower.tolist() == [0.0, 2.0**-132, 1.0, 2.0**127 * (2 - 1 / 64)]
    assert upper.tolist() == [2.0**-132, 2.0**-131, 1.015625, 2.0**128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 0], True),
        ([0, 0], True),
        ([-128, 127], True),
        ([128], False),
        ([-129], False),
        ([0.5, 1], False),
        ([1e-45], False),
    ],
)
def test_spikes_and_counts_are_told_from_analog(values: list[float], expected: bool) -> None:
    assert statistics_of(values).holds_only_integers(IntRange.signed(8)) is expected


def test_other_tensor_and_overflow_are_not_merged() -> None:
    with pytest.raises(CalibrationMismatchError, match="'a'"):
        statistics_of([1.0]).merge(statistics_of([1.0], name="a"))
    stored = statistics_of([0.0]).to_json() | {"count": 2**62, "zeros": 2**62}
    large = TensorStatistics.from_json("x", stored)
    with pytest.raises(CalibrationMismatchError, match="merge each shard once"):
        large.merge(large)


GOOD = statistics_of([0.0, 1.0, -2.0], [3.0]).to_json()
ANALOG = statistics_of([0.5, 2.0]).to_json()


def test_cases_to_damage_are_good() -> None:
    for stored in (GOOD, ANALOG):
        assert TensorStatistics.from_json("x", stored).to_json() == stored


@pytest.mark.parametrize(
    "stored",
    [
        *(None, 3, "x", [], {}),
        GOOD | {"more": 1},
        {key: value for key, value in GOOD.items() if key != "zeros"},
        *(GOOD | {"count": bad} for bad in (5, -1, 4.0, True, None, 2**63, "4")),
        *(GOOD | {"zeros": bad} for bad in (0, 2, None)),
        *(GOOD | {"batches": bad} for bad in (0, 5, 1.0)),
        *(GOOD | {"minimum": bad} for bad in (-2.5, 0.0, 4.0, None, "1", float("nan"), -1e300)),
        *(GOOD | {"maximum": bad} for bad in (3.1, 2.0, -3.0, float("inf"), 10**400, True)),
        *(GOOD | {"sum_of_batch_absmax": bad} for bad in ("1", "7", "6/2", "5/3", "3/0", "-5")),
        *(GOOD | {"sum_of_batch_absmax": bad} for bad in (5, None, "9" * 5000, "1/" + "9" * 45)),
        *(GOOD | {"sum_of_batch_absmax": bad} for bad in ("5\n", "٥", "1/" + "0" * 20)),
        *(GOOD | {"all_integer": bad} for bad in (0, None, "true")),
        ANALOG | {"all_integer": True},
        *(GOOD | {"bins_per_octave": bad} for bad in (32, None)),
        *(GOOD | {"negative": bad} for bad in ({}, [], None, {"8192": 0}, {"8192": True})),
        *(GOOD | {"negative": bad} for bad in ({"08192": 1}, {"-1": 1}, {"16320": 1}, {8192: 1})),
        *(GOOD | {"negative": bad} for bad in ({"99999": 1}, {"8193": 1}, {"8192": 2}, {"٨": 1})),
        GOOD | {"positive": {"8128": 2}},
    ],
)
def test_damaged_json_is_refused(stored: object) -> None:
    with pytest.raises(DataError, match=r"'in\\n' are damaged: .*; run snnquant cal") as caught:
        TensorStatistics.from_json("in\n", stored)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.dictionaries(st.text() | st.just("8192"), inner) | st.lists(inner),
            max_leaves=4,
        ),
        min_size=1,
    )
)
def test_any_json_is_read_or_refused(change: dict[str, Any]) -> None:
    try:
        statistics = TensorStatistics.from_json("x", GOOD | change)
    except DataError:
        return
    assert TensorStatistics.from_json("x", statistics.to_json()).to_json() == statistics.to_json()
