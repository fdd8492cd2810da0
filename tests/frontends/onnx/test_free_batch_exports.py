"""Legacy exports that call their batch dynamic and hold it in shapes: freed, or refused."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from graphs import Graph, run_float
from onnx import helper
from torch import nn

from snnquant.errors import ModelError
from snnquant.frontends.onnx import read_proto
from snnquant.frontends.onnx.batch.free_batch import free_batch
from snnquant.frontends.onnx.preparation.prepare import prepare

T = 3
DECAY, THRESHOLD = 0.75, 1.0


class Merged(nn.Module):
    """Synapses over time and batch as one axis; states of the size that Python saw at export."""

    def __init__(self, order, start=None):
        super().__init__()
        torch.manual_seed(4)
        self.order = order
        self.conv, self.norm, self.head = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(8, 3)
        self.norm.running_var.copy_(torch.tensor([0.1, 0.2]))
        self.start = start

    def neuron(self, x, batch):
        """Take x of any merged shape, return spikes [T, B, ...]."""
        shape = (T, batch) if self.order == "TB" else (batch, T)
        x = x.reshape(*shape, *x.shape[1:])
        steps = x.unbind(0 if self.order == "TB" else 1)
        v = torch.zeros(batch, *x.shape[2:]) if self.start is None else self.start
        spikes = []
        for step in steps:
            v = DECAY * v + step
            spikes.append((v > THRESHOLD).float())
            v = v - spikes[-1] * THRESHOLD
        return torch.stack(spikes, 0 if self.order == "TB" else 1)

    def forward(self, x):
        batch = int(x.shape[1 if self.order == "TB" else 0])
        merged = T * batch
        spikes = self.neuron(self.norm(self.conv(x.reshape(merged, 1, 4, 4))), batch)
        spikes = spikes.reshape(merged, 8)
        return self.head(spikes).reshape(*x.shape[:2], 3).mean(0 if self.order == "TB" else 1)


class Static(nn.Module):
    """One image for all steps, spread over time before the synapse."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.flat, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        batch = int(x.shape[0])
        x = self.flat(x.unsqueeze(0).repeat(T, 1, 1).flatten(0, 1)).reshape(T, batch, 5)
        v, total = torch.zeros(batch, 5), torch.zeros(batch, 3)
        for step in x:
            v = DECAY * v + step
            spikes = (v > THRESHOLD).float()
            v = v - spikes * THRESHOLD
            total = total + self.head(spikes)
        return total / T


class Buffered(nn.Module):
    """States are a tensor of the batch that the net has seen last."""

    def __init__(self, state):
        super().__init__()
        torch.manual_seed(4)
        self.synapse, self.state = nn.Linear(6, 5), state

    def forward(self, x):
        v, spikes = self.state, []
        for step in x.unbind(0):
            v = DECAY * v + self.synapse(step)
            spikes.append((v > THRESHOLD).float())
            v = v - spikes[-1] * THRESHOLD
        return torch.stack(spikes)


