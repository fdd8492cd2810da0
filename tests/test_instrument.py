"""Axes are found by running a model; samples are brought into its order, or refused."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph

from snnquant.errors import DataError, ModelError, NumericalError
from snnquant.input_values import as_type
from snnquant.instrument import Runner
from snnquant.passes import canonicalise


def network(kind, steps=4, batch="B", features=6):
    """An input of one of three orders; outputs [T, B, C], [B, T, C] and [B, C]."""
    g = Graph()
    if kind == "static":
        y = g.op("Unsqueeze", g.input("x", [batch, features]), g.const([0], np.int64))
        y = g.op("Expand", y, g.const([steps, 1, 1], np.int64))
    elif kind == "TB":
        y = g.input("x", [steps, batch, features])
    else:
        y = g.op("Transpose", g.input("x", [batch, steps, features]), perm=[1, 0, 2])
    y = g.op("MatMul", y, g.const(np.ones((features, 3))))
    spikes = g.neuron(y, name="n")[0]
    g.output(spikes, 3)
    g.output(g.op("Transpose", spikes, perm=[1, 0, 2], name="batch_first"), 3)
    g.output(g.op("ReduceSum", spikes, g.const([0], np.int64), keepdims=0, name="summed"), 2)
    return ir.to_proto(canonicalise(g.model()))


def runner(*arguments, extra=()):
    return Runner(network(*arguments), extra, custom_ops=False, threads=1)


AXES = [
    # kind, T, B; (batch axis, time axis) of the input; T of the layout; fixed batch
    (("static", 4, "B"), (0, None), 4, None),
    (("static", 4, 5), (0, None), 4, 5),
    (("static", 4, 1), (0, None), 4, 1),
    (("TB", 4, "B"), (1, 0), 4, None),
    (("TB", "T", "B"), (1, 0), None, None),
    (("TB", 4, 5), (1, 0), 4, 5),
    (("TB", 4, 1), (1, 0), 4, 1),
    (("TB", "T", 5), (1, 0), None, 5),
    (("TB", "T", 2), (1, 0), None, 2),
    (("BT", 4, "B"), (0, 1), 4, None),
    (("BT", "T", "B"), (0, 1), None, None),
    (("BT", 4, 5), (0, 1), 4, 5),
    (("BT", 4, 1), (0, 1), 4, 1),
    (("BT", "T", 2), (0, 1), None, 2),
]


@pytest.mark.parametrize(("form", "axes", "steps", "fixed"), AXES)
def test_axes_are_found(form, axes, steps, fixed):
    assert len(AXES) == 14
    layout = runner(*form).layout
    (entry,) = layout.inputs
    assert (entry.batch_axis, entry.time_axis) == axes
    assert [(o.batch_axis, o.time_axis) for o in layout.outputs] == [(1, 0), (0, 1), (0, None)]
    assert (layout.timesteps, layout.fixed_batch) == (steps, fixed)


@pytest.mark.parametrize("kind", ["static", "TB", "BT"])
def test_axes_that_cannot_be_told_apart_are_refused(kind):
    with pytest.raises(ModelError, match=r"fixed batch of 4 samples and 4 steps.*dynamic batch"):
        runner(kind, 4, 4)


@pytest.mark.parametrize("kind", ["TB", "BT"])
def test_one_sample_and_one_step(kind):
    run = runner(kind, 1, 1)
    values = run.run({"x": np.full((1, 1, 6), 0.5, np.float32)})
    assert [values[k].reshape(-1).tolist() for k in ("n.spikes", "summed.y")] == [[1, 1, 1]] * 2


@pytest.mark.parametrize("form", [("static", 4, "B"), ("TB", 4, "B"), ("BT", "T", "B")])
def test_batch_first_samples_reach_the_model_in_its_order(form):
    samples = np.zeros((2, 6) if form[0] == "static" else (2, 4, 6), np.float64)
    samples[1] = 1.0
    values = runner(*form, extra=["x"]).run({"x": samples})
    assert values["n.spikes"][:, 0].sum() == 0
    assert values["n.spikes"][:, 1].sum() == 12
    np.testing.assert_array_equal(values["batch_first.y"], np.moveaxis(values["n.spikes"], 0, 1))
    assert values["x"].dtype == np.float32


def test_a_model_with_one_input_takes_x_for_its_name_and_integers():
    g = Graph()
    y = g.op("MatMul", g.input("image", [2, "B", 2]), g.const(np.eye(2)))
    g.output(g.neuron(y, name="n")[0], 3)
    run = Runner(ir.to_proto(canonicalise(g.model())), custom_ops=False, threads=1)
    assert run.feeds({"x": np.ones((3, 2, 2), np.uint8)})["image"].shape == (2, 3, 2)
    with pytest.raises(DataError, match=r"no array 'image' \(it has a, b\); name the arrays"):
        run.feeds({"a": np.ones((3, 2, 2)), "b": np.ones((3, 2, 2))})


def test_several_inputs_are_taken_by_name():
    g = Graph()
    left, right = g.input("left", [2, "B", 2]), g.input("right", ["B", 2])
    repeated = g.op("Expand", right, g.op("Shape", left))
    g.output(g.neuron(g.op("Sub", left, repeated), name="n", v_threshold=0.5)[0], 3)
    run = Runner(ir.to_proto(canonicalise(g.model())), custom_ops=False, threads=1)
    assert [(i.name, i.batch_axis, i.time_axis) for i in run.layout.inputs] == [
        ("left", 1, 0),
        ("right", 0, None),
    ]
    ones, zeros = np.ones((3, 2, 2)), np.zeros((3, 2))
    assert run.run({"left": ones, "right": zeros})["n.spikes"].sum() == 12
    assert run.run({"left": ones, "right": zeros + 1})["n.spikes"].sum() == 0
    with pytest.raises(DataError, match=r"no array 'right' \(it has left\)"):
        run.run({"left": ones})


MISFITS = [
    (("TB", 4, "B"), (2, 4, 5), r"\(2, 4, 5\) do not fit input 'x' of shape \(N, 4, 6\)"),
    (("TB", 4, "B"), (2, 3, 6), r"the model takes T = 4 steps; cut or pad the sequences"),
    (("BT", 4, "B"), (2, 5, 6), r"the model takes T = 4 steps"),
    (("TB", "T", "B"), (2, 6), r"\(2, 6\) do not fit input 'x' of shape \(N, T, 6\); store the"),
    (("static", 4, "B"), (2, 4, 6), r"do not fit input 'x' of shape \(N, 6\); store the samples"),
]


@pytest.mark.parametrize(("form", "shape", "message"), MISFITS)
def test_samples_that_do_not_fit_are_refused(form, shape, message):
    assert len(MISFITS) == 5
    with pytest.raises(DataError, match=message):
        runner(*form).run({"x": np.zeros(shape, np.float32)})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_samples_that_are_no_numbers_are_refused(value):
    samples = np.zeros((2, 4, 6))
    samples[1, 2, 3] = value
    with pytest.raises(NumericalError, match="samples for input 'x' hold NaN, or values that are"):
        runner("TB").run({"x": samples})


@pytest.mark.parametrize("kind", ["TB", "BT"])
def test_a_fixed_batch_is_filled_and_the_rest_dropped(kind):
    run = runner(kind, 4, 5)
    assert run.batch_size(64) == 5
    samples = np.zeros((3, 4, 6), np.float32)
    samples[2] = 1.0
    feeds = run.feeds({"x": samples})["x"]
    batch_first = feeds if kind == "BT" else np.moveaxis(feeds, 1, 0)
    np.testing.assert_array_equal(batch_first[2:], np.ones((3, 4, 6)))
    values = run.run({"x": samples})
    assert values["n.spikes"].shape == (4, 3, 3)
    assert values["summed.y"].tolist() == [[0] * 3, [0] * 3, [4] * 3]


def test_a_batch_that_is_baked_in_is_refused():
    g = Graph()
    y = g.op("MatMul", g.reshape(g.input("x", ["B", 4, 2]), [4, 2, 2]), g.const(np.eye(2)))
    g.output(g.neuron(y)[0], 3)
    with pytest.raises(ModelError, match="runs only with 'B' = 2 although it says"):
        Runner(ir.to_proto(canonicalise(g.model())), custom_ops=False, threads=1)


def test_a_model_without_neurons_is_refused():
    g = Graph()
    g.output(g.op("Relu", g.input("x", [2, "B", 2])), 3)
    with pytest.raises(ModelError, match="no neuron node"):
        Runner(g.model(), custom_ops=False)


@pytest.mark.parametrize(
    ("dtype", "held", "wanted"),
    [
        (np.uint8, [0.0, 0.5], "hold 0.5, and the model takes uint8: whole numbers of 0 to 255"),
        (np.uint8, np.array([0, 256]), "hold 256, "),
        (np.int8, np.array([-129, 0]), "hold -129, "),
        (np.int64, [0.0, 2.0**63], "hold 9.22337e+18, "),
        (np.int32, np.array([0, 2**63], np.uint64), "hold 9.22337e+18, "),
        (bool, np.array([0, 2]), "hold 2, and the model takes bool: whole numbers of 0 to 1"),
    ],
)
def test_samples_that_integers_cannot_hold_are_refused(dtype, held, wanted):
    with pytest.raises(DataError, match="the samples for input 'x' ") as caught:
        as_type(np.asarray(held), "x", np.dtype(dtype))
    assert wanted in str(caught.value)
    with pytest.raises(NumericalError, match="NaN or infinite"):
        as_type(np.array([0, np.nan]), "x", np.dtype(dtype))


def test_samples_that_integers_can_hold_keep_their_values():
    for held in (np.array([0.0, 255.0]), np.array([0, 255], np.int64), np.array([True, False])):
        np.testing.assert_array_equal(as_type(held, "x", np.dtype(np.uint8)), held)
    assert as_type(np.array([1.0, 0.0]), "x", np.dtype(bool)).tolist() == [True, False]
    halves = as_type(np.array([0.1, 70000]), "x", np.dtype(np.float32))
    assert halves.dtype == np.float32
    with pytest.raises(NumericalError, match="infinite as float16"):
        as_type(np.array([0.1, 70000]), "x", np.dtype(np.float16))


def test_a_model_of_pixels_takes_no_fractions():
    g = Graph()
    pixels = g.op("Cast", g.input("x", [4, "B", 6]), to=1)
    g.output(g.neuron(g.op("MatMul", pixels, g.const(np.ones((6, 3)))), name="n")[0], 3)
    g.inputs[0].type.tensor_type.elem_type = 2  # uint8
    model = Runner(ir.to_proto(canonicalise(g.model())), custom_ops=False, threads=1)
    with pytest.raises(DataError, match=r"hold 0\.25, and the model takes uint8"):
        model.run({"x": np.full((2, 4, 6), 0.25, np.float32)})
    assert model.run({"x": np.full((2, 4, 6), 255.0, np.float32)})
