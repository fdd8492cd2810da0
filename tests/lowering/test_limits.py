"""Large sums, extreme values, what stays float, and what a target refuses."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, op_types, options_of, quantize, run_everywhere, run_float

from snnquant.data import Batch
from snnquant.errors import ModelError, NumericalError
from snnquant.lowering import RULES
from snnquant.lowering.plan import InputScale
from snnquant.numerics import FLOAT32_EXACT, INT32
from snnquant.passes import canonicalise
from snnquant.quantize import quantize_model
from snnquant.reference import Reference, float_entries
from snnquant.self_check import self_check
from snnquant.target import load_target


def product(weight, rank=3, neuron="LIF", batch="B", add=None, **parameters):
    weight = np.asarray(weight, np.float64)
    g = Graph()
    x = g.input("x", [2, batch, len(weight)])
    y = g.op("MatMul", x, g.const(weight, name="w"))
    if add is not None:
        y = g.op("Add", y, g.const(add))
    g.output(g.neuron(y, neuron, name="n", **parameters)[0], rank)
    return g.model()


def test_registry_is_not_empty():
    assert len(RULES) > 30
    assert all(rule.ops for rule in RULES.values())


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "parts"), [(900, 1), (1100, 2), (9000, 2), (20000, 4)])
def test_sums_beyond_float32_are_split_and_stay_exact(size, parts):
    """127 * 128 * 1033 is the first sum that float32 might not hold."""
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((size, 2)) < 0.5, 127, 125) / 64 * [1, -1]
    result = quantize(product(weight, v_threshold=1e4), options_of(per_channel=False))
    assert op_types(result.model).count("MatMul") == parts
    bound = result.layers[0]["current_bound"]
    assert (bound >= FLOAT32_EXACT) == (parts > 1)
    assert bound <= INT32.high
    x = np.full((2, 1, size), -4, np.float32)
    x[1] = rng.choice([-4, 127 / 32], size)
    values, _ = run_everywhere(result.model, {"x": x})
    current = next(n.input[0] for n in result.model.graph.node if n.op_type == "QLIF")
    integers = np.rint(weight * 64 * 127 / 127).astype(np.int64)
    expected = np.rint(x * 32).astype(np.int64) @ integers
    scale = result.layers[0]["current_scale_min"]
    factor = round((1 / 64 / 32) / scale)
    np.testing.assert_array_equal(values[current], expected * factor)


@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_split_sums_with_bias_stay_exact(op):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 400, 3] if op == "Conv" else ["N", 2000])
    bias = g.const(rng.normal(size=4) * 50)
    if op == "Conv":
        y = g.op("Conv", x, g.const(rng.choice([-1, 1], (4, 400, 3)) * 1.9), bias, pads=[1, 1])
        y = g.reshape(y, [2, -1, 4, 3])
    else:
        y = g.op("Gemm", x, g.const(rng.choice([-1, 1], (4, 2000)) * 1.9), bias, transB=1)
        y = g.reshape(y, [2, -1, 4])
    g.output(g.neuron(y, name="n", v_threshold=5.0)[0], 4 if op == "Conv" else 3)
    result = quantize(g.model())
    assert op_types(result.model).count(op) > 1
    shape = (4, 400, 3) if op == "Conv" else (4, 2000)
    x = rng.choice([-4, 127 / 32], shape).astype(np.float32)
    run_everywhere(result.model, {"x": x})


def test_sums_beyond_int32_are_refused():
    g = Graph()
    x = g.input("x", [2, "B", 140_000])
    y = g.op("MatMul", x, g.const(np.ones((140_000, 1))))
    g.output(g.neuron(y, v_threshold=1.0)[0], 3)
    with pytest.raises(NumericalError, match=r"can reach \d+, beyond 32 bits; use fewer weight"):
        quantize(g.model())


def test_sums_that_no_split_can_hold_run_in_float64_or_are_refused():
    """132,000 times 127 * 128 is below 2**31, but bit by bit not below 2**24."""
    result = quantize(product(np.ones((132_000, 1)), v_threshold=1e5))
    x = np.full((2, 1, 132_000), -128.0, np.float32)
    x[1, 0, 1:] = 3.9
    values, _ = run_everywhere(result.model, {"x": x})
    current = next(n.input[0] for n in result.model.graph.node if n.op_type == "QLIF")
    assert values[current].reshape(-1).tolist()[0] == -127 * 128 * 132_000
    g = Graph()
    x = g.input("x", ["N", 132_000, 1])
    y = g.op("Conv", x, g.const(np.ones((1, 132_000, 1))))
    g.output(g.neuron(g.reshape(y, [2, -1, 1, 1]))[0], 4)
    with pytest.raises(NumericalError, match=r"more than 2\*\*24 steps even bit by bit"):
        quantize(g.model())


def test_spikes_may_become_counts_that_calibration_never_saw():
    """The bound of the current holds for all that the input's int8 can carry."""
    result = quantize(product(np.full((2000, 1), 127 / 64), v_threshold=1e3), spikes=["x"])
    assert result.layers[0]["current_bound"] >= 2000 * 127 * 128
    x = np.full((2, 1, 2000), 127, np.float32)
    x[1] = np.arange(2000) % 255 - 127
    run_everywhere(result.model, {"x": x})


