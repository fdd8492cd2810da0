"""Every neuron, its states, and sums of several currents."""

import numpy as np
import pytest
from fused_networks import fused_everywhere, fused_ops, standard_ops
from graphs import Graph, quantize
from hand_made import RNG, B, Net, T

from snnquant.neurons import NEURONS

OPS = [model.name for model in NEURONS]
SPIKING = [model.name for model in NEURONS if model.spiking]


@pytest.mark.parametrize("target", ["generic", "tianjic"])
@pytest.mark.parametrize("op", OPS)
def test_every_neuron(op, target):
    for features in ((6,), (2, 5, 4)):
        net = Net(features)
        if len(features) == 1:
            current, _ = net.linear(net.x, 6, 5)
        else:
            current, _ = net.conv(net.x, features, 5, (2, 2))
        more = {} if op == "LI" else {"v_threshold": np.linspace(0.3, 0.9, 5)}
        value = net.neuron(current, op, **more)
        result = net.quantized(value, len(features) + 2, target=target)
        fusion, _ = fused_everywhere(result.model, net.feeds())
        kind = "Linear" if len(features) == 1 else "Conv"
        assert fused_ops(fusion) == {f"Q{kind}{op}": 1}


@pytest.mark.parametrize("op", SPIKING)
@pytest.mark.parametrize("static", [False, True])
def test_recurrent_neurons(op, static):
    net = Net((6,), static=static)
    current, _ = net.linear(net.x, 6, 5)
    spikes = net.neuron(current, f"{op}Recurrent", weight=RNG.normal(size=(5, 5)) * 0.4)
    fusion, _ = fused_everywhere(net.quantized(spikes, 3).model, net.feeds())
    assert fused_ops(fusion) == {f"Q{'Static' if static else ''}Linear{op}Recurrent": 1}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("space", [(), (4, 3)])
@pytest.mark.parametrize("batch", [0, 2])
def test_states_that_come_and_go(op, space, batch):
    model, feeds = stateful(op, space, batch)
    fusion, _ = fused_everywhere(model, feeds)
    assert fused_ops(fusion) == {f"Q{'Conv' if space else 'Linear'}{op}State": 1}
    if not space:
        assert "Transpose" not in standard_ops(fusion)


def stateful(op, space, batch):
    """Return a layer whose states are inputs and outputs, and data for it."""
    from snnquant.ops import schemas

    g = Graph()
    x = g.input("x", [T, "B", 2, *space])
    schema = schemas()[f"{op}State"]
    names = [f"{name}_in" for name in schema.state_names]
    states = [g.input(name, ["B", 5, *space]) for name in names]
    merged = g.reshape(x, [-1, 2, *space])
    weight = g.const(RNG.normal(size=(5, 2, *[1] * len(space))))
    if space:
        y = g.op("Conv", merged, weight, kernel_shape=[1] * len(space))
    else:
        y = g.op("Gemm", merged, weight, transB=1)
    current = g.reshape(y, [T, -1, 5, *space])
    choices = {} if op == "LI" else {"refractory": 1}
    real = {"alpha": 0.8, "v_threshold": 0.6}
    known = {name: value for name, value in real.items() if name in schema.parameter_names}
    outputs = g.neuron(current, f"{op}State", states=states, choices=choices, **known)
    for value in outputs:
        g.output(value, 2 + len(space) + (value == outputs[0]))
    model = quantize(g.model(), spikes=("x",)).model
    feeds = {"x": (RNG.random((T, batch, 2, *space)) < 0.5).astype(np.float32)}
    for name in names:
        high = 2 if name == "r_in" else 300
        feeds[name] = RNG.integers(0, high, (batch, 5, *space)).astype(np.int32)
    return model, feeds


def test_two_synapses_of_one_neuron():
    net = Net((2, 5, 4))
    first, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    second, _ = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    spikes = net.neuron(net.g.op("Add", first, second))
    assert after == (3, 4, 3)
    fusion, _ = fused_everywhere(net.quantized(spikes, 5).model, net.feeds())
    assert fused_ops(fusion) == {"QConv": 1, "QConvLIFResidual": 1}
    assert not fusion.reasons


