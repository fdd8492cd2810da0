"""Graphs with a batch size in their constants, freed from it, give each sample what it got."""

import numpy as np
import onnx
import pytest
from graphs import Graph, run_float
from onnx import TensorProto, helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.batch.free_batch import free_batch

RANDOM = np.random.default_rng(5)
W = RANDOM.normal(size=(6, 4)).astype(np.float32)
W2 = RANDOM.normal(size=(4, 3)).astype(np.float32)
T = 5


def input_dims(model):
    return [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    ]


def assert_freed(model, axes, **more):
    """Free a model and hold it, sample by sample, to what the model itself gives.

    ``axes`` tells, for the inputs and then the outputs, the axis of the batch; both are of one
    float type.
    """
    kept = model.SerializeToString()
    free = free_batch(model, **more)
    assert model.SerializeToString() == kept
    onnx.checker.check_model(free, full_check=True)
    names = [value.name for value in model.graph.input]
    dims = input_dims(free)
    shapes = input_dims(model)
    batch = shapes[0][axes[0]]
    for place, (mine, own) in enumerate(zip(dims, shapes, strict=True)):
        wanted = list(own)
        wanted[axes[place]] = "batch"
        assert mine == wanted
    pools = [np.delete(np.array(shape), axes[k]) for k, shape in enumerate(shapes)]
    rows = [RANDOM.normal(0.5, 2.0, (7, *pool)).astype(np.float32) for pool in pools]

    def feeds(chosen):
        return {
            name: np.moveaxis(rows[k][list(chosen)], 0, axes[k]) for k, name in enumerate(names)
        }

    alone = []
    for row in range(7):
        results = run_float(model, feeds([(row + k) % 7 for k in range(batch)]))
        alone.append(
            [np.take(r, 0, axis) for r, axis in zip(results, axes[len(names) :], strict=True)]
        )
    for count in (1, 2, 4, 7):
        results = run_float(free, feeds(range(count)))
        for k, (result, axis) in enumerate(zip(results, axes[len(names) :], strict=True)):
            wanted = np.stack([alone[row][k] for row in range(count)], axis)
            np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)
    return free


def folded(batch, *, order="TB", signature=None):
    """Two layers over time; the batch size is in every Reshape."""
    g = Graph()
    x = g.input("x", [T, signature or batch, 6] if order == "TB" else [signature or batch, T, 6])
    if order == "BT":
        flat = g.op("MatMul", g.reshape(x, [batch * T, 6]), g.const(W))
        current = g.op("Transpose", g.reshape(flat, [batch, T, 4]), perm=[1, 0, 2])
    else:
        flat = g.op("MatMul", g.reshape(x, [T * batch, 6]), g.const(W))
        current = g.reshape(flat, [T, batch, 4])
    spikes = g.neuron(current, alpha=0.75, v_threshold=1.5)[0]
    second = g.op("Gemm", g.reshape(spikes, [T * batch, 4]), g.const(W2), g.const(W2[0]))
    spikes = g.neuron(g.reshape(second, [T, batch, 3]), alpha=0.5)[0]
    g.output(g.op("ReduceSum", spikes, g.const([0], np.int64), keepdims=0, name="out"), 2)
    return g.model()


@pytest.mark.parametrize("batch", [1, 2, 3, T, 8])
@pytest.mark.parametrize("order", ["TB", "BT"])
def test_a_batch_in_every_reshape(batch, order):
    free = assert_freed(folded(batch, order=order), [1 if order == "TB" else 0, 0])
    assert [d.dim_param for d in free.graph.output[0].type.tensor_type.shape.dim] == ["batch", ""]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_signature_that_says_dynamic_is_not_believed(batch):
    baked = folded(batch, signature="n")
    free = free_batch(baked)
    assert input_dims(free) == [[T, "batch", 6]]
    x = RANDOM.normal(size=(T, 4, 6)).astype(np.float32)
    result = run_float(free, {"x": x})[0]
    fixed = folded(4)
    np.testing.assert_allclose(result, run_float(fixed, {"x": x})[0], rtol=1e-5)


def test_a_graph_that_is_free_is_named():
    g = Graph()
    x = g.input("x", ["time", "n", 6])
    current = g.op("MatMul", x, g.const(W))
    g.output(g.neuron(current, alpha=0.75, v_threshold=1.5)[0], 3)
    free = free_batch(g.model(), {"x": 1})
    assert input_dims(free) == [["time", "batch", 6]]
    assert len(free.graph.node) == 2


def test_the_axis_can_be_told():
    model = folded(2)
    assert input_dims(free_batch(model, {"x": 1})) == [[T, "batch", 6]]
    with pytest.raises(ModelError, match="holds for one batch size alone"):
        free_batch(model, {"x": 2})
    with pytest.raises(ModelError, match="no axis 3 of an input 'x'"):
        free_batch(model, {"x": 3})


