"""Refusals say the true reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from unrolled import N, Unrolled

from snnquant.errors import ModelError
from snnquant.frontends.onnx import read_proto

STEPS = 4


def _loop(change: Callable[[Unrolled, str, str, str], str]) -> onnx.ModelProto:
    """Write a neuron whose next membrane ``change(net, h, s, x)`` gives."""
    net = Unrolled(STEPS)
    weight, membrane, spikes, found = net.weights(), "", "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), weight)
        membrane = change(net, membrane, spikes, current) if membrane else net.add(current, 0.0)
        spikes = net.above(membrane)
        found.append(spikes)
    return net.model(net.total(found))


REFUSED: dict[str, tuple[Callable[[Unrolled, str, str, str], str], str]] = {
    "exponential": (
        lambda net, h, s, x: net.add(net.add(net.mul(h, 0.5), net.op("Exp", h)), x),
        r"goes through Exp \('n_v\d+'\)",
    ),
    "squashed": (
        lambda net, h, s, x: net.op("Tanh", net.add(h, x)),
        r"goes through Tanh",
    ),
    "quadratic": (
        lambda net, h, s, x: net.add(net.mul(net.mul(h, h), 0.3), x),
        "multiplied by itself",
    ),
    "gated": (
        lambda net, h, s, x: net.add(net.mul(h, x), x),
        "depends on the input, as gates do",
    ),
    "compared_again": (
        lambda net, h, s, x: net.add(
            net.mul(net.sub(net.sub(h, s), net.above(net.sub(h, s))), 0.8), x
        ),
        "compared again after the reset",
    ),
    "convolved_back": (
        lambda net, h, s, x: net.add(net.mul(h, 0.8), net.add(x, net.op("Softmax", s))),
        "its own spikes come back through Softmax",
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_reason(name: str) -> None:
    change, reason = REFUSED[name]
    with pytest.raises(ModelError, match=reason):
        read_proto(_loop(change), "net")


def test_weights_that_differ_from_step_to_step() -> None:
    net = Unrolled(STEPS)
    membrane, found = "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), net.weights())
        membrane = net.add(net.mul(membrane, 0.8), current) if membrane else net.add(current, 0.0)
        found.append(net.above(membrane))
    with pytest.raises(ModelError, match=r"weights of node 'n_v.*differ.*same module"):
        read_proto(net.model(net.total(found)), "net")


def test_feedback_between_layers() -> None:
    net = Unrolled(STEPS)
    first, second, back = net.weights(), net.weights(), net.weights()
    a = b = b_spikes = ""
    found = []
    for t in range(STEPS):
        current = net.linear(net.step(t), first)
        if a:
            a = net.add(net.mul(a, 0.8), net.add(current, net.linear(b_spikes, back)))
        else:
            a = net.add(current, 0.0)
        seen = net.linear(net.above(a), second)
        b = net.add(net.mul(b, 0.8), seen) if b else net.add(seen, 0.0)
        b_spikes = net.above(b)
        found.append(b_spikes)
    with pytest.raises(ModelError, match="a later layer feeds back"):
        read_proto(net.model(net.total(found)), "net")


def test_counts_that_take_another_amount_away() -> None:
    def change(net: Unrolled, h: str, s: str, x: str) -> str:
        count = net.op("Floor", net.op("Relu", h))
        return net.add(net.mul(net.sub(h, net.mul(count, 0.6)), 0.8), x)

    net = Unrolled(STEPS)
    weight, membrane, found = net.weights(), "", []
    for t in range(STEPS):
        current = net.linear(net.step(t), weight)
        membrane = change(net, membrane, "", current) if membrane else net.add(current, 0.0)
        found.append(net.op("Floor", net.op("Relu", membrane)))
    with pytest.raises(ModelError, match=r"counts its spikes by 1, but each takes 0\.6 away"):
        read_proto(net.model(net.total(found)), "net")


def test_single_step_without_state() -> None:
    net = Unrolled()
    model = net.model(net.above(net.add(net.linear("x", net.weights()), 0.0)))
    with pytest.raises(ModelError, match="nothing goes on from step to step: either only one step"):
        read_proto(model, "net")


def test_single_step_with_the_state_of_an_earlier_run() -> None:
    net = Unrolled()
    held = np.linspace(-1, 1, N).reshape(1, N)
    membrane = net.add(net.linear("x", net.weights()), held)
    with pytest.raises(ModelError, match="holds the state of an earlier run"):
        read_proto(net.model(net.above(membrane)), "net")


def test_neurons_that_are_no_spiking_ones_do_not_crash() -> None:
    net = Unrolled()
    zeros = net.const(np.zeros((1, N)))
    model = net.model(net.op("Concat", zeros, zeros, "x", axis=0))
    with pytest.raises(ModelError):
        read_proto(model, "net")
