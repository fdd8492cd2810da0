import pytest
import torch

import snnquant.nn as snn
from snnquant.errors import UsageError
from snnquant.neurons import NEURONS, Reset
from snnquant.nn.names import SEED_NAMES, field_names

PARAMETERS = {p.name for model in NEURONS for p in model.parameters}
LAYERS = {
    name: value
    for name, value in vars(snn).items()
    if isinstance(value, type)
    and issubclass(value, snn.NeuronLayer)
    and value is not snn.NeuronLayer
}


def test_every_seed_name_has_its_own_parameter_of_some_neuron():
    assert len(set(SEED_NAMES.values())) == len(SEED_NAMES)
    assert set(SEED_NAMES.values()) <= PARAMETERS


def test_seed_names_become_field_names_and_others_stay():
    given = {"v_th_0": 1, "alpha": 0.5, "v_reset": 0, "v_min": None}
    assert field_names(given, "LIF", PARAMETERS) == {
        "v_threshold": 1, "alpha": 0.5, "v_reset": 0, "v_min": None,
    }  # fmt: skip


@pytest.mark.parametrize("order", [("v_th_0", "v_threshold"), ("v_threshold", "v_th_0")])
def test_one_parameter_under_two_names_is_refused(order):
    with pytest.raises(UsageError, match=f"LIF: {order[0]} and {order[1]} are two names"):
        field_names(dict.fromkeys(order, 1), "LIF", PARAMETERS)


@pytest.mark.parametrize("seed", SEED_NAMES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_a_parameter_under_both_names_or_neither(name, seed):
    options = {"reset": Reset.SOFT_CONSTANT} if seed == "dv" and "LI" not in name[-2:] else {}

    def make(given):
        try:
            return LAYERS[name](**{given: 1.0}, **options)
        except UsageError as error:
            return str(error).replace(given, "?")

    first, second = make(seed), make(SEED_NAMES[seed])
    if isinstance(first, str):
        assert first == second
        assert first.startswith(f"{name} has no parameter ?; it takes ")
    else:
        assert first.parameter_value(SEED_NAMES[seed]) == 1.0
        assert repr(first) == repr(second)


@pytest.mark.parametrize("name", LAYERS)
def test_an_unknown_name_is_told_as_given_with_all_that_there_are(name):
    with pytest.raises(UsageError, match=f"{name} has no parameter foo; it takes .*learn") as error:
        LAYERS[name](foo=1)
    known = str(error.value).partition("it takes ")[2].split(", ")
    assert ("multi_step" in known) == name.startswith("Q")
    assert ("surrogate" in known) == ("recurrent_size" in known) == (not name.endswith("LI"))
    assert not {"refractory", "synaptic"} & set(known)
    # All that are told are taken: None is as good as leaving out.
    LAYERS[name](**{k: {"learn": (), "multi_step": False}.get(k) for k in known})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.IF(alpha=0.5), "IF has no parameter alpha; it takes leak_bias"),
        (lambda: snn.QIF(v_leaky_alpha=0.3), "QIF has no parameter v_leaky_alpha"),
        (lambda: snn.IF(learn=("alpha",)), "IF: learn has alpha; what can be learned is leak"),
        (lambda: snn.QLI(v_th_0=1), "QLI has no parameter v_th_0; it takes alpha"),
        (lambda: snn.LI(synaptic=1), "LI has no parameter synaptic"),
        (lambda: snn.LI(surrogate="arctan"), "LI has no parameter surrogate"),
        (lambda: snn.LIF(refractory=1), "LIF has no parameter refractory;"),
        (lambda: snn.LIF(alpha=1.0, v_leaky_alpha=0.5), "are two names of one parameter"),
        (lambda: snn.LI(alpha=1.0, v_leaky_alpha=0.5), "are two names of one parameter"),
        (lambda: snn.LIF(reset="harder"), "LIF: reset is 'harder', must be .* hard, none, soft,"),
        (lambda: snn.QLIF(dv=1, reset="softer"), "QLIF: reset is 'softer'"),
        (lambda: snn.LIF(dv=1, reset="soft"), "dv is read with reset=Reset.SOFT_CONSTANT only"),
    ],
)
def test_what_a_layer_does_not_have_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("reset", list(Reset), ids=[r.name for r in Reset])
def test_resets_go_by_name_in_any_case(reset):
    for given in (reset, reset.name, reset.name.lower(), int(reset)):
        assert snn.LIF(reset=given).choices["reset"] is reset
        dv = 0.5 if reset is Reset.SOFT_CONSTANT else None
        assert snn.QLIF(reset=given, dv=dv).choices["reset"] is reset
        assert snn.ResetAfterSpike(reset=given, dv=dv).reset is reset


def test_a_synapse_that_is_learned_is_there():
    layer = snn.LI(learn="alpha_syn")
    layer(torch.ones(3, 1, 1)).sum().backward()
    assert layer.alpha_syn.grad is not None
    assert snn.QLI(learn="alpha_syn").live_states == ("v", "i")
    assert snn.QLI().live_states == ("v",)