# -- extreme values --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("threshold", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_extreme_weights_and_thresholds(size, threshold):
    rng = np.random.default_rng(0)
    model = product(rng.normal(size=(20, 3)) * size, v_threshold=threshold, v_reset=-threshold)
    feeds = {"x": rng.normal(size=(2, 2, 20)).astype(np.float32)}
    for target in ("generic", "tianjic"):
        result = quantize(model, options_of(target))
        values, _ = run_everywhere(result.model, feeds)
        (expected,) = run_float(model, feeds)
        if not 0.01 < threshold / size < 100:
            # Far from the threshold nothing can be rounded to the other side.
            np.testing.assert_array_equal(values["n.spikes"], expected)


@pytest.mark.parametrize("constant", [1e-9, 1e-4, 1.0, 1e4])
def test_constants_far_from_the_weights(constant):
    """A tiny bias must not make the weights' steps so small that nothing fits any more."""
    weight = np.random.default_rng(0).normal(size=(600, 2))
    model = product(weight, neuron="LI", add=[constant, -constant], alpha=0.5)
    x = np.random.default_rng(1).normal(size=(2, 3, 600)).astype(np.float32)
    for target in ("generic", replace(load_target("generic"), name="x", weight_gains=False)):
        result = quantize(model, options_of(target))
        values, _ = run_everywhere(result.model, {"x": x})
        (expected,) = run_float(model, {"x": x})
        np.testing.assert_allclose(
            values["n.membrane"], expected, atol=0.02 * float(np.abs(expected).max())
        )


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("target", ["generic", "tianjic"])
def test_channels_without_weights_follow_their_bias(target, per_channel):
    weight = np.zeros((4, 3))
    weight[:, 0] = [1, -1, 0.5, 0.25]
    model = product(weight, add=[0.0, 0.75, -0.5], v_threshold=1.0)
    result = quantize(model, options_of(target, per_channel=per_channel), spikes=["x"])
    values, _ = run_everywhere(result.model, {"x": np.zeros((2, 1, 4), np.float32)})
    assert values["n.spikes"].reshape(2, 3).tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("bias", [0.0, 0.6, 600.0])
@pytest.mark.parametrize("target", ["generic", "tianjic"])
def test_a_layer_without_weights_runs_on_its_bias(target, bias):
    model = product(np.zeros((4, 2)), add=[bias, -bias], v_threshold=1.0)
    result = quantize(model, options_of(target), spikes=["x"])
    values, _ = run_everywhere(result.model, {"x": np.ones((2, 1, 4), np.float32)})
    expected = [[bias > 1, 0], [bias > 0.5, 0]]
    assert values["n.spikes"].reshape(2, 2).tolist() == np.array(expected, int).tolist()


