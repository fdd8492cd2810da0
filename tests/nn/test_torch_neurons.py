import numpy as np
import pytest
import torch
from neuron_cases import CASES, currents

from snnquant.errors import UsageError
from snnquant.neurons import NEURONS, constants_of
from snnquant.neurons.arithmetic import FloatArithmetic, IntegerArithmetic
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.neurons.simulate import simulate
from snnquant.nn import (
    LI,
    LIF,
    CubaLIF,
    ExtendedLIF,
    NeuronLayer,
    Rectangle,
    Reset,
    TorchBackend,
)
from snnquant.numerics import Rounding


def reference(layer, current, states=None):
    constants = {
        p.constant_name: layer.parameter_value(p.name).numpy() for p in layer.model.parameters
    }
    weight = layer.recurrent_weight
    return simulate(
        layer.model,
        FloatArithmetic(NumpyBackend()),
        current,
        constants,
        layer.choices,
        states=states,
        recurrent_weight=None if weight is None else weight.detach().numpy(),
    )


def test_the_cases_cover_every_neuron():
    assert {make().model.name for make in CASES.values()} == {n.name for n in NEURONS}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_numpy_reference(case, dtype):
    layer = CASES[case]().to(torch.float64 if dtype is np.float64 else torch.float32)
    current = currents(dtype=dtype)
    spikes, states, _ = reference(layer, current)
    with torch.no_grad():
        output, state = layer(torch.from_numpy(current), return_state=True)
        plain = layer(torch.from_numpy(current))
    assert output.dtype == plain.dtype == torch.from_numpy(current).dtype
    np.testing.assert_array_equal(output.numpy(), spikes)
    np.testing.assert_array_equal(plain.numpy(), spikes)
    assert state.keys() == states.keys()
    for name, value in states.items():
        np.testing.assert_array_equal(state[name].numpy(), value)
    assert np.unique(spikes).size > 1


@pytest.mark.parametrize("case", CASES)
def test_two_halves_with_state_equal_one_run(case):
    layer = CASES[case]()
    current = torch.from_numpy(currents())
    with torch.no_grad():
        whole, last = layer(current, return_state=True)
        first, state = layer(current[:3], return_state=True)
        second, end = layer(current[3:], state, return_state=True)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(end[name], last[name]) for name in last)


def test_random_float64_values_are_bit_equal():
    rng = np.random.default_rng(3)
    layer = ExtendedLIF(
        alpha=0.9, threshold_decay=0.8, threshold_increment=0.3, leak_bias=-0.01, v_min=-1.7
    ).double()
    current = rng.normal(0.3, 1, (50, 4, 3))
    np.testing.assert_array_equal(
        layer(torch.from_numpy(current)).numpy(), reference(layer, current)[0]
    )


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("model", NEURONS, ids=lambda m: m.name)
@pytest.mark.parametrize("reset", list(Reset))
def test_integer_steps_equal_numpy_in_int64(model, reset, rounding):
    rng = np.random.default_rng(0)
    sizes = {"alpha": 256, "alpha_syn": 256, "threshold_decay": 256, "refractory_steps": 2}
    values = {
        p.constant_name: rng.integers(0, sizes.get(p.name, 60) + 1, (1, 9))
        for p in model.parameters
    }
    choices = {"reset": int(reset), "refractory": 1, "max_spikes": 3, "synaptic": 1}
    kwargs = {"leak_shift": 8, "leak_rounding": rounding, "current_shift": -1, "bits": 8}
    in_numpy = IntegerArithmetic.of_width(NumpyBackend(), **kwargs)
    in_torch = IntegerArithmetic.of_width(TorchBackend(), **kwargs)
    state = {s.name: np.zeros((5, 9), np.int64) for s in model.states}
    twin = {name: torch.from_numpy(value) for name, value in state.items()}
    p = constants_of(model, values, choices)
    q = constants_of(model, {k: torch.from_numpy(v) for k, v in values.items()}, choices)
    for _ in range(6):
        current = rng.integers(-200, 400, (5, 9))
        output, state, _ = model.step(in_numpy, state, current, p)
        same, twin, _ = model.step(in_torch, twin, torch.from_numpy(current), q)
        assert same.dtype == torch.int64
        np.testing.assert_array_equal(same.numpy(), output)
        for name in state:
            np.testing.assert_array_equal(np.broadcast_to(twin[name], (5, 9)), state[name])


