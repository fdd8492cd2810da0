import pytest

from snnquant.errors import UsageError
from snnquant.neurons import NEURONS
from snnquant.nn.names import SEED_NAMES, field_names


def test_every_seed_name_has_its_own_parameter_of_some_neuron():
    parameters = {p.name for model in NEURONS for p in model.parameters}
    assert len(set(SEED_NAMES.values())) == len(SEED_NAMES)
    assert set(SEED_NAMES.values()) <= parameters


def test_seed_names_become_field_names_and_others_stay():
    given = {"v_th_0": 1, "alpha": 0.5, "v_reset": 0, "anything": None}
    assert field_names(given, "LIF") == {
        "v_threshold": 1, "alpha": 0.5, "v_reset": 0, "anything": None,
    }  # fmt: skip


@pytest.mark.parametrize("order", [("v_th_0", "v_threshold"), ("v_threshold", "v_th_0")])
def test_one_parameter_under_two_names_is_refused(order):
    with pytest.raises(UsageError, match=f"LIF: {order[0]} and {order[1]} are two names"):
        field_names(dict.fromkeys(order, 1), "LIF")
