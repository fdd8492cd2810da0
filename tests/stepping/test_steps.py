"""Models of single steps against the sequence models that they were cut from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from hand_made import RNG, Net, T

from snnquant.data import Batch
from snnquant.errors import ModelError
from snnquant.fusion import fuse_model
from snnquant.instrument import Runner
from snnquant.ops import attach_functions
from snnquant.passes import canonicalise
from snnquant.runtime import load_session
from snnquant.stepping import (
    StepSession,
    check_steps,
    initial_states,
    is_step_model,
    step_model,
)

NEURONS = ["LIF", "CubaLIF", "ExtendedLIF", "LI"]


def sequence_of(op: str, *, conv: bool = False, static: bool = False):
    """Return an integer sequence model of one layer, and batch-first samples for it."""
    features = (2, 5, 4) if conv else (6,)
    net = Net(features, static=static)
    current, _ = net.conv(net.x, features, 5, (2, 2)) if conv else net.linear(net.x, 6, 5)
    more = {} if op.startswith("LI") and op == "LI" else {"v_threshold": np.linspace(0.3, 0.9, 5)}
    value = net.neuron(current, op, **more)
    return net.quantized(value, len(features) + 2).model, net


def samples_of(model, net) -> Batch:
    """Return the net's data, batch first."""
    runner = Runner(model)
    feeds = net.feeds()
    arrays = {
        entry.name: np.moveaxis(feeds[entry.name], entry.batch_axis or 0, 0)
        for entry in runner.layout.inputs
    }
    return Batch(arrays, None, 0)


@pytest.mark.parametrize("fuse", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
@pytest.mark.parametrize("op", NEURONS)
def test_every_neuron_step_by_step(op: str, conv: bool, fuse: bool) -> None:
    model, net = sequence_of(op, conv=conv)
    step = step_model(model)
    if fuse:
        step = fuse_model(step).model
        assert any(n.op_type.startswith(("QConv", "QLinear")) for n in step.graph.node)
    assert is_step_model(step)
    assert check_steps(model, step, samples_of(model, net)).values > 0


def test_float_neurons_start_where_the_sequence_does() -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    net.g.output(net.neuron(current, v_init=0.3), 3)
    model = ir.to_proto(canonicalise(net.g.model()))
    attach_functions(model)
    assert check_steps(model, step_model(model), samples_of(model, net)).values > 0


@pytest.mark.parametrize("op", NEURONS[:3])
def test_recurrent_neurons_step_by_step(op: str) -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    spikes = net.neuron(current, f"{op}Recurrent", weight=RNG.normal(size=(5, 5)) * 0.4)
    model = net.quantized(spikes, 3).model
    for step in (step_model(model), fuse_model(step_model(model)).model):
        assert check_steps(model, step, samples_of(model, net)).values > 0


def test_a_static_input_is_seen_at_every_step() -> None:
    model, net = sequence_of("LIF", static=True)
    step = step_model(model)
    assert check_steps(model, step, samples_of(model, net)).values > 0


def test_a_session_keeps_the_states() -> None:
    model, net = sequence_of("LIF")
    step = fuse_model(step_model(model)).model
    name = model.graph.output[0].name
    given = net.feeds()
    (wanted,) = load_session(model.SerializeToString()).run([name], given)
    session = StepSession(step)
    feeds = given["x"]
    for _ in range(2):
        session.reset(feeds.shape[1])
        seen = [session.step(feeds[t])[name] for t in range(len(feeds))]
        assert len(feeds) == T
        assert np.array_equal(np.stack(seen), wanted)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_states_start_where_the_sequence_starts(batch: int) -> None:
    model, _ = sequence_of("CubaLIF")
    states = initial_states(step_model(model), batch)
    assert states
    assert all(len(array) == batch for array in states.values())


def test_a_step_model_cannot_be_cut_again() -> None:
    model, _ = sequence_of("LIF")
    with pytest.raises(ModelError, match="one time step per call already"):
        step_model(step_model(model))


def test_a_sequence_model_is_no_step_model() -> None:
    model, _ = sequence_of("LIF")
    assert not is_step_model(model)
    with pytest.raises(ModelError):
        StepSession(model)