def test_gradient_flows_back_through_the_leak():
    layer = LIF(alpha=0.5, reset=Reset.NONE, surrogate=Rectangle(4.0)).double()
    current = torch.full((3, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    layer(current)[-1].sum().backward()
    assert current.grad.flatten().tolist() == [0.0625, 0.125, 0.25]


def test_checkpoint_restores_parameters_and_structure():
    source = LIF(alpha=0.5, refractory_steps=2, v_threshold=1.5)
    target = LIF()
    target.load_state_dict(source.state_dict())
    current = torch.from_numpy(currents())
    assert torch.equal(target(current), source(current))
    assert set(source.state_dict()) == {
        "alpha", "leak_bias", "v_threshold", "v_reset", "refractory_steps",
    }  # fmt: skip
    with pytest.raises(UsageError, match="alpha is 3"):
        target.load_state_dict({**source.state_dict(), "alpha": torch.tensor([3.0])})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(alpha=1.5), r"LIF: alpha is 1.5, must be in \[0, 1\]"),
        (lambda: LIF(alpha=float("nan")), "alpha is nan"),
        (lambda: LIF(alpha=torch.tensor([0.5, -0.25])), "alpha is -0.25"),
        (lambda: CubaLIF(alpha_syn=-1), "CubaLIF: alpha_syn is -1"),
        (lambda: ExtendedLIF(threshold_decay=2), "threshold_decay is 2"),
        (lambda: LIF(v_threshold=float("inf")), "v_threshold is inf, must be finite"),
        (lambda: LIF(refractory_steps=-1), "refractory_steps is -1, must be a whole number >= 0"),
        (lambda: LIF(refractory_steps=1.5), "refractory_steps is 1.5"),
        (lambda: LIF(max_spikes=0), "max_spikes is 0, must be an integer from 1 to 255"),
        (lambda: LIF(reset=7), "reset is 7"),
        (lambda: LIF(dv=0.5), "dv is read with reset=Reset.SOFT_CONSTANT only"),
        (lambda: LIF(v_threshold="high"), "v_threshold is 'high', must be a number"),
        (lambda: LIF(v_treshold=1), "no parameter v_treshold"),
        (lambda: LIF(recurrent_size=0), "recurrent_size is 0"),
        (lambda: LI(alpha=2), "LI: alpha is 2"),
        (lambda: LIF()(torch.zeros(3)), r"must be floating point \[T, B, ...\]"),
        (lambda: LIF()(torch.zeros(0, 1, 2)), "at least one step"),
        (lambda: LIF()(torch.zeros(1, 1, 2, dtype=torch.uint8)), "floating point"),
        (lambda: LIF(alpha=torch.rand(3))(torch.zeros(1, 1, 2)), r"alpha has shape \[3\]"),
        (lambda: LIF(recurrent_size=3)(torch.zeros(1, 1, 2)), "recurrent_size is 3"),
        (lambda: LIF()(torch.zeros(1, 1, 2), {"v": torch.zeros(1, 2)}), "the state has"),
    ],
)
def test_errors_name_the_parameter_and_its_range(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(LIF(alpha=0.5, reset=Reset.SOFT)) == "LIF(alpha=0.5, reset=1)"


@pytest.mark.parametrize("model", NEURONS, ids=lambda m: m.name)
def test_a_state_that_is_not_in_use_keeps_its_first_value(model):
    layer = NeuronLayer(model, {})
    used = {state.name for state in model.states_in_use(layer.choices)}
    current = torch.from_numpy(currents())
    _, after = layer(current, return_state=True)
    start = layer.initial_state(current)
    assert "v" in used
    assert all(torch.equal(after[name], start[name]) for name in set(start) - used)
    everything = {choice.name: 1 for choice in model.choices}
    assert model.states_in_use(everything) == model.states
