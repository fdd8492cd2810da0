from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from snnquant.errors import NumericalError, UsageError
from snnquant.observers import OBSERVERS, TensorStatistics
from snnquant.observers.grid import Histogram
from snnquant.observers.mse import squared_error
from snnquant.observers.percentile import Percentile

NAMES = ["minmax", "batch_absmax", "percentile", "mse"]
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TINY = float(np.finfo(np.float32).tiny)


def statistics_of(*batches: Any) -> TensorStatistics:
    statistics = TensorStatistics("x")
    for batch in batches:
        statistics.update(np.asarray(batch, np.float32))
    return statistics


def float32(value: float) -> float:
    return float(np.float32(value))


def test_registry_is_complete() -> None:
    assert list(OBSERVERS) == NAMES
    for name, observer in OBSERVERS.items():
        assert observer.name == name
        assert observer.summary.endswith(".")
        assert "\n" not in observer.summary


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_silence_has_scale_one(name: str, bits: int) -> None:
    assert OBSERVERS[name].scale(statistics_of([0.0, -0.0], [0.0]), bits) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_no_values_and_odd_bits_are_refused(name: str) -> None:
    with pytest.raises(NumericalError, match=r"no values of tensor 'x'.*at least one sample"):
        OBSERVERS[name].scale(statistics_of(), 8)
    for bits in (-1, 0, 1, 17):
        with pytest.raises(UsageError, match="choose 2 to 16"):
            OBSERVERS[name].scale(statistics_of([1.0]), bits)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [2, 8, 16])
@settings(max_examples=30, deadline=None)
@given(values=npst.arrays(np.float32, st.integers(1, 8), elements=FLOATS))
def test_scale_is_a_normal_float32(name: str, bits: int, values: Any) -> None:
    scale = OBSERVERS[name].scale(statistics_of(values), bits)
    assert type(scale) is float
    assert scale == float32(scale)
    assert np.isfinite(scale)
    assert scale >= TINY


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-45])
def test_extreme_values(name: str, value: float) -> None:
    scale = OBSERVERS[name].scale(statistics_of([value]), 2)
    assert TINY <= scale <= 3.4028234663852886e38
    if abs(value) < 1:
        assert scale == TINY


@pytest.mark.parametrize(
    ("values", "bits", "expected"),
    [
        ([127.0, -1.0], 8, 1.0),
        ([127.0, -128.0], 8, 1.0),
        ([1.0, -128.0], 8, 1.0),
        ([254.0, -128.0], 8, 2.0),
        ([1.0], 8, 0.007874015718698502),
        ([3.5, -3.0], 4, 0.5),
        ([-2.0], 2, 1.0),
        ([2.0], 2, 2.0),
    ],
)
def test_minmax(values: list[float], bits: int, expected: float) -> None:
    assert OBSERVERS["minmax"].scale(statistics_of(values), bits) == expected


