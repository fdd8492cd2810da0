"""Currents that go to several places, and sums of several: each synapse is computed once."""

import numpy as np
import pytest
from fused_networks import fused_everywhere, fused_ops, standard_ops
from hand_made import RNG, Net

MAP = (2, 5, 4)
KINDS = {"linear": (6,), "conv": MAP}


def synapse(net, value, features, out=3):
    """Return a current of any kind, and its features."""
    if len(features) == 1:
        return net.linear(value, features[0], out)
    return net.conv(value, features, out, (3, 3), pads=[1, 1, 1, 1])


def equal_for_all_batches(net, value, rank, **options):
    """Fuse a network, compare it with the unfused one on several batches, and return it."""
    model = net.quantized(value, rank, **options).model
    for batch in (3, 1, 0):
        fusion, compared = fused_everywhere(model, net.feeds(net.steps, batch))
        assert compared or not batch
    return fusion


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("read_out", [False, True])
def test_a_current_of_two_neurons(features, steps, read_out):
    net = Net(features, steps=steps)
    current, after = synapse(net, net.x, features)
    current, after = synapse(net, net.neuron(current), after)
    both = net.g.op("Add", net.neuron(current), net.neuron(current, "CubaLIF"))
    if read_out:
        net.g.output(net.g.op("Mul", current, net.g.const(0.5)), len(after) + 2)
    current, after = synapse(net, both, after)
    fusion = equal_for_all_batches(net, net.neuron(current), len(after) + 2)
    kind = "Linear" if len(features) == 1 else "Conv"
    assert fused_ops(fusion) == {
        f"Q{kind}LIF": 2,
        f"Q{kind}": 1,
        "QLIF": 1,
        "QCubaLIF": 1,
        "QSpikeAdd": 1,
    }
    assert set(fusion.reasons.values()) == {"its current goes to several layers"}


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
def test_a_static_current_of_two_neurons_has_a_synapse_for_each(features, steps):
    net = Net(features, steps=steps, static=True)
    current, after = synapse(net, net.x, features)
    both = net.g.op("Add", net.neuron(current), net.neuron(current, "CubaLIF"))
    fusion = equal_for_all_batches(net, both, len(after) + 2)
    kind = "Linear" if len(features) == 1 else "Conv"
    ops = {f"QStatic{kind}LIF": 1, f"QStatic{kind}CubaLIF": 1}
    assert fused_ops(fusion) == ops
    assert not fusion.reasons


@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
def test_a_static_current_of_many_neurons_is_computed_once(features):
    net = Net(features, static=True)
    current, after = synapse(net, net.x, features)
    total = net.neuron(current)
    for threshold in (0.4, 0.9):
        total = net.g.op("Add", total, net.neuron(current, v_threshold=threshold))
    fusion = equal_for_all_batches(net, total, len(after) + 2)
    found = fused_ops(fusion)
    assert found["QLIF"] == 3
    assert found["QLinear"] + found["QConv"] == 1
    assert standard_ops(fusion)["Expand"] == 1


@pytest.mark.parametrize("steps", [1, 5, "T"])
@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("bits", [3, 8])
def test_membrane_shortcuts(features, steps, bits):
    """Currents go on from block to block, past the neurons that see them (MS-ResNet)."""
    net = Net(features, steps=steps)
    if steps == "T":
        net.feeds = lambda _, batch: Net.feeds(net, 4, batch)
    stream, after = synapse(net, net.x, features)
    for threshold in (0.4, 0.5, 0.6):
        current, after = synapse(net, net.neuron(stream, v_threshold=threshold), after)
        stream = net.g.op("Add", current, stream)
    fusion = equal_for_all_batches(net, net.neuron(stream), len(after) + 2, weight_bits=bits)
    kind = "Linear" if len(features) == 1 else "Conv"
    assert fused_ops(fusion) == {f"Q{kind}": 3, "QLIF": 3, f"Q{kind}LIFResidual": 1}
    assert not standard_ops(fusion)["Conv"] + standard_ops(fusion)["Gemm"]
    assert standard_ops(fusion)["Add"] == 2


@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_shared_current_is_shifted_and_subtracted(features, turned):
    net = Net(features)
    shared, after = synapse(net, net.x, features)
    current, after = synapse(net, net.neuron(shared), after)
    offset = net.g.const(RNG.normal(size=(3, *[1] * (len(after) - 1))))
    sides = [net.g.op("Add", shared, offset), current]
    spikes = net.neuron(net.g.op("Sub", *sides[:: -1 if turned else 1]), v_threshold=0.3)
    fusion = equal_for_all_batches(net, spikes, len(after) + 2, weight_bits=7)
    kind = "Linear" if len(features) == 1 else "Conv"
    assert fused_ops(fusion) == {f"Q{kind}": 1, "QLIF": 1, f"Q{kind}LIFResidual": 1}


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_static_synapses_of_one_neuron(features, steps, op):
    net = Net(features, steps=steps, static=True)
    first, after = synapse(net, net.x, features)
    second, _ = synapse(net, net.x, features)
    spikes = net.neuron(net.g.op(op, first, second))
    fusion = equal_for_all_batches(net, spikes, len(after) + 2)
    kind = "Linear" if len(features) == 1 else "Conv"
    assert fused_ops(fusion) == {f"Q{kind}": 2, "QLIF": 1}
    # The sum is repeated, not what it is a sum of.
    assert standard_ops(fusion)["Expand"] == 1


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("features", KINDS.values(), ids=KINDS)
def test_a_static_synapse_beside_one_of_spikes(features, steps):
    net = Net(features, steps=steps, static=True)
    first, after = synapse(net, net.x, features)
    second, _ = synapse(net, net.x, features)
    for _ in range(2):
        current, after = synapse(net, net.neuron(first), after)
        second = net.g.op("Add", second, current)
    fusion = equal_for_all_batches(net, net.neuron(second), len(after) + 2)
    kind = "Linear" if len(features) == 1 else "Conv"
    assert any(op == f"Q{kind}LIFResidual" for op in fused_ops(fusion))


def test_several_synapses_of_a_recurrent_neuron():
    net = Net((6,))
    first, _ = net.linear(net.x, 6, 5)
    second, _ = net.linear(net.x, 6, 5)
    weight = RNG.normal(size=(5, 5)) * 0.4
    spikes = net.neuron(net.g.op("Add", first, second), "LIFRecurrent", weight=weight)
    fusion = equal_for_all_batches(net, spikes, 3)
    assert fused_ops(fusion) == {"QLinear": 2, "QLIFRecurrent": 1}
    assert set(fusion.fused.values()) == {"QLinear"}


def test_spikes_and_a_membrane_from_two_maps():
    net = Net(MAP)
    current, after = synapse(net, net.x, MAP)
    current, after = synapse(net, net.neuron(current), after)
    spikes, membrane = net.g.neuron(current, "LIFMembrane")
    net.g.output(membrane, 5)
    fusion = equal_for_all_batches(net, spikes, 5)
    assert fused_ops(fusion) == {"QConvLIF": 1, "QConv": 1, "QLIFMembrane": 1}
    assert np.prod(after) == 60
