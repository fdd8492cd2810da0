"""Models of single steps against the sequence models that they were cut from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from graphs import run_float
from hand_made import RNG, Net, T

from snnquant.convert import as_steps
from snnquant.data import Batch
from snnquant.errors import DataError, ModelError, NumericalError
from snnquant.fusion import fuse_model
from snnquant.instrument import Runner
from snnquant.model_file import scale_of
from snnquant.neurons import NEURONS
from snnquant.ops import attach_functions
from snnquant.passes import canonicalise
from snnquant.quantize import fuse_result
from snnquant.runtime import load_session
from snnquant.stepping import (
    StepRunner,
    StepSession,
    check_steps,
    initial_states,
    is_step_model,
    step_interface,
    step_model,
)

OPS = [model.name for model in NEURONS]
SPIKING = [model.name for model in NEURONS if model.spiking]


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


def assert_named(model) -> None:
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("fuse", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
@pytest.mark.parametrize("op", OPS)
def test_every_neuron_step_by_step(op: str, conv: bool, fuse: bool) -> None:
    model, net = sequence_of(op, conv=conv)
    step = step_model(model)
    if fuse:
        step = fuse_model(step).model
        assert any(n.op_type.startswith(("QConv", "QLinear")) for n in step.graph.node)
    assert is_step_model(step)
    assert_named(step)
    assert check_steps(model, step, samples_of(model, net)).values > 0


def test_float_neurons_start_where_the_sequence_does() -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    net.g.output(net.neuron(current, v_init=0.3), 3)
    model = ir.to_proto(canonicalise(net.g.model()))
    attach_functions(model)
    assert check_steps(model, step_model(model), samples_of(model, net)).values > 0


@pytest.mark.parametrize("op", SPIKING)
def test_recurrent_neurons_step_by_step(op: str) -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    spikes = net.neuron(current, f"{op}Recurrent", weight=RNG.normal(size=(5, 5)) * 0.4)
    model = net.quantized(spikes, 3).model
    for step in (step_model(model), fuse_model(step_model(model)).model):
        assert_named(step)
        assert check_steps(model, step, samples_of(model, net)).values > 0


def test_a_static_input_is_seen_at_every_step() -> None:
    model, net = sequence_of("LIF", static=True)
    step = step_model(model)
    assert check_steps(model, step, samples_of(model, net)).values > 0


@pytest.mark.parametrize("steps", [T, "T"], ids=["fixed", "dynamic"])
def test_rows_of_a_table_are_picked_at_every_step(steps: int | str) -> None:
    net = Net((), steps=steps)
    index = net.g.op("Cast", net.x, to=onnx.TensorProto.INT64)
    rows = net.g.op("Gather", net.g.const(RNG.normal(size=(2, 6))), index, name="table")
    current, _ = net.linear(rows, 6, 5, "MatMul3")
    model = net.quantized(net.neuron(current), 3).model
    assert check_steps(model, step_model(model), samples_of(model, net)).values > 0


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


def test_a_session_refuses_what_no_step_can_be() -> None:
    model, net = sequence_of("LIF")
    session = StepSession(step_model(model))
    step = net.feeds()["x"][0]
    for batch in (0, -1):
        with pytest.raises(DataError, match=f"batch of {batch} samples"):
            session.reset(batch)
    session.reset(len(step))
    before = {name: state.copy() for name, state in session.states.items()}
    for value in (np.nan, np.inf):
        with pytest.raises(NumericalError, match="'x' holds NaN or infinite"):
            session.step(np.full(step.shape, value, np.float32))
    assert all(np.array_equal(session.states[name], before[name]) for name in before)


@pytest.mark.parametrize("readout_as", ["float", "int"])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax"])
def test_states_say_what_a_step_is_worth(op: str, readout_as: str) -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    membranes = net.neuron(current, "LI", v_init=np.linspace(-0.2, 0.2, 5))
    axes = {"axes": [0]} if op != "ReduceSum" else {}
    inputs = [] if axes else [net.g.const([0], np.int64)]
    result = net.quantized(
        net.g.op(op, membranes, *inputs, **axes, keepdims=0), 2, readout_as=readout_as
    )
    given = net.feeds()
    (real,) = run_float(net.g.model(), given)
    for made in (as_steps(result), as_steps(fuse_result(result))):
        step = made.model
        assert_named(step)
        _, states = StepRunner(step).run_to_states({"x": np.moveaxis(given["x"], 1, 0)})
        neuron = next(n.name for n in step.graph.node if n.name.startswith("li"))
        label = "max" if op == "ReduceMax" else "sum"
        total = next(name for name in states if name.endswith(f".{label}"))
        assert set(states) == {f"{neuron}.v", f"{neuron}.i", total}
        np.testing.assert_allclose(
            states[total] * scale_of(step, total), real, atol=0.02 * abs(real).max()
        )
        (layer,) = (entry for entry in made.layers if entry["kind"] == "neuron")
        of_membrane = scale_of(step, f"{neuron}.v")
        assert of_membrane.min() == layer["membrane_scale_min"]
        assert of_membrane.max() == layer["membrane_scale_max"]
        for name, state in step_interface(step).states.items():
            assert made.input_scales[name] == made.output_scales[state.next]
            assert np.array_equal(made.input_scales[name], scale_of(step, name))
            assert np.array_equal(made.input_scales[name], scale_of(step, state.next))


@pytest.mark.parametrize("op", ["LIFRecurrent", "ExtendedLIF"])
def test_spikes_and_counters_are_whole(op: str) -> None:
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    weight = RNG.normal(size=(5, 5)) * 0.4 if op.endswith("Recurrent") else None
    result = net.quantized(net.neuron(current, op, weight=weight), 3)
    step = as_steps(result).model
    states = step_interface(step).states
    whole = {name for name in states if name.endswith((".r", ".s"))}
    for name in states:
        scale = scale_of(step, name)
        assert (scale == 1).all() if name in whole else (scale < 0.01).all()
    assert len(whole) == (2 if op.endswith("Recurrent") else 1)


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


def test_a_fused_model_cannot_be_cut() -> None:
    model, _ = sequence_of("LIF")
    with pytest.raises(ModelError, match="fused ops; cut the model before"):
        step_model(fuse_model(model).model)


def test_a_sequence_model_is_no_step_model() -> None:
    model, _ = sequence_of("LIF")
    assert not is_step_model(model)
    with pytest.raises(ModelError):
        StepSession(model)
