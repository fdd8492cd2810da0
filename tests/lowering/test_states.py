"""Neurons whose states are values of the graph: inputs, outputs, constants, or of other neurons."""

import json
from dataclasses import replace

import numpy as np
import pytest
from graphs import (
    Graph,
    calibrated,
    op_types,
    options_of,
    quantize,
    run_everywhere,
    run_float,
)
from onnx import TensorProto, numpy_helper

from snnquant.model_file import metadata
from snnquant.ops import schemas
from snnquant.quantize import quantize_model

T, B, F, C = 4, 3, 6, 5
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (F, C)).astype(np.float32)
RECURRENT = np.random.default_rng(1).uniform(-0.5, 0.5, (C, C)).astype(np.float32)
OPS = ["LIF", "CubaLIF", "ExtendedLIF", "LI", "LIFRecurrent"]
TARGETS = ["generic", "tianjic"]


def parameters_of(op, **more):
    """Return parameters under which every state is used and differs from channel to channel."""
    real = {"v_init": 0.0, "alpha": 0.5} | more
    if op != "LI":
        real |= {"v_threshold": np.linspace(0.25, 0.75, C), "refractory_steps": 1.0}
    if op == "ExtendedLIF":
        real |= {"v_min": -0.5, "threshold_increment": 0.1}
    return real


def neuron(g, current, op, states=(), **more):
    real = parameters_of(op, **more)
    known = schemas()[f"{op}State" if states else op].parameter_names
    return g.neuron(
        current,
        f"{op}State" if states else op,
        states=states,
        weight=RECURRENT,
        choices={} if op == "LI" else {"refractory": 1},
        **{name: value for name, value in real.items() if name in known},
    )


def rolled(op):
    """Return a model over ``[T, B, F]``."""
    g = Graph()
    x = g.input("x", [T, "B", F])
    out = neuron(g, g.op("MatMul", x, g.const(WEIGHT, name="w")), op)
    g.output(out[0], 3)
    return g.model()


def step(op):
    """Return a model of one step, states as inputs and outputs."""
    g = Graph()
    x = g.input("x", [1, "B", F])
    names = schemas()[f"{op}State"].state_names
    states = [g.input(f"{name}0", ["B", C]) for name in names]
    out = neuron(g, g.op("MatMul", x, g.const(WEIGHT, name="w")), op, states)
    g.output(out[0], 3)
    for value in out[1:]:
        g.output(value, 2)
    return g.model()


def unrolled(op, start):
    """Return a loop over time, written out; ``start(g, name)`` gives the initial states."""
    g = Graph()
    x = g.input("x", [T, "B", F])
    weight = g.const(WEIGHT, name="w")
    states = [start(g, x, name) for name in schemas()[f"{op}State"].state_names]
    outputs = []
    for t in range(T):
        one = g.op("Gather", x, g.const(t, np.int64), axis=0)
        current = g.op("Unsqueeze", g.op("MatMul", one, weight), g.const([0], np.int64))
        out, *states = neuron(g, current, op, states)
        outputs.append(out)
    g.output(g.op("Concat", *outputs, axis=0, name="all"), 3)
    for value in states:
        g.output(value, 2)
    return g.model()


def batch_of(g, x):
    shape = g.op("Shape", x, start=1, end=2)
    return g.op("Concat", shape, g.const([C], np.int64), axis=0)


def zeros(g, x, _):
    return g.op("ConstantOfShape", batch_of(g, x))


def data(steps=T, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (steps, B, F)).astype(np.float32)


