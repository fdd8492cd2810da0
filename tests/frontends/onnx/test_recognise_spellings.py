"""Unusual spellings of spikes, resets and sequences that are neurons all the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto
from unrolled import N, Unrolled, neurons, parameter, read_and_compare

STEPS = 4


def _heaviside(net: Unrolled, distance: str) -> str:
    """Write ``torch.heaviside(distance, 0)`` as it is exported."""
    not_below = net.op("Where", net.op("Less", distance, 0.0), 0.0, 1.0)
    return net.op("Where", net.op("Equal", distance, 0.0), 0.0, not_below)


def _soft(net: Unrolled, fire: Callable[[str], str], *, steps: int = STEPS) -> list[str]:
    """Write ``h = 0.8*(h - s) + x`` with any spelling of the spikes."""
    weight, membrane, found = net.weights(), "", []
    for t in range(steps):
        current = net.linear(net.step(t), weight)
        membrane = net.add(net.mul(membrane, 0.8), current) if membrane else net.add(current, 0.0)
        spikes = fire(membrane)
        membrane = net.sub(membrane, spikes)
        found.append(spikes)
    return found


SPELLINGS: dict[str, Callable[[Unrolled, str], str]] = {
    "to_int_and_back": lambda net, h: net.op(
        "Cast", net.op("Cast", net.above(h), to=TensorProto.INT32), to=TensorProto.FLOAT
    ),
    "spikes_compared_once_more": lambda net, h: net.above(net.above(h), 0.5),
    "rectified_sign": lambda net, h: net.op("Relu", net.op("Sign", net.sub(h, 1.0))),
    "clipped_ceil": lambda net, h: net.op("Clip", net.op("Ceil", net.sub(h, 1.0)), 0.0, 1.0),
    "share_of_threshold": lambda net, h: net.above(net.op("Div", h, 1.0), 1.0),
    "heaviside": lambda net, h: _heaviside(net, net.sub(h, 1.0)),
    "above_both_of_two": lambda net, h: net.op(
        "Cast",
        net.op("And", net.op("Greater", h, 1.0), net.op("Greater", h, 0.5)),
        to=TensorProto.FLOAT,
    ),
    "scaled_distance": lambda net, h: net.above(net.mul(net.sub(h, 1.0), 5.0), 0.0),
}


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_spelling_of_spikes(name: str) -> None:
    net = Unrolled(STEPS)
    spikes = _soft(net, lambda h: SPELLINGS[name](net, h))
    reading = read_and_compare(net.model(net.total(spikes)))
    (node,) = neurons(reading)
    assert node.op_type == "LIF"
    assert parameter(reading, node, "alpha") == pytest.approx(0.8, rel=1e-5)


def test_refractory_counter() -> None:
    """``r = 2`` after a spike, one less at each step; input counts where ``r == 0``."""
    net = Unrolled(5)
    weight, membrane, spikes, counter, found = net.weights(), "", "", "", []
    for t in range(5):
        current = net.linear(net.step(t), weight)
        if counter:
            free = net.op("Cast", net.op("Equal", counter, 0.0), to=TensorProto.FLOAT)
            kept = net.mul(net.mul(membrane, net.sub(1.0, spikes)), 0.8)
            membrane = net.add(kept, net.mul(current, free))
        else:
            membrane = net.add(current, 0.0)
        spikes = net.above(membrane)
        blocked = net.mul(spikes, 2.0)
        if counter:
            less = net.op("Relu", net.sub(counter, 1.0))
            blocked = net.add(blocked, net.mul(net.sub(1.0, spikes), less))
        counter = blocked
        found.append(spikes)
    reading = read_and_compare(net.model(net.total(found)))
    (node,) = neurons(reading)
    assert parameter(reading, node, "refractory_steps") == 2.0


def test_bound_on_what_goes_on_to_the_next_step() -> None:
    net = Unrolled(STEPS)
    weight, carried, found = net.weights(), "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), weight)
        membrane = net.add(carried, current) if carried else net.add(current, 0.0)
        spikes = net.above(membrane)
        carried = net.op("Max", net.mul(net.sub(membrane, spikes), 0.8), -0.4)
        found.append(spikes)
    reading = read_and_compare(net.model(net.total(found)))
    (node,) = neurons(reading)
    assert node.op_type == "ExtendedLIF"
    assert parameter(reading, node, "v_min") == pytest.approx(-0.4, rel=1e-6)


def test_membrane_compared_again_after_a_hard_reset_never_fires_again() -> None:
    """SnnTorch with ``reset_delay=False``, as the exporter without dynamo writes it."""
    net = Unrolled(STEPS)
    weight, carried, again, found = net.weights(), "", "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), weight)
        if carried:
            kept = net.mul(net.mul(carried, 0.8), net.sub(1.0, again))
            membrane = net.add(kept, current)
        else:
            membrane = net.add(current, 0.0)
        spikes = net.above(membrane)
        carried = net.sub(membrane, net.mul(membrane, spikes))
        again = net.above(carried)
        found.append(spikes)
    reading = read_and_compare(net.model(net.total(found)))
    assert [node.op_type for node in neurons(reading)] == ["LIF"]


@pytest.mark.parametrize("kind", ["ScatterND", "ScatterElements"])
def test_steps_written_one_by_one(kind: str) -> None:
    net = Unrolled(STEPS)
    net.inputs[0].type.tensor_type.shape.dim[1].dim_value = 3
    out = net.const(np.zeros((STEPS, 3, N)))
    axes = net.const([0], np.int64)
    for t, spikes in enumerate(_soft(net, net.above)):
        new = net.op("Unsqueeze", spikes, axes)
        if kind == "ScatterND":
            out = net.op(kind, out, net.const([[t]], np.int64), new)
        else:
            out = net.op(kind, out, net.const(np.full((1, 3, N), t), np.int64), new, axis=0)
    model = net.model(out)
    reading = read_and_compare(model)
    assert [n.op_type for n in neurons(reading)] == ["LIF"]
    assert all(node.op_type != kind for node in reading.model.graph.node)


def test_hard_reset_by_assigned_places() -> None:
    """``v[spikes] = 0``, whose places only a run tells."""
    net = Unrolled(STEPS)
    weight, membrane, found = net.weights(), "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), weight)
        membrane = net.add(net.mul(membrane, 0.8), current) if membrane else net.add(current, 0.0)
        fired = net.op("Greater", membrane, 1.0)
        places = net.op("Transpose", net.op("NonZero", fired), perm=[1, 0])
        count = net.op("ReduceSum", net.op("Cast", fired, to=TensorProto.INT64), keepdims=0)
        shape = net.op("Reshape", count, net.const([1], np.int64))
        zeros = net.op("Expand", 0.0, shape)
        membrane = net.op("ScatterND", membrane, places, zeros)
        found.append(net.op("Cast", fired, to=TensorProto.FLOAT))
    reading = read_and_compare(net.model(net.total(found)))
    assert [node.op_type for node in neurons(reading)] == ["LIF"]


def test_sum_pooling_as_it_is_exported() -> None:
    """``sign(x) * relu(abs(x)) * 4`` of an average is four times the average."""
    net = Unrolled(STEPS)
    weight, membrane, found = net.weights(), "", []
    for spikes in _soft(net, net.above):
        average = net.mul(net.linear(spikes, weight), 0.25)
        size = net.op("Relu", net.op("Abs", average))
        current = net.op("Pow", net.mul(net.mul(net.op("Sign", average), size), 4.0), 1.0)
        membrane = net.add(net.mul(membrane, 0.8), current) if membrane else net.add(current, 0.0)
        found.append(net.above(membrane))
    reading = read_and_compare(net.model(net.total(found)))
    assert [node.op_type for node in neurons(reading)] == ["LIF", "LIF"]
    assert not {"Sign", "Abs", "Pow"} & {node.op_type for node in reading.model.graph.node}


def test_largest_membrane_over_steps() -> None:
    net = Unrolled(STEPS)
    weight, value, largest = net.weights(), "", ""
    for spikes in _soft(net, net.above):
        new = net.linear(spikes, weight)
        value = net.add(net.mul(value, 0.9), new) if value else new
        largest = net.op("Max", largest, value) if largest else value
    reading = read_and_compare(net.model(largest))
    assert sorted(node.op_type for node in neurons(reading)) == ["LI", "LIF"]


def test_step_of_the_first_spike_stays_an_integer() -> None:
    net = Unrolled(STEPS)
    spikes = net.stacked(_soft(net, net.above))
    output = net.op("ArgMax", spikes, axis=0, keepdims=0)
    read_and_compare(net.model(output, kind=TensorProto.INT64))


def test_layers_joined_by_a_sum_of_currents_and_spikes() -> None:
    net = Unrolled()
    first, skip, second = net.weights(), net.weights(), net.weights()
    a = b = ""
    found = []
    for _ in range(STEPS):
        a = net.add(net.mul(a, 0.8), net.linear("x", first)) if a else net.linear("x", first)
        a_spikes = net.above(a)
        a = net.sub(a, a_spikes)
        seen = net.add(net.linear(a_spikes, second), net.add(net.linear("x", skip), a_spikes))
        b = net.add(net.mul(b, 0.8), seen) if b else net.add(seen, 0.0)
        spikes = net.above(b)
        b = net.sub(b, spikes)
        found.append(spikes)
    reading = read_and_compare(net.model(net.total(found)))
    assert [node.op_type for node in neurons(reading)] == ["LIF", "LIF"]
