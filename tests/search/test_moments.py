"""Second moments: what they say of an error is what running the leak over the inputs says."""

import numpy as np
import pytest

from snnquant.search.moments import Moments, filtered

T, N, SIZE, CHANNELS = 6, 40, 5, 4


def data(seed=0, groups=1):
    rng = np.random.default_rng(seed)
    spikes = (rng.random((groups, T, N, SIZE)) < rng.random(SIZE)).astype(np.float32)
    other = np.where(rng.random(spikes.shape) < 0.1, 1 - spikes, spikes)
    rows = rng.normal(size=(groups * CHANNELS, SIZE))
    return spikes, other.astype(np.float32), rows


def membranes(rows, inputs, bias, leaks):
    """Run the leaks of one group over currents, with a bias at every step."""
    current = inputs @ rows.T + bias
    return filtered(current, leaks)


@pytest.mark.parametrize("leaks", [(), (0.9,), (0.5, 0.95), (1.0,)])
def test_filtering_is_the_leak_step_by_step(leaks):
    rows = np.random.default_rng(0).normal(size=(T, 3))
    wanted = rows.copy()
    for alpha in leaks:
        v = np.zeros(3)
        for step in range(T):
            v = alpha * v + wanted[step]
            wanted[step] = v
    kept = rows.copy()
    assert np.allclose(filtered(rows, leaks), wanted)
    assert np.array_equal(rows, kept)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("leaks", [(), (0.9,), (0.6, 0.9)])
def test_errors_are_those_of_the_membranes(groups, leaks):
    quantized, real, rows = data(1, groups)
    moments = Moments(groups, SIZE)
    for part in (slice(0, 13), slice(13, N)):
        moments.add(quantized[:, :, part], real[:, :, part], leaks)
    chosen = np.rint(rows * 2) / 2
    bias = np.random.default_rng(3).normal(size=len(rows))
    found = moments.error(chosen, rows, bias)
    energy = moments.energy(rows)
    for group in range(groups):
        own = slice(group * CHANNELS, (group + 1) * CHANNELS)
        wanted = membranes(rows[own], real[group], 0, leaks)
        got = membranes(chosen[own], quantized[group], bias[own], leaks)
        assert np.allclose(found[own], np.square(got - wanted).sum(axis=(0, 1)))
        assert np.allclose(energy[own], np.square(wanted).sum(axis=(0, 1)))


def test_the_best_bias_is_the_best():
    quantized, real, rows = data(2)
    moments = Moments(1, SIZE)
    moments.add(quantized, real, (0.9,))
    chosen = np.rint(rows)
    best = moments.best_bias(chosen, rows)
    reached = moments.error(chosen, rows, best)
    for shift in (-0.01, 0.01):
        assert (moments.error(chosen, rows, best + shift) > reached).all()


def test_the_hessian_is_the_error_beside_the_best_bias():
    quantized, _, rows = data(4)
    moments = Moments(1, SIZE)
    moments.add(quantized, quantized, (0.9,))
    chosen = np.rint(rows)
    d = chosen - rows
    wanted = moments.error(chosen, rows, moments.best_bias(chosen, rows))
    assert np.allclose(((d @ moments.hessian[0]) * d).sum(axis=1), wanted)


def test_the_best_rows_undo_what_the_inputs_lost():
    quantized, real, rows = data(5)
    moments = Moments(1, SIZE)
    moments.add(quantized, real, (0.9,))
    errors = []
    for damping in (1e-6, 1.0, 1e6):
        found = moments.best_rows(rows, damping)
        errors.append(moments.error(found, rows, moments.best_bias(found, rows)).sum())
    plain = moments.error(rows, rows, moments.best_bias(rows, rows)).sum()
    assert errors[0] < errors[1] < errors[2] <= plain * (1 + 1e-6)
    assert np.allclose(moments.best_rows(rows, 1e9), rows, atol=1e-5)


def test_equal_inputs_ask_for_nothing():
    quantized, _, rows = data(6)
    moments = Moments(1, SIZE)
    moments.add(quantized, quantized, (0.9,))
    assert np.allclose(moments.best_rows(rows, 0.1), rows)
    assert np.allclose(moments.best_bias(rows, rows), 0)


def test_inputs_that_never_change_count_nothing_beside_a_bias():
    quantized, real, _ = data(7)
    quantized[..., 1], quantized[..., 3] = 0.3, 0
    moments = Moments(1, SIZE)
    moments.add(quantized, real, (0.9,))
    hessian = moments.hessian[0]
    assert not hessian[[1, 3]].any()
    assert not hessian[:, [1, 3]].any()
    assert (np.diagonal(hessian)[[0, 2, 4]] > 0).all()