@settings(deadline=None)
@given(
    st.integers(2, 16),
    npst.arrays(np.float32, 4, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
)
def test_minmax_never_clips(bits: int, values: Any) -> None:
    scale = np.float32(OBSERVERS["minmax"].scale(statistics_of(values), bits))
    quantized = np.rint(values / scale)
    assert quantized.max() <= 2 ** (bits - 1) - 1
    assert quantized.min() >= -(2 ** (bits - 1))


def test_batch_absmax_is_the_mean_over_batches() -> None:
    assert OBSERVERS["batch_absmax"].scale(statistics_of([1.0, -3.0], [1.0], [0.0]), 8) == float32(
        4 / 3 / 128
    )
    assert OBSERVERS["batch_absmax"].scale(statistics_of([-256.0]), 8) == 2.0
    assert OBSERVERS["batch_absmax"].scale(statistics_of([3.4028234663852886e38] * 2), 2) == (
        1.7014117331926443e38
    )


def test_percentile_clips_outliers_of_either_side() -> None:
    body = np.repeat(np.float32(1.0), 29_998)
    # Three values of 30,001 may clip; bin 1.0 ends at 1 + 1/64, but these are integers.
    for outliers in ([1000.0, 2000.0, -3000.0], [1000.0], [-1000.0, -1000.0]):
        values = np.concatenate([body, outliers])
        assert OBSERVERS["percentile"].scale(statistics_of(values), 8) == float32(1 / 127)
    values = np.concatenate([-body, [-1000.0]])
    assert OBSERVERS["percentile"].scale(statistics_of(values), 8) == float32(1 / 128)
    analog = np.concatenate([body, [1000.5]])
    assert OBSERVERS["percentile"].scale(statistics_of(analog), 8) == float32(1.015625 / 127)


def test_percentile_of_few_values_is_minmax() -> None:
    values = [0.5, 3.3, -7.7]
    assert OBSERVERS["percentile"].scale(statistics_of(values), 8) == (
        OBSERVERS["minmax"].scale(statistics_of(values), 8)
    )


def test_percentile_ignores_zeros() -> None:
    statistics = statistics_of(np.zeros(10_000_000 // 8), [5.0, -1.0])
    assert OBSERVERS["percentile"].scale(statistics, 8) == float32(5 / 127)


def test_percentile_share_can_be_chosen() -> None:
    statistics = statistics_of([1.0, 2.0, 3.0, 4.0])
    assert Percentile(Fraction(1, 2)).scale(statistics, 8) == float32(2 / 127)
    assert Percentile(Fraction(3, 4)).scale(statistics, 8) == float32(3 / 127)
    assert Percentile(Fraction(1)).scale(statistics, 8) == float32(4 / 127)


def test_mse_keeps_values_that_are_exact_without_clipping() -> None:
    assert OBSERVERS["mse"].scale(statistics_of([0.0, 1.0]), 8) == float32(1 / 127)
    assert OBSERVERS["mse"].scale(statistics_of([-128.0, 127.0, 5.0]), 8) == 1.0


def test_mse_known_optima() -> None:
    rng = np.random.default_rng(0)
    # Levels 0, s of values even in 0..1: the best s is 2/3. Candidates are 1/64 apart there.
    uniform = statistics_of(rng.random(200_000))
    assert abs(OBSERVERS["mse"].scale(uniform, 2) - 2 / 3) < 1 / 64
    # Uniform quantizers of a Gaussian with 2**b levels (Max 1960): 0.3352 sigma for 16 levels.
    normal = statistics_of(rng.standard_normal(200_000))
    assert abs(OBSERVERS["mse"].scale(normal, 4) - 0.3352) < 0.02


# Not counts at 8 bits: a scale that divides 1 has no error there, and the grid holds none.
@pytest.mark.parametrize(
    ("kind", "bits"),
    [(kind, bits) for kind in ("normal", "laplace", "relu", "cauchy") for bits in (2, 4, 8)]
    + [("counts", 2), ("counts", 4)],
)
def test_mse_is_near_the_best_scale_on_the_samples(kind: str, bits: int) -> None:
    rng = np.random.default_rng(7)
    draw = {
        "normal": lambda: rng.standard_normal(5000),
        "laplace": lambda: rng.laplace(size=5000),
        "relu": lambda: np.maximum(rng.standard_normal(5000), 0),
        "cauchy": lambda: rng.standard_cauchy(5000),
        "counts": lambda: rng.poisson(3.0, 5000),
    }
    values = draw[kind]().astype(np.float32).astype(np.float64)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def error(scale: float) -> float:
        return float(((values - np.clip(np.rint(values / scale), low, high) * scale) ** 2).sum())

    statistics = statistics_of(values)
    widest = OBSERVERS["minmax"].scale(statistics, bits)
    best = min(error(float(scale)) for scale in np.linspace(widest / 400, widest, 400))
    assert error(OBSERVERS["mse"].scale(statistics, bits)) <= 1.06 * best


def test_squared_error_literals() -> None:
    def error(lower: float, upper: float, scale: float = 1.0, top: int = 7) -> float:
        side = Histogram(np.array([lower]), np.array([upper]), np.array([3]))
        return squared_error(side, scale, top)

    assert error(2.0, 2.0) == 0.0
    assert error(2.25, 2.25) == 3 * 0.0625
    assert error(9.0, 9.0) == 3 * 4.0
    assert error(18.0, 18.0, scale=2.0) == 3 * 16.0
    assert error(0.0, 1.0) == 3 / 12
    assert error(8.0, 9.0) == pytest.approx(3 * 7 / 3, rel=1e-12)
    assert error(0.0, 0.25) == 3 * 0.25**2 / 3
