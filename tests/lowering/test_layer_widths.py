"""Layers with widths of their own: every weight keeps its bits, and all sums stay exact."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import Graph, calibrated, options_of, run_everywhere, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.calibration import SPIKES
from snnquant.errors import UsageError
from snnquant.lowering.layer_options import LayerOptions
from snnquant.manifest import describe_options
from snnquant.numerics import IntRange
from snnquant.quantize import quantize_model
from snnquant.quantize_options import choose_options
from snnquant.target import load_target

F, C = 6, 5
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (F, C))
RECURRENT = np.random.default_rng(1).uniform(-1, 1, (C, C))
BITS = st.integers(2, 8)


def group(factor=1.0):
    """Two synapses and recurrent weights that count in the same steps."""
    g = Graph()
    x = g.input("x", [4, "B", F])
    a = g.op("MatMul", x, g.const(WEIGHT, name="w"), name="a")
    b = g.op("MatMul", x, g.const(WEIGHT[::-1] * factor, name="u"), name="b")
    both = g.op("Add", a, b)
    g.output(g.neuron(both, "LIFRecurrent", name="lif", weight=RECURRENT, alpha=0.5)[0], 3)
    return g.model()


def loop(steps=3):
    g = Graph()
    x = g.input("x", [steps, "B", F])
    weight, states = g.const(WEIGHT, name="w"), None
    for t in range(steps):
        one = g.op("Slice", x, *(g.const([k], np.int64) for k in (t, t + 1, 0)))
        current = g.op("MatMul", one, weight, name=f"fc{t}")
        if states is None:
            shape = g.op(
                "Slice", g.op("Shape", current), g.const([1], np.int64), g.const([3], np.int64)
            )
            states = [g.op("ConstantOfShape", shape)] * 2
        out, *states = g.neuron(current, "LIFState", name=f"lif{t}", states=states, alpha=0.5)
        g.output(out, 3)
    return g.model()


def quantized(model, layers, bits=8, target="generic", **more):
    options = replace(options_of(target, bits), layers=layers)
    canonical, scales = calibrated(model, options, spikes=["x"])
    return quantize_model(canonical, scales, options, **more)


def run(result, steps=4):
    x = np.random.default_rng(2).integers(0, 2, (steps, 3, F)).astype(np.float32)
    return run_everywhere(result.model, {"x": x})[0]


def of_weights(*bits):
    return {name: LayerOptions(b) for name, b in zip(("a", "b", "lif"), bits, strict=True)}


@settings(max_examples=15, deadline=None)
@given(st.tuples(BITS, BITS, BITS), st.sampled_from([1.0, 1 / 8, 3.0]))
def test_members_of_a_group_keep_their_bits(bits, factor):
    result = quantized(group(factor), of_weights(*bits))
    synapses = {e["name"]: e for e in result.layers if e["kind"] == "synapse"}
    assert (synapses["a"]["weight_bits"], synapses["b"]["weight_bits"]) == bits[:2]
    for width, name in zip(bits, ("w.q", "u.q", "lif.recurrent_weight.q"), strict=True):
        held, limits = stored(result.model, name), IntRange.signed(width)
        assert limits.low <= held.min()
        assert held.max() <= limits.high
        # The grid is used: at least half of the range, as with one width for all.
        assert np.abs(held).max() >= limits.high / 2
    for entry in synapses.values():
        assert entry["weight_gain"] & (entry["weight_gain"] - 1) == 0
    run(result)


def test_fewer_bits_have_larger_steps_and_no_others_lose():
    result = quantized(group(), of_weights(8, 3, 8))
    one, other = (e for e in result.layers if e["kind"] == "synapse")
    assert other["weight_gain"] == 32 * one["weight_gain"]
    step = one["weight_gain"] * one["current_scale_max"]
    assert step <= 2 / 2**7  # of weights up to 1, in 8 bits


def test_one_width_for_all_is_no_other_model():
    plain = quantized(group(1 / 8), {}, 4)
    named = quantized(group(1 / 8), of_weights(4, 4, 4))
    assert plain.model.SerializeToString(deterministic=True) == named.model.SerializeToString(
        deterministic=True
    )


def test_the_first_step_of_a_loop_has_the_bits_of_all():
    result = quantized(loop(), {"fc0": LayerOptions(3)})
    synapses = [e for e in result.layers if e["kind"] == "synapse"]
    assert [e["weight_bits"] for e in synapses] == [3, 3, 3]
    assert [t.name for t in result.model.graph.initializer if t.name.startswith("w.q")] == ["w.q"]
    assert np.abs(stored(result.model, "w.q")).max() <= 4
    run(result, 3)


@pytest.mark.parametrize(
    ("model", "layers", "message"),
    [
        (group(), {"aa": LayerOptions(4)}, "there is no layer 'aa'; did you mean 'a'"),
        (group(), {"zzz": LayerOptions(4)}, "no layer 'zzz'; layers with weights: a, b, lif"),
        (group(), {"a": LayerOptions(None, 8)}, "'a' has no states of its own; .* states: lif"),
        (loop(), {"fc1": LayerOptions(4)}, "'fc1' has no weights of its own; .*'fc0'"),
    ],
    ids=["close", "unknown", "states_of_a_synapse", "later_step"],
)
def test_layers_that_are_not_there_are_refused(model, layers, message):
    with pytest.raises(UsageError, match=message):
        quantized(model, layers)


def test_layers_that_stay_float_are_let_be():
    layers = {"a": LayerOptions(4), "lif": LayerOptions(None, 8), "fc": LayerOptions(3)}
    g = Graph()
    x = g.input("x", [4, "B", F])
    y = g.op("MatMul", x, g.const(WEIGHT, name="w"), name="a")
    z = g.neuron(y, name="lif", alpha=0.5)[0]
    g.output(g.neuron(g.op("MatMul", z, g.const(WEIGHT[:C]), name="fc"), name="end")[0], 3)
    spikes = {"lif.spikes": SPIKES}
    result = quantized(g.model(), layers, keep_float={"a", "lif"}, float_spikes=spikes)
    assert [e["name"] for e in result.layers] == ["fc", "end"]
    assert result.layers[0]["weight_bits"] == 3


@pytest.mark.parametrize(
    ("target", "chosen", "message"),
    [
        ("generic", LayerOptions(9), "layer 'a': target generic has no 9-bit weights"),
        ("tianjic", LayerOptions(4), "layer 'a': target tianjic has no 4-bit weights, only 8"),
        ("tianjic", LayerOptions(None, 29), "'a': target tianjic has states of 2 to 28 bits, not"),
        ("generic", LayerOptions(None, 1), "'a': target generic has states of 2 to 32 bits, not 1"),
    ],
)
def test_widths_that_the_target_does_not_have_are_refused(target, chosen, message):
    with pytest.raises(UsageError, match=message):
        choose_options(load_target(target), layers={"a": chosen})


def test_settings_say_what_was_chosen_and_nothing_where_nothing_was():
    layers = {"b": LayerOptions(4, 16), "a": LayerOptions(None, 8)}
    options = choose_options(load_target("generic"), layers=layers)
    described = describe_options(options)
    assert described["layers"] == {
        "a": {"state_bits": 8},
        "b": {"weight_bits": 4, "state_bits": 16},
    }
    assert "layers" not in describe_options(replace(options, layers={}))