@pytest.mark.parametrize("where", ["weight", "bias", "alpha"])
def test_values_that_are_no_numbers_are_refused(where):
    weight = np.ones((4, 2))
    add = [0.0, 1.0]
    parameters = {}
    if where == "weight":
        weight[0, 0] = np.nan
    elif where == "bias":
        add[1] = np.inf
    else:
        parameters["alpha"] = np.nan
    with pytest.raises(NumericalError, match="holds NaN or infinite values; repair or retrain"):
        quantize(product(weight, add=add, **parameters))


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_decays_that_are_none_are_refused(alpha):
    with pytest.raises(NumericalError, match=rf"alpha is {alpha}, outside \[0, 1\]"):
        quantize(product(np.ones((4, 2)), alpha=alpha))


# -- float islands ---------------------------------------------------------------------------------

FLOAT_OPS = {"Softmax": {"axis": -1}, "Sin": {}, "Sigmoid": {}, "Erf": {}}


def island(op, where):
    rng = np.random.default_rng(0)
    g = Graph()
    y = g.input("x", [3, "B", 40])
    if where == "in front":
        y = g.op(op, y, name="island", **FLOAT_OPS[op])
    y = g.op("MatMul", y, g.const(rng.normal(size=(40, 30))))
    if where == "current":
        y = g.op(op, y, name="island", **FLOAT_OPS[op])
    y = g.neuron(y, v_threshold=0.02)[0]
    if where == "spikes":
        y = g.op(op, y, name="island", **FLOAT_OPS[op])
    y = g.neuron(g.op("MatMul", y, g.const(rng.normal(size=(30, 4)))), "LI")[0]
    if where == "at the end":
        y = g.op(op, y, name="island", **FLOAT_OPS[op])
    g.output(y, 3)
    return g.model(), {"x": rng.normal(size=(3, 2, 40)).astype(np.float32)}


@pytest.mark.parametrize("op", FLOAT_OPS)
@pytest.mark.parametrize("where", ["in front", "current", "spikes", "at the end"])
def test_unknown_ops_stay_float_and_are_reported(op, where):
    assert len(FLOAT_OPS) == 4
    model, feeds = island(op, where)
    result = quantize(model)
    (left,) = result.left
    assert (left.node, left.op) == ("island", op)
    assert left.reason == (
        "works on values in front of the first synapse"
        if where == "in front"
        else "no rule carries this operation in integers"
    )
    values, _ = run_everywhere(result.model, feeds)
    (expected,) = run_float(model, feeds)
    assert values[result.model.graph.output[0].name].shape == expected.shape


def test_the_reference_takes_real_values_at_the_border_from_the_model():
    """Two implementations of a Tanh differ in the last bit, and a rounding makes a step of that."""
    model, feeds = island("Sin", "spikes")
    emitted = quantize(model).model
    entries = float_entries(emitted)
    assert entries == ["island.y_1"] or len(entries) == 1
    names = [n.output[0] for n in emitted.graph.node if n.op_type == "QLI"]
    given = np.full((3, 2, 30), 0.25, np.float32)
    first = Reference(emitted, names, entries).run({**feeds, entries[0]: given})
    again = Reference(emitted, names, entries).run({**feeds, entries[0]: given + 1e-8})
    other = Reference(emitted, names, entries).run({**feeds, entries[0]: -given})
    np.testing.assert_array_equal(first[names[0]], again[names[0]])
    assert (first[names[0]] != other[names[0]]).any()
    samples = {"x": np.moveaxis(feeds["x"], 1, 0)}
    assert self_check(emitted, Batch(samples, None, 0)).samples == 2


