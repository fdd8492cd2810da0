"""Synaptic currents and read-outs, at whatever point of the loop a graph holds them."""

from __future__ import annotations

import numpy as np
import pytest
from unrolled import N, Unrolled, neurons, parameter, read_and_compare

from snnquant.errors import ModelError
from snnquant.frontends.onnx import read_proto


def _synaptic(net: Unrolled, steps: int, *, static: bool, recurrent: bool = False) -> list[str]:
    """Write a neuron ``i = 0.7*i + x; h = 0.8*h + i - s`` and return its spikes."""
    weight, back = net.weights(), net.weights()
    current = membrane = spikes = ""
    found = []
    for t in range(steps):
        new = net.linear("x" if static else net.step(t), weight)
        if recurrent and spikes:
            new = net.add(new, net.linear(spikes, back))
        current = net.add(net.mul(current, 0.7), new) if current else new
        kept = net.sub(net.mul(membrane, 0.8), spikes) if membrane else ""
        membrane = net.add(kept, current) if kept else net.add(current, 0.0)
        spikes = net.above(membrane)
        found.append(spikes)
    return found


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_synaptic_filter_is_found_with_few_steps(steps: int, static: bool) -> None:
    net = Unrolled(None if static else steps)
    reading = read_and_compare(net.model(net.total(_synaptic(net, steps, static=static))))
    (node,) = neurons(reading)
    assert node.op_type == "CubaLIF"
    assert parameter(reading, node, "alpha_syn") == pytest.approx(0.7, rel=1e-5)
    assert parameter(reading, node, "alpha") == pytest.approx(0.8, rel=1e-5)


def test_recurrent_synapse_passes_through_the_filter() -> None:
    net = Unrolled(3)
    spikes = _synaptic(net, 3, static=False, recurrent=True)
    reading = read_and_compare(net.model(net.total(spikes)))
    assert [node.op_type for node in neurons(reading)] == ["CubaLIFRecurrent"]


def test_own_spikes_through_the_filter_are_told_from_the_reset() -> None:
    net = Unrolled()
    weight = net.weights()
    current = membrane = spikes = ""
    found = []
    for _ in range(4):
        new = net.linear("x", weight)
        if current:
            new = net.sub(new, net.mul(spikes, 0.4))
            current = net.add(net.mul(current, 0.5), new)
            membrane = net.sub(net.add(net.mul(membrane, 0.8), current), spikes)
        else:
            current = new
            membrane = net.add(current, 0.0)
        spikes = net.above(membrane)
        found.append(spikes)
    reading = read_and_compare(net.model(net.total(found)))
    (node,) = neurons(reading)
    assert node.op_type == "CubaLIFRecurrent"
    weights = parameter(reading, node, "recurrent_weight")
    np.testing.assert_allclose(weights, -0.4 * np.eye(N), atol=1e-5)


def _spiking(net: Unrolled, steps: int) -> list[str]:
    weight, membrane, found = net.weights(), "", []
    for t in range(steps):
        current = net.linear(net.step(t), weight)
        membrane = net.add(net.mul(membrane, 0.9), current) if membrane else net.add(current, 0.0)
        spikes = net.above(membrane)
        membrane = net.sub(membrane, spikes)
        found.append(spikes)
    return found


@pytest.mark.parametrize("steps", [3, 4, 6])
@pytest.mark.parametrize("stacked", [True, False])
def test_read_out_with_synaptic_current_in_norse_order(steps: int, stacked: bool) -> None:
    net = Unrolled(steps)
    weight = net.weights()
    current, value, outputs = "", "", []
    for spikes in _spiking(net, steps):
        new = net.linear(spikes, weight)
        jump = net.add(current, new) if current else new
        change = net.mul(net.sub(jump, value), 0.2) if value else net.mul(jump, 0.2)
        value = net.add(value, change) if value else change
        current = net.sub(jump, net.mul(jump, 0.3))
        outputs.append(value)
    reading = read_and_compare(net.model(net.stacked(outputs) if stacked else outputs[-1]))
    read_out = next(node for node in neurons(reading) if node.op_type == "LI")
    assert len(neurons(reading)) == 2
    assert parameter(reading, read_out, "alpha") == pytest.approx(0.8, rel=1e-5)
    assert parameter(reading, read_out, "alpha_syn") == pytest.approx(0.7, rel=1e-5)


def test_two_synaptic_currents_are_refused() -> None:
    net = Unrolled(5)
    weight = net.weights()
    first = second = membrane = ""
    found = []
    for t in range(5):
        new = net.linear(net.step(t), weight)
        first = net.add(net.mul(first, 0.7), new) if first else new
        second = net.add(net.mul(second, 0.4), new) if second else new
        both = net.add(first, net.mul(second, 0.5))
        membrane = net.add(net.mul(membrane, 0.8), both) if membrane else both
        found.append(net.above(membrane))
    with pytest.raises(ModelError, match="several synaptic currents"):
        read_proto(net.model(net.total(found)), "net")


def test_read_out_with_a_lower_bound_is_refused() -> None:
    net = Unrolled(4)
    weight, value = net.weights(), ""
    for spikes in _spiking(net, 4):
        new = net.linear(spikes, weight)
        value = net.op("Max", net.add(net.mul(value, 0.9), new) if value else new, -0.3)
    with pytest.raises(ModelError, match="lower bound"):
        read_proto(net.model(value), "net")


def test_read_out_that_rests_at_its_leak_potential() -> None:
    """``v = v + 0.2*((0.5 - v) + j)`` from ``v = 0.5``."""
    net = Unrolled(4)
    weight = net.weights()
    current, value, outputs = "", "", []
    for spikes in _spiking(net, 4):
        new = net.linear(spikes, weight)
        current = net.add(net.mul(current, 0.7), new) if current else new
        pull = net.sub(0.5, value) if value else 0.0
        change = net.mul(net.add(pull, current), 0.2)
        value = net.add(value or 0.5, change)
        outputs.append(value)
    reading = read_and_compare(net.model(net.stacked(outputs)))
    (read_out,) = [node for node in neurons(reading) if node.op_type == "LI"]
    # The node gives the value in units of what the current adds to it: v / 0.2.
    assert parameter(reading, read_out, "v_init") == pytest.approx(0.5 / 0.2, rel=1e-5)
    assert parameter(reading, read_out, "leak_bias") == pytest.approx(0.5, rel=1e-4)
