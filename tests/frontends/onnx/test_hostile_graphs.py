"""Graphs that are built to be read wrongly: read as they are, or refused with the true reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from unrolled import Unrolled, neurons, read_and_compare

from snnquant.errors import ModelError
from snnquant.frontends.onnx import read_proto
from snnquant.frontends.reading import SourceOptions
from snnquant.runtime import load_session

STEPS = 4


def lif(
    *,
    threshold: Callable[[int], float] = lambda t: 1.0,
    on_equal: Callable[[int], bool] = lambda t: False,
    left: Callable[[Unrolled, int, str], str] = lambda g, t, v: v,
    current: Callable[[Unrolled, str], str] = lambda g, x: x,
) -> onnx.ModelProto:
    """A layer with hard resets of which single steps may be unlike the others."""
    g = Unrolled(STEPS)
    weight, v, spikes = g.weights(), None, []
    for t in range(STEPS):
        x = g.linear(current(g, g.step(t)), weight)
        h = x if v is None else g.add(g.mul(v, 0.5), x)
        compare = "GreaterOrEqual" if on_equal(t) else "Greater"
        s = g.op("Cast", g.op(compare, h, threshold(t)), to=TensorProto.FLOAT)
        v = left(g, t, g.mul(h, g.sub(1.0, s)))
        spikes.append(s)
    return g.model(g.total(spikes))


@pytest.mark.parametrize("odd", range(STEPS))
def test_a_step_that_fires_at_the_threshold_unlike_the_others_is_refused(odd):
    with pytest.raises(ModelError, match="compare alike at every step"):
        read_proto(lif(on_equal=lambda t: t == odd), "net")


@pytest.mark.parametrize("odd", range(STEPS))
def test_a_step_with_a_slightly_different_threshold_is_refused(odd):
    with pytest.raises(ModelError, match="use one for all steps"):
        read_proto(lif(threshold=lambda t: 1.0005 if t == odd else 1.0), "net")


@pytest.mark.parametrize("odd", [1, 2])
def test_a_step_that_keeps_slightly_more_is_refused(odd):
    def left(g: Unrolled, t: int, v: str) -> str:
        return g.mul(v, 1.001 if t == odd else 1.0)

    with pytest.raises(ModelError, match="its membrane differs at step"):
        read_proto(lif(left=left), "net")


@pytest.mark.parametrize("odd", [1, 2])
def test_a_bound_that_only_one_step_has_is_refused(odd):
    def left(g: Unrolled, t: int, v: str) -> str:
        return g.op("Max", v, -1000.0) if t == odd else v

    with pytest.raises(ModelError, match="bounded from below otherwise"):
        read_proto(lif(left=left), "net")


def test_a_bound_that_all_steps_have_is_read():
    reading = read_and_compare(lif(left=lambda g, t, v: g.op("Max", v, -0.5)))
    assert [node.op_type for node in neurons(reading)] == ["ExtendedLIF"]


@pytest.mark.parametrize("on_equal", [False, True])
@pytest.mark.parametrize("size", [1e-12, 5e-10])
def test_a_threshold_beneath_rounding_is_refused(size, on_equal):
    model = lif(threshold=lambda t: size, on_equal=lambda t: on_equal)
    with pytest.raises(ModelError, match="too small to be told from rounding"):
        read_proto(model, "net")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.filterwarnings("error")
def test_an_infinite_threshold_is_refused_without_warnings(sign):
    with pytest.raises(ModelError, match="its threshold is infinite"):
        read_proto(lif(threshold=lambda t: sign * np.inf), "net")


def test_small_constants_are_kept():
    def normalised(g: Unrolled, x: str) -> str:
        # Without its constant this is 0 / 0 for an input of zeros.
        total = g.op("ReduceSum", x, g.const([1], np.int64), keepdims=1)
        return g.op("Div", x, g.add(g.op("Abs", total), 1e-10))

    model = lif(current=normalised)
    reading = read_and_compare(model)
    feed = {"x": np.zeros((STEPS, 2, 4), np.float32)}
    (found,) = load_session(reading.model.SerializeToString()).run(None, feed)
    np.testing.assert_array_equal(found, np.zeros((2, 4), np.float32))


def test_a_slice_that_takes_samples_of_a_large_batch_away_is_not_dropped():
    def cut(g: Unrolled, x: str) -> str:
        start, end, axis = (g.const([k], np.int64) for k in (0, 16, 0))
        return g.op("Slice", x, start, end, axis)

    with pytest.raises(ModelError, match="works along the batch"):
        read_proto(lif(current=cut), "net")


@pytest.mark.parametrize("last", [2**31 - 1, 2**63 - 1])
def test_a_slice_of_all_samples_is_dropped(last):
    def whole(g: Unrolled, x: str) -> str:
        start, end, axis = (g.const([k], np.int64) for k in (0, last, 0))
        return g.op("Slice", x, start, end, axis)

    read_and_compare(lif(current=whole))


def test_a_permutation_is_kept():
    def permuted(g: Unrolled, x: str) -> str:
        return g.op("Gather", x, g.const([2, 0, 3, 1], np.int64), axis=1)

    reading = read_and_compare(lif(current=permuted))
    assert len(neurons(reading)) == 1


def test_a_reversal_is_kept():
    def backwards(g: Unrolled, x: str) -> str:
        start, end, axis = (g.const([k], np.int64) for k in (-1, -(2**31), 1))
        return g.op("Slice", x, start, end, axis, start)

    read_and_compare(lif(current=backwards))


@pytest.mark.parametrize(
    "kind",
    [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL],
)
@pytest.mark.parametrize("step_by_step", [False, True])
def test_inputs_of_other_types_keep_their_cast(kind, step_by_step):
    model = lif()
    model.graph.input[0].type.tensor_type.elem_type = kind
    del model.graph.value_info[:]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    if not step_by_step:
        model.graph.node.append(helper.make_node("Cast", ["x"], ["x32"], to=TensorProto.FLOAT))
    for node in nodes:
        model.graph.node.append(node)
        if node.op_type == "Gather" and step_by_step:
            raw = f"{node.output[0]}.raw"
            to = helper.make_node("Cast", [raw], [node.output[0]], to=TensorProto.FLOAT)
            model.graph.node[-1].output[0] = raw
            model.graph.node.append(to)
        elif node.op_type == "Gather":
            model.graph.node[-1].input[0] = "x32"
    reading = read_proto(model, "net")
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    feed = {"x": (3 * np.random.default_rng(2).random((STEPS, 5, 4))).astype(dtype)}
    (want,) = load_session(model.SerializeToString()).run(None, feed)
    (got,) = load_session(reading.model.SerializeToString()).run(None, feed)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_a_model_in_another_float_type_keeps_the_types_of_its_interface(kind):
    model = lif()
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(dtype), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to":
                attribute.i = kind
    reading = read_proto(model, "net")
    feed = {"x": np.random.default_rng(2).integers(0, 4, (STEPS, 5, 4)).astype(dtype)}
    (want,) = load_session(model.SerializeToString()).run(None, feed)
    (got,) = load_session(reading.model.SerializeToString()).run(None, feed)
    assert got.dtype == want.dtype == dtype
    assert np.mean(got != want) <= (0.05 if kind == TensorProto.FLOAT16 else 0.0)


def test_an_output_that_is_an_input_is_refused():
    model = lif()
    model.graph.output.append(model.graph.input[0])
    with pytest.raises(ModelError, match="output 'x' is an input, unchanged"):
        read_proto(model, "net")


def test_a_batch_beyond_memory_is_refused():
    model = lif()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 10**9
    with pytest.raises(ModelError, match="beyond any memory"):
        read_proto(model, "net")


def test_more_steps_than_can_be_written_out_are_refused():
    g = Unrolled()
    g.inputs.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, ["batch", 4]))
    h = g.add(g.mul("v", 0.5), "x")
    s = g.above(h)
    model = g.model(s, g.sub(h, s))
    with pytest.raises(ModelError, match="100000 steps cannot be written out; give at most 4096"):
        read_proto(model, "net", SourceOptions(timesteps=100_000))
