"""Multipliers and shifts against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnquant.errors import NumericalError
from snnquant.lowering.scaling import choose_scaling
from snnquant.numerics import INT32, IntRange

INT8 = IntRange.signed(8)


def exact(values, scaling, at=()):
    """Return what the definition says, over the integers of Python."""
    m = [int(np.broadcast_to(x, scaling.shift.shape)[at]) for x in scaling.multipliers]
    shift = int(scaling.shift[at])
    total = sum(x * k for x, k in zip(values, m, strict=True)) + int(scaling.offset[at])
    rounded = (total + (1 << shift >> 1)) >> shift
    return min(max(rounded, scaling.limits.low), scaling.limits.high)


@pytest.mark.parametrize("reach", [1, 7, 128, 300])
@pytest.mark.parametrize("limits", [INT8, IntRange(0, 255), IntRange(-3, 2)])
@pytest.mark.parametrize("factor", [1.0, 0.5, 1 / 3, 0.0117, 2.5, 1e-4, -0.7, 100.0, 0.0])
def test_every_integer_of_a_small_range(factor, limits, reach):
    scaling = choose_scaling([np.array([factor])], [reach], limits)
    x = np.arange(-reach, reach + 1)
    found = scaling.of(x)
    assert found.tolist() == [exact([int(v)], scaling, (0,)) for v in x]
    # And that is the nearest integer to the real product, in the middle either of two.
    for value, result in zip(x.tolist(), found.tolist(), strict=True):
        real = min(max(Fraction(factor) * value, limits.low), limits.high)
        assert abs(real - result) <= Fraction(1, 2) + Fraction(1, 2**20)


def test_ties_go_up():
    scaling = choose_scaling([np.array([0.5])], [4], INT8)
    assert scaling.of(np.arange(-4, 5)).tolist() == [-2, -1, -1, 0, 0, 1, 1, 2, 2]


def test_a_factor_of_one_changes_nothing_but_the_limits():
    scaling = choose_scaling([np.ones(1)], [1000], INT8)
    x = np.arange(-1000, 1001)
    np.testing.assert_array_equal(scaling.of(x), np.clip(x, -128, 127))


REACHES = st.sampled_from([1, 255, 2**15, 2**24, 2**31])


@given(
    st.lists(st.tuples(st.floats(-40, 6), st.booleans(), REACHES), min_size=1, max_size=3),
    st.sampled_from([INT8, IntRange(0, 255), IntRange(-(2**27), 2**27), INT32]),
    st.floats(-100, 100),
    st.data(),
)
def test_sums_are_exact_below_2_53_and_close_to_the_real_ones(parts, limits, offset, data):
    factors = [np.array([(-1.0 if turned else 1.0) * 2.0**e]) for e, turned, _ in parts]
    reaches = [reach for _, _, reach in parts]
    values = [data.draw(st.integers(-reach, reach)) for reach in reaches]
    scaling = choose_scaling(factors, reaches, limits, np.array([offset]))
    most = sum(r * abs(int(m[0])) for r, m in zip(reaches, scaling.multipliers, strict=True))
    assert most + abs(int(scaling.start[0])) < 2**53
    assert all(abs(int(m[0])) <= INT32.high for m in scaling.multipliers)
    (found,) = scaling.of(*[np.array([v]) for v in values])
    assert found == exact(values, scaling, (0,))
    real = sum(Fraction(float(f[0])) * v for f, v in zip(factors, values, strict=True))
    real = min(max(real + Fraction(offset), limits.low), limits.high)
    half = Fraction(1, 2 ** (int(scaling.shift[0]) + 1))
    assert abs(real - int(found)) <= Fraction(1, 2) + half * (sum(map(abs, values)) + 2)


def test_channels_have_multipliers_of_their_own():
    factor = np.array([1e-6, 1.0, 200.0]).reshape(3, 1)
    scaling = choose_scaling([factor, np.array([0.25])], [2**20, 100], INT8)
    assert scaling.shift.shape == (3, 1)
    assert len(set(scaling.shift.reshape(-1).tolist())) > 1
    a = np.array([[2**20, -5], [90, 1], [-1, 1]])
    b = np.array([[4, 4], [4, 4], [0, 2]])
    assert scaling.of(a, b).tolist() == [[2, 1], [91, 2], [-128, 127]]


def test_a_channel_of_zeros_is_no_reason_to_stop():
    scaling = choose_scaling([np.array([0.0, 1.0])], [10], INT8)
    assert scaling.of(np.array([7, 7])).tolist() == [0, 7]


def test_what_no_integers_hold_is_refused():
    with pytest.raises(NumericalError, match="beyond 2\\*\\*53; calibrate on samples"):
        choose_scaling([np.array([2.0**40])], [2**20], INT8)
