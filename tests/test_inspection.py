"""What inspection says of neurons, synapses and what stays float."""

import numpy as np
import pytest
from graphs import Graph, quantize

from snnquant.frontends import NeuronOrigin, Reading, reading_of
from snnquant.inspection import inspect_model

rng = np.random.default_rng(0)


def network(**choices):
    g = Graph()
    x = g.input("x", ["T", "B", 6])
    current = g.op("MatMul", x, g.const(rng.uniform(-1, 1, (6, 4))), name="fc")
    alpha = np.linspace(0.5, 0.9, 4)
    (spikes,) = g.neuron(current, name="lif", alpha=alpha, v_threshold=0.5, dv=0.5, choices=choices)
    g.output(g.op("Sigmoid", spikes, name="soft"), 3)
    return g.model()


def neuron(found):
    return next(layer for layer in found["layers"] if layer["kind"] == "neuron")


def test_a_neuron_with_its_structure_and_what_it_reads():
    layer = neuron(inspect_model(reading_of(network(reset=1, fire_on_equal=1))))
    assert layer["equation"] == [
        "h[t] = v[t-1] + x[t]",
        "s[t] = h[t] >= 0.5",
        "v[t] = alpha*(h[t] - s[t]*0.5)",
    ]
    assert layer["reset"] == "soft"
    assert layer["fire_on_equal"] == 1
    assert layer["neurons"] == [4]
    assert layer["timesteps"] is None
    assert list(layer["parameters"]) == ["alpha", "leak_bias", "v_threshold", "dv", "v_init"]
    assert layer["parameters"]["alpha"] == pytest.approx([0.5, 0.9])
    assert "framework" not in layer


def test_where_a_neuron_was_found():
    origin = NeuronOrigin("lif", "sinabs LIF", ("/a", "/b"), "v = 1", 2)
    reading = Reading(network(), [origin, NeuronOrigin("gone")], ["A note."], fixed_batch=4)
    found = inspect_model(reading)
    layer = neuron(found)
    assert layer["framework"] == "sinabs LIF"
    assert layer["found_at"] == ["/a", "/b"]
    assert layer["read_as"] == "v = 1"
    assert layer["knife_edges"] == 2
    assert found["notes"] == ["A note."]
    assert found["fixed_batch"] == 4


def test_what_stays_float_and_why():
    (entry,) = inspect_model(reading_of(network()))["stays_float"]
    assert entry == {
        "node": "soft",
        "op": "Sigmoid",
        "reason": "no rule carries this operation in integers",
    }


def test_an_integer_neuron_in_its_integers():
    reading = Reading(network(), [NeuronOrigin("lif", "sinabs LIF")])
    result = quantize(reading.with_metadata())
    layer = neuron(inspect_model(reading_of(result.model)))
    assert layer["op"] == "QLIF"
    assert layer["framework"] == "sinabs LIF"  # the metadata goes along
    assert layer["equation"][1].startswith("s[t] = h[t] > ")
    assert layer["equation"][2] == "v[t] = alpha*(1 - s[t])*h[t]"
    assert "fire_above" in layer["parameters"]
    assert "reset_by" not in layer["parameters"]


def test_inspection_leaves_the_reading_as_it_was():
    reading = Reading(network(), [NeuronOrigin("lif")], ["x"])
    before = reading.model.SerializeToString(deterministic=True)
    inspect_model(reading)
    assert reading.model.SerializeToString(deterministic=True) == before
