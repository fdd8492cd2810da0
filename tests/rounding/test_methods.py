"""Methods of rounding: allowed integers, the same each time, never worse than the nearest ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.numerics import IntRange
from snnquant.rounding import AUTO, METHODS, WITH_SAMPLES, WITHOUT_SAMPLES
from snnquant.rounding.compensated import inverse_factor
from snnquant.rounding.descent import descend

LOOKING = [method for method in METHODS.values() if method.needs_samples]


def problem(seed, channels=5, size=7, samples=30, spread=1.0):
    """Return weights in steps and second moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    rows = rng.random((samples, size)) @ rng.normal(size=(size, size)) + spread
    return rng.normal(scale=1.5, size=(channels, size)), rows.T @ rows


def errors(found, steps, hessian):
    d = found - steps
    return ((d @ hessian) * d).sum(axis=1)


def nearest(steps, limits):
    return np.clip(np.rint(steps), limits.low, limits.high).astype(np.int64)


def test_the_names_are_those_of_the_methods():
    assert all(name == method.name for name, method in METHODS.items())
    assert AUTO not in METHODS
    assert not METHODS[WITHOUT_SAMPLES].needs_samples
    assert METHODS[WITH_SAMPLES].needs_samples


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 9), (40, 150)])
def test_integers_are_allowed_and_the_same_each_time(method, bits, shape):
    steps, hessian = problem(1, *shape, samples=20)  # fewer samples than weights: singular
    limits = IntRange.signed(bits)
    steps *= 3  # some beyond the range
    found = method.round(steps, limits, hessian)
    assert found.shape == steps.shape
    assert found.dtype == np.int64
    assert limits.low <= found.min()
    assert found.max() <= limits.high
    assert np.array_equal(found, method.round(steps.copy(), limits, hessian.copy()))


def test_nearest_rounds_ties_to_even_and_saturates():
    found = METHODS["nearest"].round(np.array([[0.5, 1.5, -2.5, 9.0]]), IntRange(-2, 1), np.eye(4))
    assert found.tolist() == [[0, 1, -2, 1]]


@pytest.mark.parametrize("method", LOOKING, ids=lambda method: method.name)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bits", [2, 4])
def test_what_looks_at_samples_beats_the_nearest(method, seed, bits):
    steps, hessian = problem(seed, channels=32, size=20)
    limits = IntRange.signed(bits)
    found = errors(method.round(steps, limits, hessian), steps, hessian)
    plain = errors(nearest(steps, limits), steps, hessian)
    assert found.sum() < 0.7 * plain.sum()


@pytest.mark.parametrize("method", LOOKING, ids=lambda method: method.name)
def test_inputs_that_never_come_keep_the_nearest_integer(method):
    steps, hessian = problem(3, size=6)
    hessian[2], hessian[:, 2] = 0, 0
    limits = IntRange.signed(4)
    found = method.round(steps, limits, hessian)
    assert np.array_equal(found[:, 2], nearest(steps, limits)[:, 2])
    quiet = method.round(steps, limits, np.zeros((6, 6)))
    assert np.array_equal(quiet, nearest(steps, limits))


@given(seed=st.integers(0, 10_000), bits=st.integers(2, 5), size=st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_descent_never_makes_a_channel_worse(seed, bits, size):
    steps, hessian = problem(seed, size=size, samples=4)
    limits = IntRange.signed(bits)
    start = np.random.default_rng(seed).integers(limits.low, limits.high + 1, steps.shape)
    found = descend(start, steps, limits, hessian)
    before, after = errors(start, steps, hessian), errors(found, steps, hessian)
    assert (after <= before * (1 + 1e-9) + 1e-9).all()
    assert limits.low <= found.min()
    assert found.max() <= limits.high


def test_no_single_change_helps_after_a_descent():
    steps, hessian = problem(8, channels=4, size=5)
    limits = IntRange.signed(3)
    found = descend(nearest(steps, limits), steps, limits, hessian)
    reached = errors(found, steps, hessian)
    for k, value in itertools.product(range(5), range(limits.low, limits.high + 1)):
        other = found.copy()
        other[:, k] = value
        assert (errors(other, steps, hessian) >= reached - 1e-9).all()


@pytest.mark.parametrize("method", LOOKING, ids=lambda method: method.name)
def test_small_problems_come_close_to_the_best_there_is(method):
    limits = IntRange.signed(2)
    ratios = []
    for seed in range(12):
        steps, hessian = problem(seed, channels=1, size=5)
        choices = np.array(list(itertools.product(range(-2, 2), repeat=5)))
        best = errors(choices, steps, hessian).min()
        ratios.append(errors(method.round(steps, limits, hessian), steps, hessian)[0] / best)
    assert np.median(ratios) < 1.2


def test_moments_that_rounding_made_negative_end():
    hessian = -1e-12 * np.eye(3)
    assert np.isfinite(inverse_factor(hessian)).all()
    assert np.isfinite(inverse_factor(hessian + np.ones((3, 3)))).all()


@pytest.mark.parametrize("samples", [2, 50])
def test_the_factor_is_that_of_the_damped_inverse(samples):
    _, hessian = problem(2, size=9, samples=samples)
    factor = inverse_factor(hessian)
    assert np.array_equal(factor, np.triu(factor))
    damped = np.linalg.inv(factor.T @ factor)
    extra = damped - hessian
    assert np.allclose(extra, np.diag(np.diagonal(extra)), atol=1e-6 * hessian.max())
    assert (np.diagonal(extra) > 0).all()
