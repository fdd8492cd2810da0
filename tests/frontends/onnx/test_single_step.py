"""A graph of a single step becomes a sequence, whose input is static or holds the steps."""

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from snnquant.errors import UsageError
from snnquant.frontends import SourceOptions, read_source
from snnquant.model_file import neuron_nodes

STEPS, BATCH = 5, 3
STEP = """
<ir_version: 9, opset_import: ["": 18]>
step (float[B, 2] x, float[B, 4] mem) => (float[B, 4] spikes, float[B, 4] mem_next)
<float decay = {0.5}, float threshold = {1.0},
 float[2, 4] weight = {1.0, 0.5, -1.0, 0.75, 0.25, 1.5, 2.0, -0.5}>
{
    current = MatMul(x, weight)
    kept = Mul(mem, decay)
    charged = Add(kept, current)
    fires = Greater(charged, threshold)
    spikes = Cast<to = 1>(fires)
    taken = Mul(spikes, threshold)
    mem_next = Sub(charged, taken)
}
"""
SEQUENCE = """
<ir_version: 9, opset_import: ["": 18]>
sequence (float[2, B, 3] x) => (float[B, 3] total)
<float decay = {0.5}, float threshold = {1.0}, int64 zero = {0}, int64 one = {1}>
{
    first = Gather<axis = 0>(x, zero)
    second = Gather<axis = 0>(x, one)
    fires_0 = Greater(first, threshold)
    spikes_0 = Cast<to = 1>(fires_0)
    taken = Mul(spikes_0, threshold)
    after = Sub(first, taken)
    kept = Mul(after, decay)
    charged = Add(kept, second)
    fires_1 = Greater(charged, threshold)
    spikes_1 = Cast<to = 1>(fires_1)
    total = Add(spikes_0, spikes_1)
}
"""


@pytest.fixture
def save(tmp_path):
    """Return a function that saves a graph and returns its path."""

    def saved(text):
        path = tmp_path / "model.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        return path

    return saved


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (name,) = (value.name for value in session.get_inputs())
    return session.run(None, {name: x})[0]


def stepped(x):
    """Return the spikes of the single step, called once per step of a sequence."""
    session = onnxruntime.InferenceSession(onnx.parser.parse_model(STEP).SerializeToString())
    mem, found = np.zeros((x.shape[1], 4), np.float32), []
    for step in x:
        spikes, mem = session.run(None, {"x": step, "mem": mem})
        found.append(spikes)
    return np.stack(found)


def test_each_step_sees_its_own_input(save):
    reading = read_source(save(STEP), SourceOptions(timesteps=STEPS, time_axis=0))
    assert [node.op_type for node in neuron_nodes(reading.model)] == ["LIF"]
    assert "one step of the input each" in reading.notes[0]
    (origin,) = reading.origins
    assert origin.equation.startswith("h[t] = v[t-1] + x[t]; s[t] = h[t] > 1; v[t] = 0.5*")
    x = np.random.default_rng(0).normal(0, 1, (STEPS, BATCH, 2)).astype(np.float32)
    spikes = run(reading.model, x)
    np.testing.assert_array_equal(spikes, stepped(x))
    assert 0 < spikes.sum() < spikes.size


def test_without_a_time_axis_every_step_sees_the_same_input(save):
    reading = read_source(save(STEP), SourceOptions(timesteps=STEPS))
    assert "with the same input at each" in reading.notes[0]
    x = np.random.default_rng(1).normal(0, 1, (BATCH, 2)).astype(np.float32)
    spikes = run(reading.model, x)
    np.testing.assert_array_equal(spikes, stepped(np.stack([x] * STEPS)))
    assert 0 < spikes.sum() < spikes.size


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (STEP, {"timesteps": 4, "time_axis": 1}, r"\[T, B, ...\]; give --time-axis 0"),
        (STEP, {"time_axis": 0}, "give --timesteps N too"),
        (SEQUENCE, {"time_axis": 0}, "graphs of a single step only"),
        (SEQUENCE, {"time_axis": 1}, "graphs of a single step only"),
    ],
)
def test_a_time_axis_that_would_be_lost_is_refused(save, text, options, message):
    with pytest.raises(UsageError, match=message):
        read_source(save(text), SourceOptions(**options))


def test_a_graph_with_neuron_nodes_has_its_time_axis(save, tmp_path):
    path = tmp_path / "canonical.onnx"
    onnx.save(read_source(save(STEP), SourceOptions(timesteps=2)).model, path)
    with pytest.raises(UsageError, match="graphs of a single step only"):
        read_source(path, SourceOptions(time_axis=0))
