"""Matrix products over further axes than time and batch, as token mixers have them."""

import numpy as np
import pytest
from fused_networks import fused_everywhere, fused_ops, standard_ops
from hand_made import RNG, Net


def projected(net, value, size, out, bias=True):
    """Add a matrix product over the last axis."""
    y = net.g.op("MatMul", value, net.g.const(RNG.normal(size=(size, out))))
    return net.g.op("Add", y, net.g.const(RNG.normal(size=out) * 0.1)) if bias else y


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("rows", [(4,), (5,), (2, 3)])
@pytest.mark.parametrize("analog", [False, True])
def test_tokens(steps, rows, analog):
    net = Net((*rows, 6), steps=steps, analog=analog)
    first = net.neuron(projected(net, net.x, 6, 5))
    second = net.neuron(projected(net, first, 5, 5, bias=False))
    joined = net.g.op("Add", first, second)
    spikes = net.neuron(projected(net, joined, 5, 3))
    model = net.quantized(spikes, 3 + len(rows)).model
    for batch in (3, 1, 0):
        fusion, compared = fused_everywhere(model, net.feeds(steps, batch))
        assert fused_ops(fusion) == {"QLinear": 3, "QLIF": 3, "QSpikeAdd": 1}
        assert compared or not batch
        assert not standard_ops(fusion)["MatMul"] + standard_ops(fusion)["Transpose"]
        assert sorted(set(fusion.fused.values())) == ["QLinear"]
        assert set(fusion.reasons.values()) == {"its features have several axes"}


def test_a_current_of_tokens_that_goes_to_two_neurons_and_out():
    net = Net((4, 6))
    current = projected(net, net.x, 6, 5)
    net.g.output(net.g.op("Mul", current, net.g.const(0.5)), 4)
    both = net.g.op("Add", net.neuron(current), net.neuron(current, "CubaLIF"))
    spikes = net.neuron(projected(net, both, 5, 3))
    model = net.quantized(spikes, 4).model
    for batch in (3, 1):
        fusion, _ = fused_everywhere(model, net.feeds(5, batch))
        assert fused_ops(fusion) == {"QLinear": 2, "QLIF": 2, "QCubaLIF": 1, "QSpikeAdd": 1}


@pytest.mark.parametrize("static", [False, True])
def test_tokens_between_other_layers(static):
    """Time folded into batch for the tokens, and one feature axis behind them."""
    net = Net((4, 6), static=static)
    first = net.neuron(projected(net, net.x, 6, 5))
    folded = projected(net, net.merge(first, (4, 5)), 5, 5)
    second = net.neuron(net.split(folded, (4, 5)))
    current, _ = net.linear(net.split(net.merge(second, (20,)), (20,)), 20, 3)
    model = net.quantized(net.neuron(current), 3).model
    for batch in (3, 1):
        fusion, _ = fused_everywhere(model, net.feeds(5, batch))
        found = fused_ops(fusion)
        assert found["QLinear"] == 2
        assert found["QLinearLIF"] == 1


def test_shortcuts_of_currents_past_tokens():
    net = Net((4, 6))
    stream = projected(net, net.x, 6, 6)
    for threshold in (0.4, 0.5):
        inner = projected(net, net.neuron(stream, v_threshold=threshold), 6, 6)
        stream = net.g.op("Add", stream, inner)
    model = net.quantized(net.neuron(stream), 4).model
    fusion, compared = fused_everywhere(model, net.feeds())
    assert fused_ops(fusion)["QLinear"] == 3
    assert not standard_ops(fusion)["MatMul"]
    assert compared > np.prod((4, 6))
