"""What is not fused keeps its ops, computes the same, and says why."""

import numpy as np
import pytest
from fused_networks import fused_everywhere, fused_ops
from graphs import Graph, quantize
from hand_made import RNG, Net, T


def reasons_of(net, value, rank, **options):
    """Return the reasons for a network that ends in a value."""
    result = net.quantized(value, rank, **options)
    fusion, _ = fused_everywhere(result.model, net.feeds())
    return set(fusion.reasons.values()), fusion


def test_membranes():
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    spikes, membrane = net.g.neuron(current, "LIFMembrane")
    net.g.output(membrane, 3)
    reasons, fusion = reasons_of(net, spikes, 3)
    assert reasons == {"it gives its membrane out"}
    assert fused_ops(fusion) == {"QLinear": 1, "QLIFMembrane": 1}


def test_three_spatial_axes():
    net = Net((2, 4, 3, 3))
    current, _ = net.conv(net.x, (2, 4, 3, 3), 2, (2, 2, 2))
    reasons, fusion = reasons_of(net, net.neuron(current), 6)
    assert reasons == {"it has 3 spatial axes, fused ops have 1 or 2"}
    assert fused_ops(fusion) == {"QLIF": 1}


def test_constants_of_every_neuron():
    net = Net((2, 5, 4))
    current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    each = RNG.uniform(0.3, 0.9, after)
    reasons, fusion = reasons_of(net, net.neuron(current, v_threshold=each), 5)
    assert "its constants differ from neuron to neuron" in reasons
    assert fused_ops(fusion) == {"QLIF": 1}


def test_a_neuron_without_synapse():
    net = Net((6,))
    reasons, fusion = reasons_of(net, net.neuron(net.x), 3)
    assert reasons == {"its current does not come from a synapse"}
    assert fused_ops(fusion) == {"QLIF": 1}


def test_a_current_for_two_neurons():
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    both = net.g.op("Concat", net.neuron(current), net.neuron(current, "CubaLIF"), axis=2)
    reasons, fusion = reasons_of(net, both, 3)
    assert reasons == {"its current goes to several layers"}
    assert fused_ops(fusion) == {"QLinear": 1, "QLIF": 1, "QCubaLIF": 1}


@pytest.mark.parametrize("size", [700, 3000])
def test_sums_that_leave_float32(size):
    g = Graph()
    x = g.input("x", [T, "B", size])
    weight = RNG.uniform(0.9, 1.0, (size, 2))
    current = g.op("MatMul", x, g.const(weight))
    g.output(g.neuron(current, v_threshold=size / 4)[0], 3)
    model = quantize(g.model(), scales={"x": 1 / 127}).model
    feeds = {"x": np.ones((T, 2, size), np.float32)}
    fusion, _ = fused_everywhere(model, feeds)
    wide = 127 * 127 * size >= 2**24
    assert wide == (size == 3000)
    if not wide:
        assert fused_ops(fusion) == {"QLinearLIF": 1}
    else:
        assert all(_fits(node, fusion.model) for node in fusion.model.graph.node)


def _fits(node, model):
    """Whether a fused node's sums are below 2**24."""
    from onnx import numpy_helper

    from snnquant.ops.packing import unpack_weight

    if not node.op_type.startswith("QLinear"):
        return True
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    given = {a.name: a.i for a in node.attribute}
    weight = unpack_weight(held[node.input[1]], given["weight_bits"], given["fan_in"])
    return np.abs(weight).sum(axis=1).max() * 128 < 2**24


def test_a_transposed_current():
    net = Net((2, 5, 4))
    current, _ = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    moved = net.g.op("Transpose", current, perm=[0, 1, 3, 4, 2])
    reasons, fusion = reasons_of(net, net.neuron(moved), 5)
    assert "its current does not come from a synapse" in reasons
    assert fused_ops(fusion) == {"QLIF": 1}


def test_recurrence_over_a_map():
    net = Net((2, 3, 3))
    current, after = net.conv(net.x, (2, 3, 3), 2, (2, 2))
    weight = RNG.normal(size=(8, 8)) * 0.3
    assert after == (2, 2, 2)
    reasons, fusion = reasons_of(net, net.neuron(current, "LIFRecurrent", weight=weight), 5)
    assert "recurrent neurons are fused behind linear synapses only" in reasons
    assert fused_ops(fusion) == {"QLIFRecurrent": 1}