def legacy(module, shape, axis):
    """Export with a dynamic batch, as far as that exporter can."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.ones(shape),),
            buffer,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {axis: "n"}},
        )
    return prepare(onnx.load_from_string(buffer.getvalue()), "m.onnx")


def assert_read(module, shape, axis):
    """Read an export of one batch size and hold it to the module at others."""
    model = legacy(module, shape, axis)
    reading = read_proto(model, "m.onnx")
    assert reading.fixed_batch is None
    assert [n.op_type for n in reading.model.graph.node if n.domain] == ["LIF"]
    rng = np.random.default_rng(3)
    for batch in (1, 2, 5):
        wide = list(shape)
        wide[axis] = batch
        x = rng.normal(0.5, 1.5, wide).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(x)).numpy()
        assert np.abs(wanted).max() > 0
        result = run_float(reading.model, {"x": x})[0]
        np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, T, 2 * T])
@pytest.mark.parametrize("order", ["TB", "BT"])
def test_time_and_batch_merged(order, batch):
    shape, axis = ((T, batch, 1, 4, 4), 1) if order == "TB" else ((batch, T, 1, 4, 4), 0)
    assert_read(Merged(order), shape, axis)


@pytest.mark.parametrize("batch", [1, 2, T])
def test_an_image_spread_over_time(batch):
    assert_read(Static(), (batch, 6), 0)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_state_that_is_the_same_for_each_sample_is_none_of_the_batch(value):
    class Any(Buffered):
        def forward(self, x):
            self.state = torch.full((x.shape[1], 5), value)
            return super().forward(x)

    module = Any(None)
    fixed = Buffered(torch.full((2, 5), value))
    fixed.load_state_dict(module.state_dict())
    model = free_batch(legacy(fixed, (T, 2, 6), 1))
    x = np.random.default_rng(1).normal(0.5, 1.5, (T, 4, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run_float(model, {"x": x})[0], wanted)


@pytest.mark.parametrize("batch", [2, T])
def test_a_state_of_the_samples_seen_at_export_is_refused(batch):
    state = torch.linspace(0, 0.9, batch * 5).reshape(batch, 5)
    with pytest.raises(ModelError, match="a state was baked in") as caught:
        read_proto(legacy(Buffered(state), (T, batch, 6), 1), "m.onnx")
    assert str(caught.value).startswith("m.onnx: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [2, T])
def test_an_order_that_mixes_samples_is_refused(batch):
    """Merged step by step, and taken apart sample by sample: rows of others come in."""

    class Mixed(Merged):
        def neuron(self, x, batch):
            self.order = "BT"
            spikes = super().neuron(x, batch)
            self.order = "TB"
            return spikes

    with pytest.raises(ModelError, match="holds for one batch size alone"):
        free_batch(legacy(Mixed("TB"), (T, batch, 1, 4, 4), 1))


def ints(g, *values):
    return g.const(list(values), np.int64)


def sized(use):
    """Return a graph whose batch of 2 is in a Reshape, and that reads its own shape besides."""
    g = Graph()
    x = g.input("x", [T, "n", 6])
    x = g.op("Relu", g.reshape(x, [T * 2, 6]))
    g.output(g.reshape(use(g, x), [T, 2, 6]), 3)
    return g.model()


def through_operations_that_inference_does_not_follow(g, x):
    sizes = g.op("Shape", x)
    two = g.op("Mod", ints(g, 5), ints(g, 3))
    rest = g.op("Slice", sizes, ints(g, 1), two)
    lengths = g.op("Max", rest, ints(g, 1))
    return g.op("Identity", g.op("Reshape", x, g.op("Concat", ints(g, -1), lengths, axis=0)))


def zeros_of_a_computed_size(g, x):
    zeros = g.op("ConstantOfShape", g.op("Abs", g.op("Shape", x)))
    return g.op("Add", x, g.op("Cos", zeros))


def as_a_number(g, x):
    length = g.op("Cast", g.op("Gather", g.op("Shape", x), ints(g, 0)), to=1)
    return g.op("Div", x, length)


@pytest.mark.parametrize(
    "use", [through_operations_that_inference_does_not_follow, zeros_of_a_computed_size]
)
def test_shapes_are_known_from_a_run(use):
    free = free_batch(sized(use))
    x = np.random.default_rng(2).normal(size=(T, 4, 6)).astype(np.float32)
    wanted = np.maximum(x, 0) + (use is zeros_of_a_computed_size)
    np.testing.assert_allclose(run_float(free, {"x": x})[0], wanted, rtol=1e-6)


def test_a_batch_size_that_is_a_number_to_compute_with_is_refused():
    with pytest.raises(ModelError, match="depends on the batch that it is in"):
        free_batch(sized(as_a_number))


def test_steps_too_many_for_shape_inference():
    """It does not look into the sizes that a Split of more than a few steps has."""
    steps = 70
    g = Graph()
    x = g.input("x", [steps, "n", 2])
    merged = g.reshape(g.op("Relu", g.reshape(x, [steps * 3, 2])), [steps, 3, 2])
    names = [f"s{t}" for t in range(steps)]
    g.nodes.append(helper.make_node("Split", [merged, ints(g, *[1] * steps)], names, axis=0))
    g.output(g.op("Concat", *names[::-1], axis=0), 3)
    free = free_batch(g.model())
    x = np.random.default_rng(2).normal(size=(steps, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(run_float(free, {"x": x})[0], np.maximum(x, 0)[::-1])


def test_nodes_that_nothing_reads_any_more_go():
    free = free_batch(sized(through_operations_that_inference_does_not_follow))
    read = {name for node in free.graph.node for name in node.input}
    read |= {value.name for value in free.graph.output}
    assert all(read.intersection(node.output) for node in free.graph.node)


def test_a_size_that_only_broadcasts_against_the_batch_is_not_taken_for_it():
    """A batch of 1 runs as well, and gives the rows of the constant."""
    g = Graph()
    x = g.input("x", ["n", 4])
    g.output(g.op("Add", x, g.const(np.ones((3, 4)))), 2)
    free = free_batch(g.model())
    x = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(run_float(free, {"x": x})[0], x + np.float32(1))
