"""The scale of weights is the best one of those that are tried."""

import numpy as np
import pytest

from snnquant.numerics import IntRange, quantize
from snnquant.rounding.weight_grid import (
    WeightRows,
    candidate_scales,
    grid_scales,
    quadratic_error,
)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_scale_with_the_least_membrane_error_is_chosen(bits):
    rng = np.random.default_rng(bits)
    limits = IntRange.signed(bits)
    seen = rng.random((64, 12)) < 0.3
    rows, hessian = rng.normal(size=(5, 12)), (seen.T @ seen.astype(float))[None]
    part = WeightRows(rows, limits, hessian=hessian)
    tried = candidate_scales([part])
    moved = [quantize(rows, scale, limits) * scale - rows for scale in tried[:, :, None]]
    errors = [quadratic_error(each, hessian) for each in moved]
    chosen = grid_scales([part], "best")
    assert np.array_equal(chosen, tried[np.argmin(errors, axis=0), np.arange(5)])
    # No weight is outside of the first range, and of what is tried nothing is wider.
    whole = np.rint(rows / tried[0][:, None])
    assert whole.min() >= limits.low
    assert whole.max() <= limits.high
    assert (tried <= np.abs(rows).max(axis=1) / limits.high + 1e-12).all()


def test_a_channel_without_any_weight_has_no_scale():
    rows = np.stack([np.zeros(4), np.arange(4.0)])
    scales = grid_scales([WeightRows(rows, IntRange.signed(3))], "best")
    assert scales[0] == 0
    assert scales[1] > 0
