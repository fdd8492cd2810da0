"""Affine maps behind a synapse become part of it, wherever that changes nothing."""

import numpy as np
import pytest
from graphs import Graph, assert_canonical_equals, op_types

T = 3


def norm(g, x, channels, rng, **attributes):
    """Add a BatchNormalization of whose parameters none is neutral."""
    return g.op(
        "BatchNormalization",
        x,
        g.const(rng.normal(1, 0.2, channels)),
        g.const(rng.normal(0, 0.5, channels)),
        g.const(rng.normal(0, 0.5, channels)),
        g.const(rng.uniform(0.5, 2, channels)),
        **attributes,
    )


def finish(g, x, features, split=True):
    """Give current and spikes of a neuron over T steps."""
    if split:
        x = g.reshape(x, [T, -1, *features])
    g.output(x, len(features) + 2)
    g.output(g.neuron(x, v_threshold=0.5)[0], len(features) + 2)
    return g.model()


def compare(model, shape):
    """Compare at batch 1 and 3 and return the canonical graph."""
    rng = np.random.default_rng(1)
    canonical = None
    for batch in (1, 3):
        x = rng.normal(size=[batch if d == "B" else T * batch if d == "N" else d for d in shape])
        canonical = assert_canonical_equals(model, {"x": x.astype(np.float32)})
    return canonical


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_norm_behind_a_convolution(spatial, bias):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 2, *[4] * spatial])
    weights = [g.const(rng.normal(size=(3, 2, *[3] * spatial)))]
    if bias:
        weights.append(g.const(rng.normal(size=3)))
    y = norm(g, g.op("Conv", x, *weights), 3, rng, epsilon=1e-3)
    canonical = compare(finish(g, y, [3, *[2] * spatial]), ["N", 2, *[4] * spatial])
    assert op_types(canonical) == ["Conv", "Reshape", "LIF"]


@pytest.mark.parametrize("op", ["Gemm", "GemmT", "MatMul", "MatMulAdd"])
@pytest.mark.parametrize("bias", [False, True])
def test_norm_behind_a_matrix(op, bias):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 4])
    weight = rng.normal(size=(4, 5))
    extra = [g.const(rng.normal(size=5))] if bias and op.startswith("Gemm") else []
    if op == "GemmT":
        y = g.op("Gemm", x, g.const(weight.T), *extra, transB=1)
    else:
        y = g.op("Gemm" if op == "Gemm" else "MatMul", x, g.const(weight), *extra)
    if op == "MatMulAdd":
        y = g.op("Add", g.const(rng.normal(size=5)), y) if bias else g.op("Add", y, g.const(0.5))
    canonical = compare(finish(g, norm(g, y, 5, rng), [5]), ["N", 4])
    first = ["MatMul", "Add"] if op.startswith("MatMul") else ["Gemm"]
    assert op_types(canonical) == [*first, "Reshape", "LIF"]


def test_norm_behind_a_matrix_and_reshapes_of_time_and_batch():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [T, "B", 4])
    y = g.op("MatMul", x, g.const(rng.normal(size=(4, 5))))
    y = norm(g, g.reshape(y, [-1, 5]), 5, rng)
    canonical = compare(finish(g, y, [5]), [T, "B", 4])
    assert op_types(canonical) == ["MatMul", "Add", "Reshape", "Reshape", "LIF"]


@pytest.mark.parametrize("shape", [(5,), (1, 5), ()])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 2.0), (2.0, -0.5)])
def test_gemm_factors_and_bias_shapes(factors, shape):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 4])
    addend = g.const(rng.normal(size=shape))
    y = g.op("Gemm", x, g.const(rng.normal(size=(4, 5))), addend, alpha=factors[0], beta=factors[1])
    canonical = compare(finish(g, norm(g, y, 5, rng), [5]), ["N", 4])
    assert op_types(canonical) == ["Gemm", "Reshape", "LIF"]


def test_addend_per_row_is_kept():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [6, 4])
    y = g.op("Gemm", x, g.const(rng.normal(size=(4, 5))), g.const(rng.normal(size=(6, 1))))
    model = finish(g, norm(g, y, 5, rng), [5])
    feeds = {"x": rng.normal(size=(6, 4)).astype(np.float32)}
    canonical = assert_canonical_equals(model, feeds)
    assert op_types(canonical) == ["Gemm", "BatchNormalization", "Reshape", "LIF"]