def quantized(model, target="generic", **more):
    result = quantize(model, options_of(target, **more), spikes=["x"])
    assert not result.left
    return result


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", OPS)
def test_steps_from_state_to_state_are_the_whole_run(op, target):
    result = quantized(step(op), target)
    names = schemas()[f"{op}State"].state_names
    inputs = {v.name: v.type.tensor_type.elem_type for v in result.model.graph.input}
    assert inputs == {"x": TensorProto.FLOAT} | {f"{n}0": TensorProto.INT32 for n in names}
    outputs = [v.name for v in result.model.graph.output]
    assert [v.type.tensor_type.elem_type for v in result.model.graph.output[1:]] == [
        TensorProto.INT32
    ] * len(names)
    whole, _ = run_everywhere(quantized(rolled(op), target).model, {"x": data()})
    (expected,) = [v for k, v in whole.items() if k.endswith((".spikes", ".membrane"))]
    states = {f"{name}0": np.zeros((B, C), np.int32) for name in names}
    fired = 0
    for t in range(T):
        values, _ = run_everywhere(result.model, {"x": data()[t : t + 1], **states})
        (got,) = [v for k, v in values.items() if k.endswith((".spikes", ".membrane"))]
        np.testing.assert_array_equal(got, expected[t : t + 1])
        states = {f"{n}0": values[name] for n, name in zip(names, outputs[1:], strict=True)}
        fired += int(got.astype(bool).sum())
    assert 0 < fired < T * B * C or op == "LI"
    assert any(state.any() for state in states.values())


