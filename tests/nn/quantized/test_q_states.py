"""The states that callers hand to a quantized neuron."""

import numpy as np
import pytest
import torch
from q_networks import NEURONS, RECURRENT, Layer, analog, spikes

from snnquant.errors import NumericalError, UsageError
from snnquant.nn import QLIF, QConv2d, QLinear


def quantized(neuron="lif", target="generic", **options):
    torch.manual_seed(14)
    model = Layer(QLinear(6, 4), {**NEURONS, **RECURRENT}[neuron](**options))
    model.quantize(target)
    return model


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("target", ["generic", "tianjic"])
def test_a_real_membrane_is_quantized_at_its_scale(target, kind):
    model = quantized(target=target)
    (settings,) = model.neuron.settings.values()
    v = 0.1 * analog(3, 4).to(kind)
    whole = np.rint(v.double().numpy() / settings.membrane_scale).astype(np.int64)
    assert len(np.unique(whole)) > 6
    x = spikes(3, 6)
    real, exact = model(x, v), model(x, torch.from_numpy(whole))
    assert torch.equal(real[0], exact[0])
    assert torch.equal(real[1], exact[1])


def test_ties_of_a_real_membrane_go_to_even():
    model = Layer(QLinear(1, 4, bias=False), QLIF(v_th_0=100.0))
    with torch.no_grad():
        model.synapse.weight.fill_(-1.0)
    model.quantize("tianjic")
    assert model.synapse.settings.scale.tolist() == [1 / 128]
    v = torch.tensor([[0.5, 1.5, -0.5, -2.5]]) / 128
    # v3 = round(v), and alpha is 1.
    assert model(torch.zeros(1, 1), v)[1].tolist() == [[0, 2, 0, -2]]


@pytest.mark.parametrize("kind", [torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
def test_an_integer_membrane_is_taken_as_it_is(kind):
    model = Layer(QLinear(6, 4), QLIF(v_th_0=1e3))
    with torch.no_grad():
        model.synapse.bias.zero_()
    model.quantize()
    v = torch.tensor([[5, -7, 100, -128]]).to(kind)
    assert model(torch.zeros(1, 6), v)[1].tolist() == [[5, -7, 100, -128]]


def test_a_real_membrane_beyond_the_state_saturates():
    model = Layer(QLinear(6, 4), QLIF(v_th_0=1e30))
    with torch.no_grad():
        model.synapse.bias.zero_()
    model.quantize("tianjic")
    v = torch.tensor([[1e30, -1e30, 1e20, 0.0]])
    high, low = 2**27 - 1, -(2**27)
    assert model(torch.zeros(1, 6), v)[1].tolist() == [[high, low, high, 0]]


def test_one_number_serves_all_neurons():
    model = quantized()
    x = spikes(3, 6)
    one, all_ = model(x, torch.tensor(7)), model(x, torch.full((3, 4), 7))
    assert torch.equal(one[1], all_[1])


def test_states_by_name_and_the_membrane_alone():
    model = quantized("extended_soft")
    x = spikes(3, 6)
    _, states = model(x)
    assert set(states) == {"v", "r", "a"}
    zero = torch.zeros(3, 4, dtype=torch.int64)
    alone, named = model(x, states["v"]), model(x, {"v": states["v"], "a": zero, "r": zero})
    assert str(alone) == str(named)
    assert torch.equal(model(x, {})[1]["v"], states["v"])


GOOD = torch.zeros(3, 4, dtype=torch.int64)
WRONG = {
    "batch": (lambda: torch.zeros(2, 4), UsageError, r"state v has shape \[2, 4\]"),
    "axes": (lambda: torch.zeros(1, 3, 4), UsageError, r"state v has shape \[1, 3, 4\]"),
    "transposed": (lambda: torch.zeros(4, 3), UsageError, "state v has shape"),
    "list": (lambda: [0.0] * 4, UsageError, "state v is list"),
    "tuple": (lambda: (GOOD,), UsageError, "state v is tuple"),
    "number": (lambda: 0, UsageError, "state v is int"),
    "array": (lambda: GOOD.numpy(), UsageError, "state v is ndarray"),
    "bool": (lambda: GOOD.bool(), UsageError, "state v is torch.bool"),
    "complex": (lambda: GOOD.to(torch.complex64), UsageError, "state v is torch.complex64"),
    "nan": (lambda: torch.full((3, 4), torch.nan), NumericalError, "state v holds NaN"),
    "infinite": (lambda: torch.full((3, 4), -torch.inf), NumericalError, "state v holds NaN"),
    "above": (lambda: torch.full((3, 4), 2**27), UsageError, "the 28 bits of target tianjic"),
    "below": (lambda: torch.full((3, 4), -(2**27) - 1), UsageError, "-134217728 to 134217727"),
    "unknown": (lambda: {"w": GOOD}, UsageError, "has no state w; it has v, r"),
    "unused": (lambda: {"i": GOOD}, UsageError, "has no state i"),
    "negative_count": (lambda: {"r": GOOD - 1}, UsageError, "state r leaves 0 to"),
    "negative_real_count": (lambda: {"r": GOOD - 1.0}, UsageError, "state r leaves 0 to"),
    "nan_count": (lambda: {"r": GOOD * torch.nan}, NumericalError, "state r holds NaN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_states_are_refused_with_the_name_of_the_layer(case):
    make, error, message = WRONG[case]
    model = quantized("refractory", "tianjic")
    with pytest.raises(error, match=f"QLIF 'neuron': .*{message}"):
        model(spikes(3, 6), make())
    model(spikes(3, 6), GOOD)


def test_last_spikes_of_a_recurrent_neuron_have_a_limit():
    model = quantized("multi_recurrent")
    _, states = model(spikes(3, 6))
    model(spikes(3, 6), {**states, "s": torch.full((3, 4), 3)})
    for wrong in (4, -1):
        with pytest.raises(UsageError, match="QLIF 'neuron': state s leaves 0 to 3"):
            model(spikes(3, 6), {**states, "s": torch.full((3, 4), wrong)})


def test_integers_are_refused_in_float_mode():
    model = Layer(QLinear(6, 4), QLIF())
    with pytest.raises(UsageError, match=r"QLIF: state v is torch.int64, must be a floating-point"):
        model(spikes(3, 6), GOOD)


def test_a_current_of_fewer_axes_than_it_was_quantized_for_is_refused():
    model = Layer(QLinear(6, 4), QLIF())
    model.quantize(example_input=torch.zeros(2, 3, 5, 6))
    model(spikes(1, 2, 3, 6).unsqueeze(0))
    with pytest.raises(UsageError, match="QLIF 'neuron': its current has 1 feature axes"):
        model(spikes(3, 6))


def test_a_forgotten_time_axis_is_refused():
    model = Layer(QConv2d(2, 4, 2), QLIF(multi_step=True, v_th_0=torch.rand(4)))
    model.quantize(example_input=torch.zeros(5, 2, 2, 3, 3))
    with pytest.raises(UsageError, match="QLIF 'neuron': its current has 2 feature axes"):
        model(spikes(5, 2, 3, 3))
