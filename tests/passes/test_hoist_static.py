"""A static input is convolved once, unless time matters."""

import numpy as np
import pytest
from graphs import Graph, assert_canonical_equals, op_types

T = 3


def repeated(g, x, rank):
    """Repeat a static value over time, as exporters write it."""
    y = g.op("Unsqueeze", x, g.const([0], np.int64))
    return g.op("Expand", y, g.const([T] + [1] * rank, np.int64))


def compare(g, shape, batches=(1, 3)):
    rng = np.random.default_rng(1)
    canonical = None
    for batch in batches:
        x = rng.normal(size=[batch if d == "B" else d for d in shape]).astype(np.float32)
        canonical = assert_canonical_equals(g.model(), {"x": x})
    return canonical


def finish(g, y, rank):
    g.output(y, rank)
    g.output(g.neuron(y, v_threshold=0.5)[0], rank)


def ops_before_time(canonical):
    """Return the ops in front of the Expand, which see every sample once."""
    return op_types(canonical)[: op_types(canonical).index("Expand")]


def test_convolution_is_computed_once():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["B", 2, 6, 6])
    y = g.reshape(repeated(g, x, 4), [-1, 2, 6, 6])
    y = g.op("Conv", y, g.const(rng.normal(size=(3, 2, 3, 3))), g.const(rng.normal(size=3)))
    y = g.op("AveragePool", g.op("Relu", y), kernel_shape=[2, 2], strides=[2, 2])
    finish(g, g.reshape(y, [T, -1, 3, 2, 2]), 5)
    canonical = compare(g, ["B", 2, 6, 6])
    assert ops_before_time(canonical) == ["Conv", "Relu", "AveragePool", "Unsqueeze"]
    assert op_types(canonical)[5:] == ["LIF"]


def test_product_of_three_axes_is_computed_once():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["B", 4])
    y = g.op("MatMul", repeated(g, x, 2), g.const(rng.normal(size=(4, 5))))
    y = g.op("Add", y, g.const(rng.normal(size=5)))
    finish(g, y, 3)
    canonical = compare(g, ["B", 4])
    assert ops_before_time(canonical) == ["MatMul", "Add", "Unsqueeze"]


def test_several_users_see_the_repeated_value():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["B", 4])
    y = g.op("MatMul", repeated(g, x, 2), g.const(rng.normal(size=(4, 5))))
    first = g.neuron(g.op("Identity", y), v_threshold=0.5)[0]
    g.output(first, 3)
    finish(g, g.op("Neg", y), 3)
    canonical = compare(g, ["B", 4])
    assert ops_before_time(canonical) == ["MatMul", "Unsqueeze"]


def test_a_current_that_is_an_output_only():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["B", 4])
    g.output(g.op("MatMul", repeated(g, x, 2), g.const(rng.normal(size=(4, 5)))), 3)
    g.output(g.neuron(repeated(g, x, 2))[0], 3)
    assert op_types(compare(g, ["B", 4])).count("Expand") == 2


CASES = {
    "a weight per step": lambda g, y, rng: g.op("MatMul", y, g.const(rng.normal(size=(T, 4, 4)))),
    "a bias per step": lambda g, y, rng: g.op("Add", y, g.const(rng.normal(size=(T, 1, 4)))),
    "a bias per sample": lambda g, y, rng: g.op("Add", y, g.const(rng.normal(size=(2, 4)))),
    "an addend per row": lambda g, y, rng: g.reshape(
        g.op(
            "Gemm", g.reshape(y, [-1, 4]), g.const(np.eye(4)), g.const(rng.normal(size=(2 * T, 4)))
        ),
        [T, -1, 4],
    ),
    "a transposed matrix": lambda g, y, rng: g.reshape(
        g.op(
            "Transpose",
            g.op("Gemm", g.reshape(y, [4, -1]), g.const(np.eye(4)), transA=1),
            perm=[1, 0],
        ),
        [T, -1, 4],
    ),
    "a sum over time": lambda g, y, rng: g.op(
        "Add", y, g.op("ReduceSum", y, g.const([0], np.int64))
    ),
    "a cumulative sum": lambda g, y, rng: g.op("CumSum", y, g.const(0, np.int64)),
    "a mean over steps": lambda g, y, rng: g.op(
        "Expand", g.op("ReduceMean", y, axes=[0], keepdims=1), g.const([T, 1, 1], np.int64)
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_depends_on_time_is_not_moved(case):
    assert len(CASES) == 8
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [2, 4])
    finish(g, CASES[case](g, repeated(g, x, 2), rng), 3)
    canonical = compare(g, [2, 4], batches=(2,))
    assert ops_before_time(canonical) == ["Unsqueeze"]


def test_a_repetition_of_samples_is_not_one_of_steps():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [1, 4])
    y = g.op("Unsqueeze", x, g.const([0], np.int64))
    y = g.op("Expand", y, g.const([T, 2, 4], np.int64))
    finish(g, g.op("MatMul", y, g.const(rng.normal(size=(4, 5)))), 3)
    assert ops_before_time(compare(g, [1, 4], batches=(1,))) == ["Unsqueeze"]