def test_subtracted_synapse():
    net = Net((6,))
    first, _ = net.linear(net.x, 6, 3)
    second, _ = net.linear(net.x, 6, 3)
    spikes = net.neuron(net.g.op("Sub", first, second))
    fusion, _ = fused_everywhere(net.quantized(spikes, 3, weight_bits=4).model, net.feeds())
    assert "QLIF" in fused_ops(fusion) or "QLinearLIFResidual" in fused_ops(fusion)


def test_a_shortcut_of_spikes_into_a_current():
    net = Net((2, 5, 4))
    current, after = net.conv(net.x, (2, 5, 4), 3, (3, 3), pads=[1, 1, 1, 1])
    before = net.neuron(current)
    current, _ = net.conv(before, after, 3, (3, 3), pads=[1, 1, 1, 1])
    spikes = net.neuron(net.g.op("Add", current, before))
    fusion, _ = fused_everywhere(net.quantized(spikes, 5).model, net.feeds())
    assert fused_ops(fusion) == {"QConvLIF": 1, "QConvLIFResidual": 1}
    assert standard_ops(fusion)["Transpose"] == 2


def test_a_shortcut_that_is_read_with_several_leading_axes():
    net = Net((1, 5, 5), batch=B)
    current, after = net.conv(net.x, (1, 5, 5), 5, (3, 3))
    merged = net.merge(net.neuron(current), after)
    pooled = net.g.op("AveragePool", merged, kernel_shape=[2, 2], strides=[2, 2])
    counts, after = net.split(pooled, (5, 1, 1)), (5, 1, 1)
    current, after = net.conv(counts, after, 5, (1, 1))
    spikes = net.neuron(counts, "LIFRecurrent", weight=RNG.normal(size=(5, 5)) * 0.4)
    # Whose membrane is kept, asks for no current: the sum is first read with more leading axes.
    total = net.neuron(
        net.g.op("Add", current, spikes),
        "LIFRecurrentMembrane",
        weight=RNG.normal(size=(5, 5)) * 0.4,
    )
    result = net.quantized(total, len(after) + 2)
    fusion, _ = fused_everywhere(result.model, net.feeds())
    found = fused_ops(fusion)
    assert found["QConv"] == found["QLIFRecurrent"] == found["QLIFRecurrentMembrane"] == 1


def test_spikes_add_and_join_channels_last():
    net = Net((2, 5, 4))
    current, after = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    first = net.neuron(current)
    current, _ = net.conv(net.x, (2, 5, 4), 3, (2, 2))
    second = net.neuron(current)
    total = net.g.op("Add", first, second)
    joined = net.g.op("Concat", total, first, axis=2)
    current, _ = net.conv(joined, (6, *after[1:]), 2, (2, 2))
    fusion, _ = fused_everywhere(net.quantized(net.neuron(current), 5).model, net.feeds())
    assert fused_ops(fusion) == {"QConvLIF": 3, "QSpikeAdd": 1}
    assert standard_ops(fusion)["Transpose"] == 2


def test_a_loop_that_was_written_out():
    g = Graph()
    x = g.input("x", [T, "B", 6])
    weight = g.const(RNG.normal(size=(6, 5)), name="w")
    state = None
    total = None
    for t in range(T):
        step = g.op("Gather", x, g.const(t, np.int64), axis=0)
        current = g.op("Gemm", step, weight)
        current = g.op("Unsqueeze", current, g.const([0], np.int64))
        if state is None:
            shape = g.op("Shape", current, start=1)
            state = [g.op("Expand", g.const([0.0]), shape) for _ in range(2)]
        spikes, *state = g.neuron(
            current, "LIFState", states=state, alpha=0.8, v_threshold=0.6, choices={"refractory": 1}
        )
        total = spikes if total is None else g.op("Add", total, spikes)
    g.output(total, 3)
    model = quantize(g.model(), spikes=("x",)).model
    feeds = {"x": (RNG.random((T, B, 6)) < 0.5).astype(np.float32)}
    fusion, _ = fused_everywhere(model, feeds)
    assert fused_ops(fusion)["QStaticLinearLIFState"] == T
    stored = [t for t in fusion.model.graph.initializer if t.name.endswith("weight")]
    assert len(stored) == 1