@pytest.mark.parametrize("op", ["Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_scalar_factor(op, shape):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 4])
    y = g.op("Gemm", x, g.const(rng.normal(size=(4, 5))), g.const(rng.normal(size=5)))
    y = g.op(op, y, g.const(np.full(shape, 3.0)))
    canonical = compare(finish(g, y, [5]), ["N", 4])
    assert op_types(canonical) == ["Gemm", "Reshape", "LIF"]


def test_scalar_factor_and_bias_behind_a_flattened_map():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 2, 4, 4])
    y = g.op("Conv", x, g.const(rng.normal(size=(3, 2, 3, 3))))
    y = g.op("Add", g.reshape(y, [-1, 12]), g.const(0.5))
    canonical = compare(finish(g, g.op("Mul", y, g.const(2.0)), [12]), ["N", 2, 4, 4])
    assert op_types(canonical) == ["Conv", "Reshape", "Add", "Reshape", "LIF"]


@pytest.mark.parametrize("kind", ["vector", "constant / x", "more axes", "zero"])
def test_factors_that_are_no_scalar_map_are_kept(kind):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [6, 4])
    y = g.op("Gemm", x, g.const(rng.normal(size=(4, 5))))
    if kind == "vector":
        y = g.op("Mul", y, g.const(rng.normal(size=5)))
    elif kind == "constant / x":
        y = g.op("Div", g.const(2.0), y)
    elif kind == "zero":
        y = g.op("Mul", y, g.const(0.0))
    else:
        y = g.op("Mul", y, g.const(np.full((1, 1, 1), 2.0)))
    feeds = {"x": rng.normal(size=(6, 4)).astype(np.float32)}
    canonical = assert_canonical_equals(finish(g, y, [5]), feeds)
    assert op_types(canonical)[1] in ("Mul", "Div")


def test_weights_that_two_synapses_share_are_folded_for_each():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 4])
    weight = g.const(rng.normal(size=(4, 5)))
    left = norm(g, g.op("Gemm", x, weight), 5, rng)
    right = g.op("Mul", g.op("Gemm", x, weight), g.const(-2.0))
    plain = g.op("Gemm", x, weight)
    for value in (left, right, plain):
        finish(g, value, [5])
    canonical = compare(g.model(), ["N", 4])
    assert op_types(canonical).count("Gemm") == 3
    assert "BatchNormalization" not in op_types(canonical)
    assert "Mul" not in op_types(canonical)


@pytest.mark.parametrize("second", ["user", "graph output"])
def test_a_current_that_something_else_sees_is_not_changed(second):
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["N", 2, 4, 4])
    y = g.op("Conv", x, g.const(rng.normal(size=(3, 2, 3, 3))))
    if second == "user":
        finish(g, y, [3, 2, 2])
    else:
        g.output(y, 4)
    canonical = compare(finish(g, norm(g, y, 3, rng), [3, 2, 2]), ["N", 2, 4, 4])
    assert op_types(canonical).count("BatchNormalization") == 1


def test_norm_along_another_axis_is_kept():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [T, "B", 4])
    y = g.op("Transpose", g.op("MatMul", x, g.const(rng.normal(size=(4, 5)))), perm=[1, 0, 2])
    y = g.op("Transpose", norm(g, y, T, rng), perm=[1, 0, 2])
    canonical = compare(finish(g, y, [5], split=False), [T, "B", 4])
    assert "BatchNormalization" in op_types(canonical)


def test_training_mode_is_kept():
    rng = np.random.default_rng(0)
    g = Graph(15)
    g.opset = 17
    x = g.input("x", ["N", 4])
    y = norm(g, g.op("Gemm", x, g.const(rng.normal(size=(4, 5)))), 5, rng, training_mode=1)
    g.nodes[-1].output.extend(["running_mean", "running_var"])
    canonical = compare(finish(g, y, [5]), ["N", 4])
    assert "BatchNormalization" in op_types(canonical)
