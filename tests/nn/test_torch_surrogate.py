import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.errors import UsageError
from snnquant.nn import (
    LIF,
    SURROGATES,
    Arctan,
    Rectangle,
    Reset,
    Sigmoid,
    Surrogate,
    register_surrogate,
)

CASES = [(name, width) for name in SURROGATES for width in (0.5, 1.0, 3.0)]
#: Distances that are no corner of a rectangle above.
DISTANCES = torch.linspace(-4, 4, 81, dtype=torch.float64) + 0.013


def test_every_surrogate_of_the_seed_is_registered():
    assert {"rectangle": Rectangle, "sigmoid": Sigmoid, "arctan": Arctan} == SURROGATES


@pytest.mark.parametrize("name", SURROGATES)
@given(
    width=st.floats(0.01, 100),
    relative=st.lists(st.floats(-8, 8), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_derivative_is_that_of_the_smooth_step(name, width, relative):
    surrogate = SURROGATES[name](width)
    distance = torch.tensor(relative, dtype=torch.float64)
    distance = distance[(distance.abs() - 0.5).abs() > 1e-3] * width  # not at a corner
    h = 1e-5 * width
    difference = (surrogate.smooth(distance + h) - surrogate.smooth(distance - h)) / (2 * h)
    torch.testing.assert_close(
        surrogate.derivative(distance) * width, difference * width, atol=1e-7, rtol=1e-6
    )


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


def test_gradients_for_numbers_and_tensors_are_equal():
    v = torch.linspace(-1, 3, 9)
    gradients = []
    for threshold in (0.75, torch.tensor(0.75)):
        membrane = v.clone().requires_grad_()
        (Arctan(2.0).spike(membrane, threshold) * v).sum().backward()
        gradients.append(membrane.grad)
    assert torch.equal(*gradients)


class Triangle(Surrogate):
    """A surrogate as a user would write it."""

    def smooth(self, distance):
        x = (distance / self.width).clamp(-1, 1)
        return 0.5 + x - x.abs() * x / 2

    def derivative(self, distance):
        return (1 - distance.abs() / self.width).clamp(min=0) / self.width


def test_a_surrogate_of_the_user_is_registered_and_taken_by_name(monkeypatch):
    monkeypatch.setattr("snnquant.nn.surrogate.SURROGATES", dict(SURROGATES))
    assert register_surrogate("triangle")(Triangle) is Triangle
    register_surrogate("triangle")(Triangle)
    assert LIF(surrogate="triangle").surrogate == Triangle()
    with pytest.raises(UsageError, match="triangle is Triangle already"):
        register_surrogate("triangle")(Sigmoid)
    with pytest.raises(UsageError, match="no subclass"):
        register_surrogate("number")(int)


@pytest.mark.parametrize("name", SURROGATES)
def test_layers_take_surrogates_by_name(name):
    assert LIF(surrogate=name).surrogate == SURROGATES[name]()


@pytest.mark.parametrize("given", ["atan", 3, Arctan], ids=["name", "number", "class"])
def test_what_is_no_surrogate_is_refused(given):
    with pytest.raises(UsageError, match=r"LIF: surrogate is .* one of arctan, rectangle, sigmoid"):
        LIF(surrogate=given)


@pytest.mark.parametrize("on_equal", [False, True], ids=["above", "on_equal"])
def test_several_spikes_learn_from_the_nearest_level(on_equal):
    layer = LIF(
        reset=Reset.SOFT_CONSTANT, v_threshold=1.0, dv=0.5, max_spikes=3,
        surrogate=Rectangle(0.25), fire_on_equal=on_equal, learn=["v_threshold", "dv"],
    )  # fmt: skip
    # Levels at 1, 1.5 and 2; the last four currents are at no level.
    current = torch.tensor([1.1, 1.4, 1.6, 1.95, 0.5, 1.25, 1.74, 9.0]).view(1, 1, -1)
    current.requires_grad_()
    spikes = layer(current)
    assert spikes.flatten().tolist() == [1, 1, 2, 2, 0, 1, 2, 3]
    spikes.sum().backward()
    assert current.grad.flatten().tolist() == [4, 4, 4, 4, 0, 0, 0, 0]
    assert layer.v_threshold.grad.item() == -16
    assert layer.dv.grad.item() == -4 * (0 + 1 + 1 + 2)