LEFT = {
    "its weights are computed, not constant": lambda g, y: g.op(
        "MatMul", y, g.op("Sin", g.op("MatMul", g.op("Transpose", y, perm=[0, 2, 1]), y))
    ),
    "one side is float": lambda g, y: g.op("Add", y, g.op("Sin", y)),
    "its factor adds axes": lambda g, y: g.op(
        "Squeeze", g.op("Mul", y, g.const(np.full((1, 1, 1, 1), 0.5))), g.const([0], np.int64)
    ),
    "it divides a constant by values": lambda g, y: g.op("Div", g.const(2.0), y),
    "it pads with something else than zeros": lambda g, y: g.op(
        "Slice",
        g.op("Pad", y, g.const([0, 0, 0, 0, 0, 1], np.int64), g.const(1.0)),
        *[g.const([v], np.int64) for v in (1, 5, 2)],
    ),
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_has_no_integer_form_says_why(reason):
    assert len(LEFT) == 5
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [3, 2, 4])
    spikes = g.neuron(g.op("MatMul", x, g.const(rng.normal(size=(4, 4)))), v_threshold=0.2)[0]
    y = LEFT[reason](g, spikes)
    y = g.op("Clip", y, g.const(-4.0), g.const(4.0))
    g.output(g.neuron(g.op("MatMul", y, g.const(rng.normal(size=(4, 4)))), "LI")[0], 3)
    model = g.model()
    result = quantize(model)
    assert reason in [entry.reason for entry in result.left]
    feeds = {"x": rng.normal(size=(3, 2, 4)).astype(np.float32)}
    values, _ = run_everywhere(result.model, feeds)
    (expected,) = run_float(model, feeds)
    assert values[model.graph.output[0].name].shape == expected.shape


# -- targets ---------------------------------------------------------------------------------------

REFUSED = {
    "resets NONE": {"choices": {"reset": 3}},
    "resets after the leak": {"choices": {"reset_after_leak": 1}},
    "fires several spikes per step": {"choices": {"max_spikes": 2}},
    "is refractory for 16 steps": {"choices": {"refractory": 1}, "refractory_steps": 16},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_target_refuses_what_it_lacks(what):
    assert len(REFUSED) == 4
    model = product(np.ones((4, 2)), **REFUSED[what])
    with pytest.raises(ModelError, match=f"neuron 'n' {what}, which target tianjic does not have"):
        quantize(model, options_of("tianjic"))
    assert quantize(model).layers[-1]["name"] == "n"


def test_a_refractory_time_that_is_not_read_is_not_refused():
    assert quantize(product(np.ones((4, 2)), refractory_steps=16), options_of("tianjic")).layers


def test_models_without_neurons_or_with_integer_ones_are_refused():
    g = Graph()
    g.output(g.op("Relu", g.input("x", [3, "B", 2])), 3)
    with pytest.raises(ModelError, match="the model has no neuron"):
        quantize(g.model())
    emitted = quantize(product(np.ones((4, 2)))).model
    with pytest.raises(ModelError, match="'n' is an integer neuron; give the float model"):
        quantize(emitted)


def test_a_scale_that_was_not_calibrated_is_refused():
    canonical = canonicalise(product(np.ones((4, 2))))
    with pytest.raises(ModelError, match="no calibrated scale for 'x'; calibrate this model again"):
        quantize_model(canonical, {}, options_of())
    scales = {"x": InputScale(0.5, -128, 127)}
    assert quantize_model(canonical, scales, options_of()).layers


def test_a_float_graph_is_not_changed_by_quantization():
    canonical = canonicalise(product(np.ones((4, 2))))
    before = ir.to_proto(canonical).SerializeToString(deterministic=True)
    quantize(canonical, options_of("tianjic"))
    quantize(canonical, options_of(readout_as="int"))
    assert ir.to_proto(canonical).SerializeToString(deterministic=True) == before