@pytest.mark.parametrize("batch", [1, 2])
def test_states_that_are_inputs_keep_their_samples(batch):
    g = Graph()
    x = g.input("x", [T, batch, 6])
    v, r = g.input("v", [batch, 4]), g.input("r", [batch, 4])
    current = g.reshape(g.op("MatMul", g.reshape(x, [T * batch, 6]), g.const(W)), [T, batch, 4])
    spikes, state, _ = g.neuron(current, "LIFState", states=[v, r], alpha=0.5)
    g.output(spikes, 3)
    g.output(state, 2)
    assert_freed(g.model(), [1, 0, 0, 1, 0])


def test_a_state_that_starts_at_a_constant_is_repeated():
    g = Graph()
    x = g.input("x", [T, 2, 4])
    start = g.const(np.tile(np.float32([0.5, 0.25, 0, 1]), (2, 1)))
    rest = g.const(np.zeros((2, 4)))
    g.output(g.neuron(x, "LIFState", states=[start, rest], alpha=0.5)[0], 3)
    assert_freed(g.model(), [1, 1])


def stateful_by_hand(start, batch):
    g = Graph()
    x = g.input("x", [3, batch, 4])
    v = g.const(start)
    outputs = []
    for t in range(3):
        v = g.op("Add", g.op("Mul", v, g.const(0.5)), g.op("Gather", x, g.const(t, np.int64)))
        outputs.append(g.op("Unsqueeze", v, g.const([0], np.int64)))
    g.output(g.op("Concat", *outputs, axis=0, name="out"), 3)
    return g.model()


def test_zeros_of_the_size_of_the_batch_become_one_sample():
    free = assert_freed(stateful_by_hand(np.zeros((2, 4)), 2), [1, 1])
    assert [1, 4] in [list(t.dims) for t in free.graph.initializer]


def test_a_state_that_was_baked_in_is_refused():
    with pytest.raises(ModelError, match="values of its own for each sample") as caught:
        free_batch(stateful_by_hand(np.arange(8).reshape(2, 4), 2), where="m.onnx")
    assert str(caught.value).startswith(
        "m.onnx holds for one batch size alone: node 'Add6' (Add) reads"
    )
    assert "\n" not in str(caught.value)


def one(build, shape, axes, batch=2):
    """Return a graph of a few operations on one input."""
    g = Graph()
    x = g.input("x", shape)
    result = build(g, x)
    g.output(result, 0)
    model = g.model()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model, axes


def ints(g, *values):
    return g.const(list(values), np.int64)


def chained(g, x):
    """What legacy exports do with a result that is filled step by step."""
    result = g.const(np.zeros((3, 2, 4)))
    for t in range(3):
        step = g.op("Gather", x, ints(g, t), axis=0)
        result = g.op("ScatterND", result, g.const([[t]], np.int64), g.op("Relu", step))
    return result


def by_element(g, x):
    places = np.full((1, 2, 4), 1)
    first = g.op("Gather", x, ints(g, 0), axis=0)
    places = g.const(places, np.int64)
    return g.op("ScatterElements", g.const(np.ones((3, 2, 4))), places, first, axis=0)


def steps(g, x):
    flat = g.reshape(x, [6, 4])
    parts = [g.op("Slice", flat, ints(g, 2 * t), ints(g, 2 * t + 2), ints(g, 0)) for t in range(3)]
    return g.op("Add", g.op("Sub", parts[2], parts[0]), parts[1])


def split_steps(g, x):
    flat = g.reshape(x, [6, 4])
    names = ["s0", "s1", "s2"]
    g.nodes.append(helper.make_node("Split", [flat, ints(g, 2, 2, 2)], names, axis=0))
    return g.op("Sub", "s0", g.op("Mul", "s1", "s2"))


def by_shape(g, x):
    """A state as large as the input says, of a constant that only the runtime computes."""
    zeros = g.op("ConstantOfShape", g.op("Shape", g.op("Gather", x, g.const(0, np.int64))))
    start = g.op("Mul", zeros, g.op("Exp", g.const(-0.5)))
    return g.op("Add", g.op("Gather", x, g.const(1, np.int64)), start)


