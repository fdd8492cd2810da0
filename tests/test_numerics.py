"""The only rounding of real numbers, and thresholds that are exact for every integer."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnquant.errors import NumericalError
from snnquant.numerics import (
    INT32,
    IntRange,
    Rounding,
    quantize,
    quantize_multiplier,
    quantize_threshold,
    require_finite,
    round_to_int,
)

REALS = st.floats(allow_nan=False, allow_infinity=False)
SCALES = st.floats(min_value=1e-30, max_value=1e30)
BOUND = 2**62


def fires(v, threshold, scale, on_equal):
    """The real comparison, over the rationals."""
    membrane = v * Fraction(scale)
    return membrane >= Fraction(threshold) if on_equal else membrane > Fraction(threshold)


@pytest.mark.parametrize("on_equal", [False, True])
@pytest.mark.parametrize("scale", [0.1, 0.25, 0.3, 1.0, 1 / 3, 7.0])
def test_threshold_is_exact_for_every_small_integer(scale, on_equal):
    thresholds = [k * scale for k in range(-6, 7)]
    thresholds += [k * scale / 4 for k in range(-20, 21)]
    thresholds += [float(np.nextafter(t, side)) for t in thresholds for side in (-99, 99)]
    bounds = quantize_threshold(thresholds, scale, fire_on_equal=on_equal)
    assert len(thresholds) == 162
    for threshold, fire_above in zip(thresholds, bounds, strict=True):
        for v in range(-30, 31):
            assert (v > fire_above) == fires(v, threshold, scale, on_equal), (threshold, v)


@given(threshold=REALS, scale=SCALES, on_equal=st.booleans())
@example(threshold=10.0, scale=0.1, on_equal=True)
@example(threshold=1.1, scale=0.1, on_equal=False)
@example(threshold=-0.3, scale=0.1, on_equal=True)
@example(threshold=5e-324, scale=1e30, on_equal=False)
@example(threshold=-5e-324, scale=1e30, on_equal=True)
@settings(max_examples=400)
def test_threshold_splits_the_integers_where_the_reals_do(threshold, scale, on_equal):
    found = quantize_threshold(threshold, scale, fire_on_equal=on_equal)
    fire_above = int(found)
    assert found.dtype == np.int64
    if fire_above < BOUND:
        assert fires(fire_above + 1, threshold, scale, on_equal)
    if fire_above > -BOUND:
        assert not fires(fire_above, threshold, scale, on_equal)


@pytest.mark.parametrize(
    ("threshold", "scale", "above", "on_equal"),
    [
        (1.0, 0.25, 4, 3),
        (1.1, 0.25, 4, 4),
        (-1.0, 0.25, -4, -5),
        (-1.1, 0.25, -5, -5),
        (0.0, 0.25, 0, -1),
        # A float64 quotient is 10.0 and 100.0 here, although ten tenths are more than 1.
        (1.0, 0.1, 9, 9),
        (10.0, 0.1, 99, 99),
        # And 2.9999999999999996 and 11.0 here; the second lies above eleven tenths.
        (0.3, 0.1, 2, 2),
        (1.1, 0.1, 11, 11),
        (1e300, 1e-300, BOUND, BOUND),
        (-1e300, 1e-300, -BOUND, -BOUND),
        (1e-300, 1e300, 0, 0),
        (-1e-300, 1e300, -1, -1),
    ],
)
def test_threshold_examples(threshold, scale, above, on_equal):
    assert quantize_threshold(threshold, scale, fire_on_equal=False) == above
    assert quantize_threshold(threshold, scale, fire_on_equal=True) == on_equal


def test_threshold_broadcasts_per_channel():
    found = quantize_threshold([[1.0], [2.0]], [0.5, 0.25, 1.0], fire_on_equal=False)
    assert found.tolist() == [[2, 4, 1], [4, 8, 2]]


def test_real_numbers_round_to_even_and_stay_inside_int64():
    values = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.4999, 1e300, -1e300, 2.0**63, np.inf, -np.inf]
    expected = [0, 2, 2, 0, -2, -2, 2, BOUND, -BOUND, BOUND, BOUND, -BOUND]
    assert round_to_int(values).tolist() == expected


@pytest.mark.parametrize(
    ("bits", "low", "high"), [(2, -2, 1), (4, -8, 7), (8, -128, 127), (28, -(2**27), 2**27 - 1)]
)
def test_signed_ranges(bits, low, high):
    limits = IntRange.signed(bits)
    assert (limits.low, limits.high) == (low, high)
    values = np.array([low - 1, low, 0, high, high + 1, -(2**62), 2**62])
    assert limits.saturate(values).tolist() == [low, low, 0, high, high, low, high]


def test_int32_is_the_range_of_a_current():
    assert IntRange(-(2**31), 2**31 - 1) == INT32


def test_quantize_is_round_then_clamp():
    values = np.array([-9.0, -1.0, -0.125, 0.125, 0.375, 1.0, 9.0])
    assert quantize(values, 0.25, IntRange.signed(4)).tolist() == [-8, -4, 0, 0, 2, 4, 7]


@pytest.mark.parametrize(
    ("alpha", "shift", "k"),
    [
        (1.0, 8, 256),
        (1.0, 15, 32768),
        (0.0, 8, 0),
        (0.9, 8, 230),
        (0.5, 15, 16384),
        (0.9, 15, 29491),
        (0.97, 8, 248),
        (1 / 512, 8, 0),
        (3 / 512, 8, 2),
    ],
)
def test_multiplier_examples(alpha, shift, k):
    assert quantize_multiplier(alpha, shift).tolist() == k


@pytest.mark.parametrize(("alpha", "text"), [(1.01, "1.01"), (-0.1, "-0.1")])
def test_multiplier_refuses_what_is_no_decay(alpha, text):
    with pytest.raises(NumericalError, match=rf"alpha_syn is {text}, outside \[0, 1\]"):
        quantize_multiplier([0.5, alpha], 8, "alpha_syn")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(NumericalError, match="v_reset of 'lif1' holds NaN or infinite values"):
        require_finite([1.0, value], "v_reset of 'lif1'")
    with pytest.raises(NumericalError, match="alpha holds NaN or infinite"):
        quantize_multiplier(value, 8)
    assert require_finite([1, 2], "x").dtype == np.float64


def test_rounding_numbers_are_those_of_the_ops():
    assert [r.name for r in Rounding] == ["NEAREST", "FLOOR", "TOWARD_ZERO", "CEIL"]
    assert [r.value for r in Rounding] == [0, 1, 2, 3]