@pytest.mark.parametrize("target", TARGETS)
def test_scales_of_states_are_in_the_metadata(target):
    result = quantized(step("LIF"), target)
    scales = {k: json.loads(v) for k, v in metadata(result.model).items() if "scale" in k}
    name = result.model.graph.output[1].name
    assert scales["snnquant.scale.r0"] == scales[f"snnquant.scale.{name[:-1]}r"] == 1.0
    of_v = scales["snnquant.scale.v0"]
    assert of_v == scales[f"snnquant.scale.{name}"]
    per_channel = target == "generic"
    assert np.shape(of_v) == ((C,) if per_channel else ())
    (neuron_layer,) = [entry for entry in result.layers if entry["kind"] == "neuron"]
    assert neuron_layer["membrane_scale_min"] == np.min(of_v)
    assert result.input_scales == {"v0": of_v, "r0": 1.0}
    assert set(result.output_scales) == {name, f"{name[:-1]}r"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", OPS)
def test_a_loop_that_is_written_out_is_the_loop(op, target):
    loop = quantized(unrolled(op, zeros), target)
    whole = quantized(rolled(op), target)
    assert "QuantizeLinear" not in op_types(loop.model)[3:]
    assert [e["membrane_scale_min"] for e in loop.layers if e["kind"] == "neuron"] == [
        e["membrane_scale_min"] for e in whole.layers if e["kind"] == "neuron"
    ] * T
    values, _ = run_everywhere(loop.model, {"x": data()})
    expected, _ = run_everywhere(whole.model, {"x": data()})
    name = whole.model.graph.output[0].name
    np.testing.assert_array_equal(values["all.y"], expected[name])
    assert values["all.y"].any()


def test_steps_have_the_scale_of_the_whole_input_unless_they_have_their_own():
    model = unrolled("LI", zeros)
    shared = quantize(model, scales={"x": 0.25})
    factors = [e["input_scale"] for e in shared.layers if e["kind"] == "encoder"]
    assert factors == [0.25] * T
    first = next(n for n in model.graph.node if n.op_type == "Gather").output[0]
    canonical, entries = calibrated(model, options_of(), {"x": 0.25})
    entries[first] = replace(entries["x"], scale=0.5)
    own = quantize_model(canonical, entries, options_of())
    factors = [e["input_scale"] for e in own.layers if e["kind"] == "encoder"]
    assert factors == [0.5] + [0.25] * (T - 1)
    x = np.random.default_rng(4).uniform(-1, 1, (T, B, F)).astype(np.float32)
    for result in (shared, own):
        run_everywhere(result.model, {"x": x})


def test_weights_of_a_loop_are_stored_once():
    loop = quantized(unrolled("LIF", zeros))
    weights = [t.name for t in loop.model.graph.initializer if tuple(t.dims) == (F, C)]
    assert weights == ["w.q"]


def expanded(value):
    return lambda g, x, _: g.op("Expand", g.const(value), batch_of(g, x))


STARTS = {
    "zeros": (zeros, 0.0),
    "number": (expanded([0.2]), 0.2),
    "channels": (expanded(np.linspace(-0.3, 0.3, C).reshape(1, C)), np.linspace(-0.3, 0.3, C)),
    "product": (
        lambda g, x, _: g.op("Mul", g.op("Add", zeros(g, x, _), g.const(1.0)), g.const([0.2])),
        0.2,
    ),
    "fixed": (lambda g, x, _: g.const(np.full((B, C), 0.2)), 0.2),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", STARTS)
def test_initial_constants_become_integers(case, target):
    start, real = STARTS[case]
    result = quantized(unrolled("LI", lambda g, x, name: start(g, x, name)), target)
    (init,) = [t for t in result.model.graph.initializer if t.name.endswith("v_init")]
    first = result.model.graph.node[[n.op_type for n in result.model.graph.node].index("QLIState")]
    scale = next(e["membrane_scale_min"] for e in result.layers if e["kind"] == "neuron")
    np.testing.assert_array_equal(
        np.broadcast_to(numpy_helper.to_array(init), (B, C)),
        np.broadcast_to(np.rint(np.float32(real) / scale), (B, C)),
    )
    values, _ = run_everywhere(result.model, {"x": data()})
    assert values[first.input[-2]].dtype == np.int32
    assert "Round" not in op_types(result.model)


def test_a_computed_state_is_rounded_where_it_enters():
    g = Graph()
    x = g.input("x", [1, "B", F])
    v, r = g.input("v0", ["B", C]), g.input("r0", ["B", C])
    half = g.op("Mul", v, g.const(0.5))
    out = neuron(g, g.op("MatMul", x, g.const(WEIGHT)), "LIF", [half, r])
    g.output(out[0], 3)
    g.output(out[1], 2)
    result = quantize(g.model(), options_of(), spikes=["x"])
    types = {v.name: v.type.tensor_type.elem_type for v in result.model.graph.input}
    assert types == {"x": 1, "v0": TensorProto.FLOAT, "r0": TensorProto.INT32}
    assert list(result.input_scales) == ["r0"]
    real = np.random.default_rng(3).uniform(-2, 2, (B, C)).astype(np.float32)
    real[0, 0], real[0, 1] = 1e30, -1e30
    node = next(n for n in result.model.graph.node if n.op_type == "QLIFState")
    feeds = {"x": data(1), "v0": real, "r0": np.zeros((B, C), np.int32)}
    values, _ = run_everywhere(result.model, feeds)
    scale = np.array(result.output_scales[out[1]])
    want = np.clip(np.rint(np.float64(real * np.float32(0.5)) / scale), -(2**31), 2**31 - 1)
    np.testing.assert_array_equal(values[node.input[-2]], want)


def test_an_input_that_is_more_than_a_state_stays_float():
    g = Graph()
    x = g.input("x", [1, "B", F])
    v, r = g.input("v0", ["B", C]), g.input("r0", ["B", C])
    out = neuron(g, g.op("MatMul", x, g.const(WEIGHT)), "LIF", [v, r])
    g.output(out[0], 3)
    g.output(g.op("Add", v, g.const(1.0)), 2)
    result = quantize(g.model(), options_of(), spikes=["x"])
    assert list(result.input_scales) == ["r0"]
    feeds = {"x": data(1), "v0": np.ones((B, C), np.float32), "r0": np.zeros((B, C), np.int32)}
    run_everywhere(result.model, feeds)


def test_neurons_that_go_on_from_others_share_their_scale():
    """Weights that differ by 8 at both ends of a state: one scale, whose steps both count in."""
    g = Graph()
    x = g.input("x", [2, "B", F])
    states = [zeros(g, x, "v"), zeros(g, x, "r")]
    for t, gain in enumerate((1, 8)):
        one = g.op("Slice", x, *(g.const([k], np.int64) for k in (t, t + 1, 0)))
        out, *states = neuron(g, g.op("MatMul", one, g.const(WEIGHT * gain)), "LIF", states)
        g.output(out, 3)
    result = quantized(g.model())
    first, second = (e["membrane_scale_min"] for e in result.layers if e["kind"] == "neuron")
    assert first == second
    gains = [e["weight_gain"] for e in result.layers if e["kind"] == "synapse"]
    assert gains[1] == 8 * gains[0]
    values, _ = run_everywhere(result.model, {"x": data(2)})
    assert all(values[v.name].any() for v in result.model.graph.output)


def test_channels_that_are_counted_differently_need_one_scale():
    g = Graph()
    x = g.input("x", [1, "B", F])
    states = [zeros(g, x, "v"), zeros(g, x, "r")]
    first, v, r = neuron(g, g.op("MatMul", x, g.const(WEIGHT)), "LIF", states)
    turned = g.op("Gather", v, g.const(np.arange(C)[::-1], np.int64), axis=1)
    second = neuron(g, g.op("MatMul", x, g.const(WEIGHT)), "LIF", [turned, r])[0]
    g.output(first, 3)
    g.output(second, 3)
    result = quantized(g.model())
    for entry in result.layers:
        if entry["kind"] == "neuron":
            assert entry["membrane_scale_min"] == entry["membrane_scale_max"]
    run_everywhere(result.model, {"x": data(1)})


def test_states_of_images_have_a_scale_per_map():
    g = Graph()
    x = g.input("x", ["B", 2, 6, 6])
    v, r = g.input("v0", ["B", 3, 4, 4]), g.input("r0", ["B", 3, 4, 4])
    weight = np.random.default_rng(5).uniform(-1, 1, (3, 2, 3, 3))
    current = g.op("Unsqueeze", g.op("Conv", x, g.const(weight)), g.const([0], np.int64))
    for value, rank in zip(g.neuron(current, "LIFState", states=[v, r]), (5, 4, 4), strict=True):
        g.output(value, rank)
    result = quantized(g.model())
    assert np.shape(result.input_scales["v0"]) == (3,)
    rng = np.random.default_rng(6)
    feeds = {
        "x": rng.integers(0, 2, (B, 2, 6, 6)).astype(np.float32),
        "v0": rng.integers(-9999, 9999, (B, 3, 4, 4)).astype(np.int32),
        "r0": np.zeros((B, 3, 4, 4), np.int32),
    }
    run_everywhere(result.model, feeds)


def test_integer_states_can_be_read_as_real_numbers():
    """Where everything is a multiple of 1/64, a float model gives the states that come out."""
    g = Graph()
    x = g.input("x", [1, "B", F])
    v, r = g.input("v0", ["B", C]), g.input("r0", ["B", C])
    weight = np.round(WEIGHT * 64) / 64
    weight[0] = 127 / 64
    out = g.neuron(g.op("MatMul", x, g.const(weight)), "LIFState", states=[v, r])
    for value, rank in zip(out, (3, 2, 2), strict=True):
        g.output(value, rank)
    model = g.model()
    rng = np.random.default_rng(7)
    start = np.float32(rng.integers(-100, 100, (B, C)) / 64)
    zero = np.zeros((B, C), np.float32)
    expected = run_float(model, {"x": data(1), "v0": start, "r0": zero})
    result = quantized(model)
    steps = start / np.array(result.input_scales["v0"])
    np.testing.assert_array_equal(steps, np.rint(steps))
    feeds = {"x": data(1), "v0": steps.astype(np.int32), "r0": zero.astype(np.int32)}
    values, _ = run_everywhere(result.model, feeds)
    np.testing.assert_array_equal(values[out[0]], expected[0])
    np.testing.assert_array_equal(
        values[out[1]] * np.array(result.output_scales[out[1]]), expected[1]
    )