#: A few operations, the shape of their input, and the axes of the batch before and after.
OPERATIONS = {
    "scatter chain": (chained, [3, 2, 4], [1, 1]),
    "scatter by element": (by_element, [3, 2, 4], [1, 1]),
    "slices of steps": (steps, [3, 2, 4], [1, 0]),
    "split of steps": (split_steps, [3, 2, 4], [1, 0]),
    "computed constants": (by_shape, [3, 2, 4], [1, 0]),
    "tile": (lambda g, x: g.reshape(g.op("Tile", x, ints(g, 3, 1)), [3, 2, 4]), [2, 4], [0, 1]),
    "expand": (
        lambda g, x: g.op("Expand", g.op("Unsqueeze", x, ints(g, 0)), ints(g, 5, 2, 4)),
        [2, 4],
        [0, 1],
    ),
    "joined constant": (
        lambda g, x: g.op("Concat", x, g.const(np.ones((2, 3))), axis=1),
        [2, 4],
        [0, 0],
    ),
    "constant of steps and samples": (
        lambda g, x: g.reshape(
            g.op(
                "Mul", g.reshape(x, [6, 4]), g.const(np.repeat(np.arange(12).reshape(3, 4), 2, 0))
            ),
            [3, 2, 4],
        ),
        [3, 2, 4],
        [1, 1],
    ),
    "whole slice": (
        lambda g, x: g.op("Slice", x, ints(g, 0, 1), ints(g, 2, 3), ints(g, 0, 1)),
        [2, 4],
        [0, 0],
    ),
    "backward slice": (
        lambda g, x: g.op(
            "Slice", x, ints(g, 0, -1), ints(g, 2, -(2**63)), ints(g, 0, 1), ints(g, 1, -1)
        ),
        [2, 4],
        [0, 0],
    ),
    "squeeze": (lambda g, x: g.op("Squeeze", g.op("Relu", x)), [1, 2, 4, 1], [1, 0]),
    "flatten": (lambda g, x: g.op("Flatten", x, axis=1), [2, 3, 4], [0, 0]),
    "attention": (
        lambda g, x: g.op(
            "MatMul",
            g.op("Softmax", g.op("MatMul", x, g.op("Transpose", x, perm=[0, 2, 1])), axis=2),
            x,
        ),
        [2, 3, 4],
        [0, 0],
    ),
    "heads": (
        lambda g, x: g.reshape(
            g.op("Transpose", g.reshape(x, [2, 3, 2, 2]), perm=[0, 2, 1, 3]), [4, 3, 2]
        ),
        [2, 3, 4],
        None,
    ),
    "convolution": (
        lambda g, x: g.op(
            "MaxPool",
            g.op("Conv", g.reshape(x, [6, 1, 4, 4]), g.const(np.ones((2, 1, 3, 3)))),
            kernel_shape=[2, 2],
        ),
        [3, 2, 16],
        None,
    ),
    "pad": (
        lambda g, x: g.op("Pad", x, ints(g, 0, 1, 0, 2), g.const(0.5)),
        [2, 4],
        [0, 0],
    ),
    "normalised": (
        lambda g, x: g.op("LayerNormalization", x, g.const(np.ones(4)), axis=-1),
        [2, 4],
        [0, 0],
    ),
    "condition": (
        lambda g, x: g.op("Where", g.op("Greater", x, g.const(np.zeros((2, 4)))), x, g.const(0)),
        [2, 4],
        [0, 0],
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_batch_is_followed_through(name):
    build, shape, axes = OPERATIONS[name]
    model, axes = one(build, shape, axes)
    if axes is not None:
        assert_freed(model, axes)
    else:  # batch and another axis are one in the result
        free = free_batch(model)
        assert "batch" in input_dims(free)[0]
        x = RANDOM.normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(run_float(free, {"x": x})[0], run_float(model, {"x": x})[0])


MIXES = {
    "mean over the batch": lambda g, x: g.op("ReduceMean", x, axes=[0], keepdims=1),
    "softmax over the batch": lambda g, x: g.op("Softmax", x, axis=0),
    "one sample": lambda g, x: g.op("Gather", x, g.const(1, np.int64)),
    "samples multiplied": lambda g, x: g.op("MatMul", x, g.op("Transpose", x)),
    "features into samples": lambda g, x: g.reshape(x, [3, 4]),
    "samples backward": lambda g, x: g.op(
        "Slice", x, ints(g, 1), ints(g, -5), ints(g, 0), ints(g, -1)
    ),
    "divided by the batch": lambda g, x: g.op(
        "Div", x, g.op("Cast", g.op("Gather", g.op("Shape", x), ints(g, 0)), to=TensorProto.FLOAT)
    ),
}


@pytest.mark.parametrize("name", MIXES)
def test_what_mixes_samples_is_refused(name):
    model, _ = one(MIXES[name], [2, 6], None)
    with pytest.raises(ModelError, match=r"^m\.onnx holds for one batch size alone: ") as caught:
        free_batch(model, {"x": 0}, where="m.onnx")
    assert "\n" not in str(caught.value)


def test_an_operation_that_nobody_knows_is_refused_where_the_batch_is():
    model, _ = one(lambda g, x: g.op("Det", x), [2, 3, 3], None)
    with pytest.raises(ModelError, match=r"\(Det\) is an operation through which the batch"):
        free_batch(model, {"x": 0})


def test_inputs_of_different_batches_are_refused():
    g = Graph()
    g.output(g.op("Concat", g.input("a", [2, 4]), g.input("b", [3, 4]), axis=0), 2)
    with pytest.raises(ModelError, match="holds for one batch size alone"):
        free_batch(g.model(), {"a": 0, "b": 0})


def test_an_input_beyond_memory_is_refused():
    g = Graph()
    g.output(g.op("Relu", g.input("x", [2**20, 2**20])), 2)
    with pytest.raises(ModelError, match="has more than 134217728 elements"):
        free_batch(g.model())
