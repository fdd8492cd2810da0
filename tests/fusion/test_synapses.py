"""Every kind of synapse in front of a neuron becomes one op, whatever its window and its shapes."""

import numpy as np
import pytest
from fused_networks import fused_everywhere, fused_ops, standard_ops
from hand_made import Net

WINDOWS = {
    "plain": {},
    "padded": {"pads": [1, 0, 1, 1]},
    "strided": {"strides": [2, 3]},
    "dilated": {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
    "beyond": {"strides": [4, 5]},
    "grouped": {"group": 2},
    "depthwise": {"group": 4, "pads": [1, 1, 1, 1]},
    "same": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_convolution_2d(window, bits):
    net = Net((4, 7, 6))
    current, after = net.conv(net.x, (4, 7, 6), 8, (2, 3), **window)
    spikes = net.neuron(current)
    current, _ = net.conv(spikes, after, 3, (1, 1))
    result = net.quantized(net.neuron(current), 5, weight_bits=bits)
    fusion, compared = fused_everywhere(result.model, net.feeds())
    assert compared > 0
    assert fused_ops(fusion) == {"QConvLIF": 2}
    # Into channels last, and out of it.
    assert standard_ops(fusion)["Transpose"] == 2
    assert not fusion.reasons


def test_stored_weights_are_as_wide_as_they_need_to_be():
    for bits, stored in ((2, 2), (3, 4), (4, 4), (5, 8), (8, 8)):
        net = Net((6,))
        current, _ = net.linear(net.x, 6, 5)
        result = net.quantized(net.neuron(current), 3, weight_bits=bits)
        fusion, _ = fused_everywhere(result.model, net.feeds())
        (node,) = [n for n in fusion.model.graph.node if n.op_type == "QLinearLIF"]
        assert next(a.i for a in node.attribute if a.name == "weight_bits") == stored


@pytest.mark.parametrize("stride", [1, 3])
def test_convolution_1d(stride):
    net = Net((2, 9))
    current, after = net.conv(net.x, (2, 9), 3, (3,), pads=[1, 2], strides=[stride])
    pooled = net.g.op("MaxPool", net.merge(net.neuron(current), after), kernel_shape=[2])
    size = 3 * (after[1] - 1)
    current, _ = net.linear(net.split(pooled, (size,)), size, 4)
    result = net.quantized(net.neuron(current), 3)
    fusion, _ = fused_everywhere(result.model, net.feeds())
    assert fused_ops(fusion) == {"QConvLIF": 1, "QSpikeMaxPool": 1, "QLinearLIF": 1}
    assert standard_ops(fusion)["Transpose"] == 1


@pytest.mark.parametrize("form", ["Gemm", "GemmT", "MatMul", "MatMul3"])
@pytest.mark.parametrize("steps", [1, 5, "T"])
def test_linear(form, steps):
    net = Net((6,), steps=steps)
    current, _ = net.linear(net.x, 6, 5, form)
    current, _ = net.linear(net.neuron(current), 5, 4, form)
    result = net.quantized(net.neuron(current, "LI"), 3)
    for batch in (3, 1, 0):
        feeds = net.feeds(steps if isinstance(steps, int) else 7, batch)
        fusion, _ = fused_everywhere(result.model, feeds)
        assert fused_ops(fusion) == {"QLinearLIF": 1, "QLinearLI": 1}
        assert not fusion.reasons


@pytest.mark.parametrize("steps", [1, 5, "T"])
@pytest.mark.parametrize("batch", [0, 1, 4])
def test_columns_of_a_flattened_map(steps, batch):
    net = Net((2, 5, 4), steps=steps)
    current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    size = int(np.prod(after))
    flat = net.split(net.merge(net.neuron(current), after), (size,))
    current, _ = net.linear(flat, size, 4)
    result = net.quantized(net.neuron(current), 3)
    feeds = net.feeds(steps if isinstance(steps, int) else 3, batch)
    fusion, _ = fused_everywhere(result.model, feeds)
    assert fused_ops(fusion) == {"QConvLIF": 1, "QLinearLIF": 1}
    assert standard_ops(fusion)["Transpose"] == 1


@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize("steps", [1, 6])
def test_static_inputs(analog, steps):
    net = Net((2, 5, 5), static=True, analog=analog, steps=steps)
    current, after = net.conv(net.x, (2, 5, 5), 3, (3, 3), pads=[1, 1, 1, 1])
    current, _ = net.conv(net.neuron(current), after, 2, (3, 3))
    result = net.quantized(net.neuron(current), 5, input_bits=5)
    for batch in (2, 0):
        fusion, _ = fused_everywhere(result.model, net.feeds(batch=batch))
        assert fused_ops(fusion) == {"QStaticConvLIF": 1, "QConvLIF": 1}
        node = next(n for n in fusion.model.graph.node if n.op_type == "QStaticConvLIF")
        assert next(a.i for a in node.attribute if a.name == "timesteps") == steps


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("features", [(6,), (2, 5, 4)])
def test_signed_inputs_become_unsigned(bits, features):
    net = Net(features, analog=True)
    if len(features) > 1:
        current, _ = net.conv(net.x, features, 3, (3, 3), pads=[1, 1, 1, 1])
    else:
        current, _ = net.linear(net.x, 6, 5)
    result = net.quantized(net.neuron(current), len(features) + 2, input_bits=bits)
    fusion, _ = fused_everywhere(result.model, net.feeds())
    (node,) = [n for n in fusion.model.graph.node if n.domain == "snnquant"]
    assert node.op_type == ("QConvLIF" if len(features) > 1 else "QLinearLIF")
    assert next(a.i for a in node.attribute if a.name == "zero_point") == 128
    assert standard_ops(fusion)["Clip"] == (1 if bits < 8 else 0)


def test_one_position_is_no_axis():
    net = Net((3, 4, 4))
    current, _ = net.conv(net.x, (3, 4, 4), 5, (3, 3))
    pooled = net.g.op("GlobalAveragePool", net.merge(net.neuron(current), (5, 2, 2)))
    flat = net.split(net.g.op("Flatten", pooled, axis=1), (5,))
    current, _ = net.linear(flat, 5, 3)
    fusion, _ = fused_everywhere(net.quantized(net.neuron(current), 3).model, net.feeds())
    assert fused_ops(fusion) == {"QConvLIF": 1, "QSpikeSumPool": 1, "QLinearLIF": 1}


def test_a_synapse_without_neuron_gives_currents():
    net = Net((2, 5, 4))
    current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    current, _ = net.conv(net.neuron(current), after, 2, (2, 2))
    fusion, _ = fused_everywhere(net.quantized(current, 5).model, net.feeds())
    assert fused_ops(fusion) == {"QConvLIF": 1, "QConv": 1}
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    current, _ = net.linear(net.neuron(current), 5, 4)
    fusion, _ = fused_everywhere(net.quantized(current, 3).model, net.feeds())
    assert fused_ops(fusion) == {"QLinearLIF": 1, "QLinear": 1}


def test_sums_over_time_are_of_bytes():
    for keep in (0, 1):
        net = Net((2, 5, 4))
        current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
        axes = net.g.const([0], np.int64)
        total = net.g.op("ReduceSum", net.neuron(current), axes, keepdims=keep)
        fusion, _ = fused_everywhere(net.quantized(total, 4 + keep).model, net.feeds())
        assert fused_ops(fusion) == {"QConvLIF": 1, "QTimeSum": 1}
        assert len(after) == 3


def test_same_model_gives_same_bytes():
    net = Net((2, 5, 4))
    current, _ = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    model = net.quantized(net.neuron(current), 5).model
    first, second = (
        fused_everywhere(model, net.feeds())[0].model.SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second
