"""Networks so small that every integer is worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import Graph, op_types, options_of, quantize, run_everywhere, stored
from onnx import helper

from snnquant.target import load_target


def attributes(model, op):
    node = next(n for n in model.graph.node if n.op_type == op)
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def encoder(**parameters):
    """An analog input of two values into one neuron, with a bias of 0.1."""
    g = Graph()
    x = g.input("x", [2, "B", 2])
    merged = g.op("Reshape", x, g.const([-1, 2], np.int64), name="entry")
    y = g.op("Gemm", merged, g.const([[-2.0], [1.0]], name="w"), g.const([0.1]))
    g.output(g.neuron(g.reshape(y, [2, -1, 1]), name="n", **parameters)[0], 3)
    return g.model()


def test_seed_arithmetic_of_an_encoder():
    """S_w = 2/128 = 1/64, S_x = 1/4, so one membrane step is worth 1/256.

    bias 0.1 * 256 = 25.6 -> 26; threshold 0.3 * 256 = 76.8 -> 77 for comparing and subtracting;
    v_reset 0.05 * 256 = 12.8 -> 13; leak_bias -0.02 * 256 = -5.12 -> -5; alpha 0.9 * 256 = 230.4.
    """
    model = encoder(v_threshold=0.3, alpha=0.9, v_reset=0.05, leak_bias=-0.02, dv=0.3, v_init=0.05)
    result = quantize(model, options_of("tianjic"), {"entry.y": 0.25})
    emitted = result.model
    assert stored(emitted, "w.q").tolist() == [[-128], [64]]
    assert stored(emitted, "w.bias").tolist() == [26]
    constants = {
        "alpha": 230,
        "leak_bias": -5,
        "fire_above": 77,
        "reset_by": 77,
        "v_reset": 13,
        "v_init": 13,
        "refractory_steps": 2,
    }
    assert {k: stored(emitted, f"n.{k}").tolist() for k in constants} == {
        k: [v] for k, v in constants.items()
    }
    assert attributes(emitted, "QLIF") == {
        "reset": 0,
        "reset_after_leak": 0,
        "max_spikes": 1,
        "refractory": 0,
        "leak_shift": 8,
        "leak_rounding": 1,
        "current_shift": 0,
        "state_bits": 28,
    }
    # X = round(x / 0.25) = [1, 2], [-40, 0]: u = -128 + 128 + 26 = 26, then 5120 + 26.
    # v3 = 13 + 26 = 39: silent; v = floor(230 * 39 / 256) - 5 = 35 - 5 = 30; then 5176: fires.
    x = np.array([[[0.25, 0.5]], [[-10.0, 0.1]]], np.float32)
    values, _ = run_everywhere(emitted, {"x": x})
    assert values[emitted.graph.node[-1].input[0]].reshape(-1).tolist() == [0.0, 1.0]
    currents = next(n.input[0] for n in emitted.graph.node if n.op_type == "QLIF")
    assert values[currents].reshape(-1).tolist() == [26, 5146]


def test_the_seed_grid_clips_the_largest_positive_weight():
    g = Graph()
    x = g.input("x", [2, "B", 3])
    y = g.op("MatMul", x, g.const([[2.0], [-1.0], [1.999]], name="w"))
    g.output(g.neuron(y)[0], 3)
    result = quantize(g.model(), options_of("tianjic"), spikes=["x"])
    assert stored(result.model, "w.q").reshape(-1).tolist() == [127, -64, 127]


def test_exact_thresholds_per_channel_with_fraction_bits():
    """Channel scales 1/64 and 1/32; on the coarser one a reset to 1 has 32 steps: 3 bits short.

    So weights have a gain of 8 and membranes steps of 1/512 and 1/256. Threshold 0.3 lies between
    153 and 154 steps of 1/512, and between 76 and 77 of 1/256.
    """
    g = Graph()
    x = g.input("x", [1, "B", 2])
    weight = [[127 / 64, -1 / 32], [1 / 64, -128 / 32]]
    y = g.op("MatMul", x, g.const(weight, name="w"))
    above = g.neuron(y, name="above", v_threshold=0.3, dv=0.3, v_reset=1.0, v_init=0.0)[0]
    equal = g.neuron(
        y, name="equal", v_threshold=0.25, dv=0.3, choices={"fire_on_equal": 1, "reset": 1}
    )[0]
    g.output(g.op("Concat", above, equal, axis=2), 3)
    result = quantize(g.model(), spikes=["x"])
    emitted = result.model
    assert stored(emitted, "w.q").tolist() == [[127, -1], [1, -128]]
    assert stored(emitted, "w.gain").tolist() == 8
    assert stored(emitted, "above.fire_above").tolist() == [153, 76]
    assert stored(emitted, "above.reset_by").tolist() == [154, 77]
    assert stored(emitted, "above.v_reset").tolist() == [512, 256]
    assert stored(emitted, "above.v_init").tolist() == [0]
    # 0.25 is exactly 128 and 64 steps, and the neuron fires there.
    assert stored(emitted, "equal.fire_above").tolist() == [127, 63]
    assert stored(emitted, "equal.alpha").tolist() == [32768]
    synapse, neuron, _ = result.layers
    assert (synapse["current_scale_min"], synapse["current_scale_max"]) == (1 / 512, 1 / 256)
    assert synapse["weight_gain"] == 8
    assert synapse["current_bound"] == 8 * 129 * 128
    assert neuron["integer"]["fire_above"] == {"min": 76, "max": 153}


def test_per_tensor_has_one_scale():
    g = Graph()
    x = g.input("x", [1, "B", 2])
    y = g.op("MatMul", x, g.const([[127 / 64, -1 / 32], [1 / 64, -128 / 64]], name="w"))
    g.output(g.neuron(y, name="n", v_threshold=0.3)[0], 3)
    result = quantize(g.model(), options_of(per_channel=False), spikes=["x"])
    assert stored(result.model, "w.q").tolist() == [[127, -2], [1, -128]]
    assert stored(result.model, "n.fire_above").tolist() == [76]


def test_average_pooling_is_a_sum_whose_divisor_moves_into_the_scale():
    g = Graph()
    x = g.input("x", [2, "B", 1, 2, 2])
    y = g.op("AveragePool", g.reshape(x, [-1, 1, 2, 2]), kernel_shape=[2, 2])
    y = g.op("Conv", y, g.const(np.full((1, 1, 1, 1), 127 / 16), name="w"))
    g.output(g.neuron(g.reshape(y, [2, -1, 1, 1, 1]), name="n", v_threshold=2.0)[0], 5)
    result = quantize(g.model(), spikes=["x"])
    # One spike adds 127/64; a step is 1/64 of which a threshold of 2 has 128: one more bit.
    assert stored(result.model, "n.fire_above").tolist() == [256]
    assert stored(result.model, "w.q").reshape(-1).tolist() == [127]
    x = np.array([[[[[1, 0], [0, 0]]]], [[[[1, 1], [1, 1]]]]], np.float32)
    values, _ = run_everywhere(result.model, {"x": x})
    current = next(n.input[0] for n in result.model.graph.node if n.op_type == "QLIF")
    assert values[current].reshape(-1).tolist() == [254, 4 * 254]


def test_an_integer_read_out_has_its_scale_in_the_metadata():
    g = Graph()
    x = g.input("x", [3, "B", 1])
    y = g.op("MatMul", x, g.const([[1.0, -0.5]], name="w"))
    g.output(g.neuron(y, "LI", name="n")[0], 3)
    result = quantize(g.model(), options_of(readout_as="int"), spikes=["x"])
    (name,) = result.output_scales
    metadata = {p.key: p.value for p in result.model.metadata_props}
    assert metadata == {f"snnquant.scale.{name}": repr(result.output_scales[name])}
    values, _ = run_everywhere(result.model, {"x": np.ones((3, 1, 1), np.float32)})
    real = values[name] * result.output_scales[name]
    np.testing.assert_allclose(real[:, 0], [[1, -0.5], [2, -1], [3, -1.5]], rtol=0.01)


def test_a_membrane_is_read_on_its_own_scale_where_the_neuron_shifts():
    target = replace(load_target("generic"), name="shifting", weight_gains=False)
    g = Graph()
    x = g.input("x", [2, "B", 2])
    y = g.op("MatMul", x, g.const([[127 / 64], [1 / 64]], name="w"))
    g.output(g.neuron(y, "LI", name="n", v_init=0.25)[0], 3)
    result = quantize(g.model(), options_of(target), spikes=["x"])
    # 0.25 has 16 steps of 1/64: four bits are missing.
    assert attributes(result.model, "QLI")["current_shift"] == 4
    assert stored(result.model, "n.v_init").tolist() == [256]
    ones = np.ones((2, 1, 2), np.float32)
    values, _ = run_everywhere(result.model, {"x": ones})
    assert values["n.membrane"].reshape(-1).tolist() == [2.25, 4.25]


def test_the_membrane_of_a_recurrent_neuron_is_read_on_its_own_scale():
    g = Graph()
    x = g.input("x", [2, "B", 2])
    y = g.op("MatMul", x, g.const([[127 / 64], [1 / 64]], name="w"))
    outputs = g.neuron(y, "LIFRecurrentMembrane", name="n", weight=[[0.5]], v_threshold=0.5)
    g.output(outputs[1], 3)
    result = quantize(g.model(), spikes=["x"])
    ones = np.ones((2, 1, 2), np.float32)
    values, _ = run_everywhere(result.model, {"x": ones})
    assert values["n.membrane"].reshape(-1).tolist() == [2.0, 2.5]


@pytest.mark.parametrize("op", ["Gather", "Slice", "Transpose", "Reshape"])
def test_reordered_channels_keep_what_they_are_worth(op):
    """A spike adds 127 * 4**k / 64 in channel k: more than half of that, less than twice."""
    g = Graph()
    x = g.input("x", [1, "B", 1])
    weights = [127 / 64, 127 / 16, 127 / 4]
    y = g.op("MatMul", x, g.const([weights]))
    if op == "Gather":
        y = g.op("Gather", y, g.const([2, 1, 0], np.int64), axis=2)
    elif op == "Slice":
        ends = [g.const([v], np.int64) for v in (-1, -(2**31), 2, -1)]
        y = g.op("Slice", y, *ends)
    elif op == "Transpose":
        y = g.op("Transpose", g.reshape(y, [1, -1, 3, 1]), perm=[0, 1, 3, 2])
    else:
        y = g.reshape(y, [1, -1, 3, 1])
    order = weights[::-1] if op in ("Gather", "Slice") else weights
    shape = {"Transpose": (1, 3), "Reshape": (3, 1)}.get(op, (3,))
    fires = g.neuron(y, v_threshold=np.reshape(order, shape) / 2)[0]
    silent = g.neuron(y, v_threshold=np.reshape(order, shape) * 2)[0]
    for value in (fires, silent):
        g.output(value, 2 + len(shape))
    result = quantize(g.model(), options_of(per_channel=True), spikes=["x"])
    values, _ = run_everywhere(result.model, {"x": np.ones((1, 2, 1), np.float32)})
    assert values[fires].reshape(2, 3).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert values[silent].reshape(2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_emitted_scalars_are_scalars():
    g = Graph()
    x = g.input("x", [2, "B", 2])
    spikes = g.neuron(g.op("MatMul", x, g.const([[1.0], [2.0]])))[0]
    g.output(g.op("Gather", spikes, g.const(1, np.int64), axis=0), 2)
    result = quantize(g.model(), options_of(input_bits=4))
    assert "Clip" in op_types(result.model)
    shapes = {t.name: list(t.dims) for t in result.model.graph.initializer}
    for suffix in ("scale", "zero_point", "low", "high"):
        found = [dims for name, dims in shapes.items() if name.endswith(f"quantized.{suffix}")]
        assert found == [[]], suffix
    values, _ = run_everywhere(result.model, {"x": np.ones((2, 3, 2), np.float32)})
    assert values[result.model.graph.output[0].name].shape == (3, 1)
