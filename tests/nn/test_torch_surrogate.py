import math

import pytest
import torch

from snnquant.errors import UsageError
from snnquant.nn import SURROGATES, Arctan, Rectangle, Sigmoid

CASES = [(name, width) for name in SURROGATES for width in (0.5, 1.0, 3.0)]
#: Distances that are no corner of a rectangle above.
DISTANCES = torch.linspace(-4, 4, 81, dtype=torch.float64) + 0.013


def test_every_surrogate_of_the_seed_is_registered():
    assert {"rectangle": Rectangle, "sigmoid": Sigmoid, "arctan": Arctan} == SURROGATES


@pytest.mark.parametrize(("name", "width"), CASES)
def test_derivative_is_that_of_the_smooth_step(name, width):
    surrogate = SURROGATES[name](width)
    h = 1e-6
    difference = (surrogate.smooth(DISTANCES + h) - surrogate.smooth(DISTANCES - h)) / (2 * h)
    torch.testing.assert_close(surrogate.derivative(DISTANCES), difference, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(("name", "width"), CASES)
def test_slope_at_the_threshold_is_one_over_width_and_area_is_one(name, width):
    surrogate = SURROGATES[name](width)
    zero = torch.zeros(1, dtype=torch.float64)
    assert surrogate.derivative(zero).item() == pytest.approx(1 / width)
    assert surrogate.smooth(zero).item() == pytest.approx(0.5)
    far = torch.tensor([1e9], dtype=torch.float64)
    assert (surrogate.smooth(far) - surrogate.smooth(-far)).item() == pytest.approx(1)


@pytest.mark.parametrize("name", SURROGATES)
def test_spikes_are_exact_and_gradients_reach_membrane_and_threshold(name):
    surrogate = SURROGATES[name](2.0)
    v = torch.tensor([[0.5, 1.0, 1.25], [2.0, 3.0, 2.5]], dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor([1.0, 1.0, 2.5], dtype=torch.float64, requires_grad=True)
    spikes = surrogate.spike(v, threshold)
    assert spikes.tolist() == [[0, 0, 0], [1, 1, 0]]
    assert surrogate.spike(v, threshold, on_equal=True).tolist() == [[0, 1, 0], [1, 1, 1]]
    weights = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    (spikes * weights).sum().backward()
    expected = weights * surrogate.derivative(v - threshold).detach()
    torch.testing.assert_close(v.grad, expected)
    torch.testing.assert_close(threshold.grad, -expected.sum(0))


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf])
def test_a_useless_width_is_refused(width):
    with pytest.raises(UsageError, match="width"):
        Sigmoid(width)
