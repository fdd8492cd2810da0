"""Passes that remove what computes nothing: clean, fold_constants, fold_layout."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graphs import Graph, assert_canonical_equals, op_types, run_float
from onnx import TensorProto, helper, numpy_helper

from snnquant.errors import ModelError, PassError
from snnquant.passes import PASSES, canonicalise
from snnquant.passes.verify import verify

FEEDS = {"x": np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)}


def finish(g, y):
    g.output(g.neuron(y, v_threshold=0.2)[0], 3)
    return g.model()


def test_registry():
    names = [name for name, _ in PASSES]
    expected = ["clean", "fold_constants", "fold_layout", "fold_affine", "hoist_static"]
    assert names == [*expected, "clean_again"]


@pytest.mark.parametrize("op", ["Identity", "Dropout", "Cast", "Expand"])
def test_what_changes_nothing_is_removed(op):
    g = Graph()
    x = g.input("x", [3, 2, 4])
    if op == "Cast":
        y = g.op("Cast", x, to=TensorProto.FLOAT)
    elif op == "Expand":
        y = g.op("Expand", x, g.const([1, 1, 1], np.int64))
    elif op == "Dropout":
        y = g.op("Dropout", x, g.const(0.5), g.const(False, np.bool_))
    else:
        y = g.op(op, x)
    canonical = assert_canonical_equals(finish(g, y), FEEDS)
    assert op_types(canonical) == ["LIF"]


def test_casts_that_change_values_stay():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.op("Cast", g.op("Cast", x, to=TensorProto.INT32), to=TensorProto.FLOAT)
    assert op_types(assert_canonical_equals(finish(g, y), FEEDS)) == ["Cast", "Cast", "LIF"]


def test_an_output_keeps_its_name_when_its_identity_goes():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    spikes = g.neuron(x, v_threshold=0.2)[0]
    g.output(g.op("Identity", spikes, name="result"), 3)
    canonical = assert_canonical_equals(g.model(), FEEDS)
    assert op_types(canonical) == ["LIF"]
    assert canonical.graph.outputs[0].name == "result.y"


def test_one_value_under_two_output_names_stays_two():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    spikes = g.neuron(x, v_threshold=0.2)[0]
    g.output(spikes, 3)
    g.output(g.op("Identity", spikes), 3)
    assert op_types(assert_canonical_equals(g.model(), FEEDS)) == ["LIF", "Identity"]


def test_dropout_in_training_mode_is_refused():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.op("Dropout", x, g.const(0.5), g.const(True, np.bool_), name="drop")
    with pytest.raises(ModelError, match=r"'drop' is a Dropout in training mode; export after"):
        canonicalise(finish(g, y))


def test_dropout_whose_mask_is_used_stays():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.op("Dropout", x)
    g.nodes[-1].output.append("mask")
    g.output(g.op("Cast", "mask", to=TensorProto.FLOAT), 3)
    assert "Dropout" in op_types(assert_canonical_equals(finish(g, y), FEEDS))


def test_constants_are_computed():
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [3, "B", 4])
    weight = g.op("Transpose", g.const(rng.normal(size=(5, 4))), perm=[1, 0])
    weight = g.op("Mul", weight, g.op("Sqrt", g.const(4.0)))
    canonical = assert_canonical_equals(finish(g, g.op("MatMul", x, weight)), FEEDS)
    assert op_types(canonical) == ["MatMul", "LIF"]


def test_scalars_stay_scalars():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    index = g.op("Add", g.const(1, np.int64), g.const(1, np.int64))
    spikes = g.neuron(x, v_threshold=0.2)[0]
    g.output(g.op("Gather", spikes, index, axis=0), 2)
    canonical = assert_canonical_equals(g.model(), FEEDS)
    assert op_types(canonical) == ["LIF", "Gather"]


def test_a_shape_is_only_a_constant_where_it_is_static():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.reshape(x, [-1, 4])
    y = g.op("Reshape", g.op("Relu", y), g.op("Shape", x))
    canonical = assert_canonical_equals(finish(g, y), FEEDS)
    assert op_types(canonical) == ["Reshape", "Relu", "Reshape", "LIF"]
    target = canonical.graph[2].inputs[1]
    assert target.const_value.numpy().tolist() == [3, -1, 4]


@pytest.mark.parametrize("middle", ["Reshape", "Flatten", "Squeeze", "Unsqueeze"])
def test_chains_of_reshapes_become_one(middle):
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.op("Relu", x)
    if middle == "Reshape":
        y = g.reshape(y, [-1, 2, 2])
    elif middle == "Flatten":
        y = g.op("Flatten", y, axis=2)
    elif middle == "Unsqueeze":
        y = g.op("Unsqueeze", y, g.const([1], np.int64))
    else:
        y = g.op("Squeeze", g.op("Unsqueeze", y, g.const([3], np.int64)), g.const([3], np.int64))
    y = g.reshape(y, [3, -1, 2, 2])
    g.output(g.neuron(y, v_threshold=0.2)[0], 4)
    canonical = assert_canonical_equals(g.model(), FEEDS)
    assert op_types(canonical) == ["Relu", "Reshape", "LIF"]


def test_a_round_trip_of_reshapes_disappears():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.reshape(g.reshape(g.op("Relu", x), [-1, 4]), [3, -1, 4])
    assert op_types(assert_canonical_equals(finish(g, y), FEEDS)) == ["Relu", "LIF"]


def test_a_reshape_that_reorders_batch_and_time_stays():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.reshape(g.op("Transpose", x, perm=[1, 0, 2]), [3, -1, 4])
    canonical = assert_canonical_equals(finish(g, y), FEEDS)
    assert op_types(canonical) == ["Transpose", "Reshape", "LIF"]


@pytest.mark.parametrize("opset", [13, 16, 17, 20, 21])
def test_other_opsets_are_converted(opset):
    g = Graph(opset)
    x = g.input("x", [3, "B", 4])
    model = finish(g, g.op("MatMul", x, g.const(np.eye(4))))
    canonical = canonicalise(model)
    assert canonical.graph.opset_imports[""] == min(max(opset, 17), 20)
    (spikes,) = run_float(ir.to_proto(canonical), {"x": np.ones((3, 2, 4), np.float32)})
    assert spikes.shape == (3, 2, 4)
    assert spikes.sum() == 24


def test_functions_of_other_domains_are_inlined():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    body = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    g.nodes.append(helper.make_node("Twice", [x], ["twice"], name="twice", domain="mine"))
    model = finish(g, "twice")
    model.functions.append(body)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert op_types(assert_canonical_equals(model, FEEDS)) == ["Add", "LIF"]


def test_constant_nodes_become_initializers():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    weight = g.op("Constant", value=numpy_helper.from_array(np.eye(4, dtype=np.float32)))
    canonical = assert_canonical_equals(finish(g, g.op("MatMul", x, weight)), FEEDS)
    assert op_types(canonical) == ["MatMul", "LIF"]


def test_weights_listed_as_inputs_are_constants():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    y = g.op("Mul", g.op("MatMul", x, g.const(np.eye(4))), g.const(2.0))
    model = finish(g, y)
    for tensor in model.graph.initializer:
        listed = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(listed)
    canonical = assert_canonical_equals(model, FEEDS)
    assert op_types(canonical) == ["MatMul", "LIF"]
    assert [value.name for value in canonical.graph.inputs] == ["x"]


def test_neurons_without_names_get_one_each():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    first = g.neuron(x, v_threshold=0.2)[0]
    model = finish(g, first)
    for node in model.graph.node:
        node.name = ""
    names = [node.name for node in canonicalise(model).graph]
    assert len(names) == 2
    assert len(set(names)) == 2


# -- verify ----------------------------------------------------------------------------------------


def broken(change):
    g = Graph()
    x = g.input("x", [3, "B", 4])
    model = finish(g, g.neuron(x, name="first")[0])
    change(model.graph.node)
    return model


def test_an_unknown_neuron_is_refused():
    model = broken(lambda nodes: setattr(nodes[0], "op_type", "QuadraticLIF"))
    with pytest.raises(ModelError, match="'first': op QuadraticLIF is not in domain snnquant"):
        canonicalise(model)


def test_a_missing_input_is_refused():
    model = broken(lambda nodes: nodes[0].input.pop())
    with pytest.raises(ModelError, match=r"'first' \(LIF\) has 7 inputs, needs 8: current, alpha"):
        canonicalise(model)


def test_an_attribute_out_of_range_is_refused():
    def change(nodes):
        next(a for a in nodes[0].attribute if a.name == "reset").i = 7

    with pytest.raises(ModelError, match=r"'first' \(LIF\): attribute reset is 7, must be"):
        canonicalise(broken(change))


def test_two_neurons_of_one_name_are_refused():
    model = broken(lambda nodes: setattr(nodes[1], "name", "first"))
    with pytest.raises(ModelError, match="'first' has no name of its own"):
        canonicalise(model)


def test_a_current_without_batch_is_refused():
    g = Graph()
    g.output(g.neuron(g.input("x", [3]), name="flat")[0], 1)
    with pytest.raises(ModelError, match=r"'flat': the current has 1 axes; neurons need \[T, B"):
        canonicalise(g.model())


def test_a_pass_that_breaks_the_order_is_named():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    model = ir.from_proto(finish(g, g.op("Relu", g.op("Neg", x))))
    nodes = list(model.graph)
    model.graph.remove(nodes[0])
    model.graph.append(nodes[0])
    with pytest.raises(PassError, match=r"after my pass: 'Relu2' uses 'Neg1.y' before it exists"):
        verify(model, "my pass")


def test_models_are_not_changed_in_place():
    g = Graph()
    x = g.input("x", [3, "B", 4])
    model = finish(g, g.op("Identity", x))
    before = onnx.ModelProto()
    before.CopyFrom(model)
    canonicalise(model)
    assert model == before
