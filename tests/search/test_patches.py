"""Rows of inputs: weights times rows are what ONNX Runtime gives, for every kind of synapse."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, run_float

from snnquant.instrument import Runner
from snnquant.lowering.integers import from_rows, to_rows
from snnquant.passes import canonicalise
from snnquant.search.rows import Axes, SynapseRows, by_time, find_axes

T, B = 5, 3
CONVOLUTIONS = [
    ((4, 6, 7), (8, 4, 3, 3), {}),
    ((4, 6, 7), (8, 4, 3, 2), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ((4, 9, 9), (8, 2, 3, 3), {"group": 2, "dilations": [2, 1]}),
    ((6, 8, 8), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    ((4, 7, 8), (2, 4, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((4, 7, 8), (2, 4, 2, 2), {"auto_pad": "SAME_LOWER"}),
    ((4, 7, 8), (2, 4, 2, 2), {"auto_pad": "VALID"}),
    ((3, 11), (5, 3, 4), {"strides": [3], "pads": [1, 2]}),
    ((2, 4, 5, 6), (3, 2, 2, 2, 2), {"strides": [1, 2, 1]}),
]


def conv_node(shape, kernel, attributes):
    g = Graph()
    x = g.input("x", [T * B, *shape])
    weight = np.random.default_rng(0).normal(size=kernel).astype(np.float32)
    g.output(g.op("Conv", x, g.const(weight), **attributes), 1 + len(shape))
    proto = g.model()
    return proto, weight, next(n for n in ir.from_proto(proto).graph if n.op_type == "Conv")


@pytest.mark.parametrize(("shape", "kernel", "attributes"), CONVOLUTIONS)
def test_patches_are_what_a_convolution_sees(shape, kernel, attributes):
    proto, weight, node = conv_node(shape, kernel, attributes)
    x = np.random.default_rng(1).normal(size=(T * B, *shape)).astype(np.float32)
    (wanted,) = run_float(proto, {"x": x})
    rows = SynapseRows(node, Axes.MERGED, most=10_000).of(x, B)
    groups, steps, count, size = rows.shape
    assert (groups, steps) == (attributes.get("group", 1), T)
    split = to_rows(weight, 0).reshape(groups, -1, size)
    found = np.einsum("gtnk,gck->tngc", rows, split).reshape(T, B, count // B, -1)
    wanted = wanted.reshape(T, B, wanted.shape[1], -1)
    assert np.allclose(found, np.moveaxis(wanted, 2, 3), atol=1e-4)


def test_few_positions_are_the_same_ones_each_time():
    _, _, node = conv_node(*CONVOLUTIONS[0])
    rows = SynapseRows(node, Axes.MERGED, most=4)
    x = np.random.default_rng(1).normal(size=(T * B, 4, 6, 7)).astype(np.float32)
    assert rows.of(x, B).shape == (1, T, B * 4, 36)
    assert np.array_equal(rows.of(x, B), rows.of(x.copy(), B))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_come_back_as_the_weights_that_they_were(axis):
    weight = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(from_rows(to_rows(weight, axis), weight.shape, axis), weight)


@pytest.mark.parametrize("batch", [1, 3, T])
@pytest.mark.parametrize("axes", list(Axes))
def test_axes_are_found_by_running(axes, batch):
    g = Graph()
    x = g.input("x", ["B", 4] if axes is Axes.STATIC else ["B", T, 4])
    y = x
    if axes in (Axes.MERGED, Axes.SEPARATE):
        y = g.op("Transpose", y, perm=[1, 0, 2])
    if axes in (Axes.MERGED, Axes.MERGED_BATCH_FIRST):
        y = g.reshape(y, [-1, 4])
    seen = g.op("Identity", y)
    current = g.op("MatMul", seen, g.const(np.ones((4, 6))))
    if axes is Axes.STATIC:
        current = g.op("Expand", g.op("Unsqueeze", current, g.const([0], np.int64)),
                       g.const([T, 1, 1], np.int64))  # fmt: skip
    elif axes is Axes.MERGED:
        current = g.reshape(current, [T, -1, 6])
    elif axes in (Axes.MERGED_BATCH_FIRST, Axes.SEPARATE_BATCH_FIRST):
        current = g.op("Transpose", g.reshape(current, [-1, T, 6]), perm=[1, 0, 2])
    g.output(g.neuron(current, name="n", alpha=0.9)[0], 3)
    model = canonicalise(g.model())
    node = next(n for n in model.graph if n.op_type == "MatMul")
    name = node.inputs[0].name
    runner = Runner(ir.to_proto(model), [name], custom_ops=False, threads=1)
    shape = (batch, 4) if axes is Axes.STATIC else (batch, T, 4)
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    found = find_axes(runner, {"x": x}, [node], T)[node]
    values = runner.call(runner.feeds({"x": x}))
    value = values[name] if name in values else runner.feeds({"x": x})[name]
    wanted = x[None] if axes is Axes.STATIC else np.moveaxis(x, 1, 0)
    assert np.array_equal(by_time(value, found, batch), wanted)
