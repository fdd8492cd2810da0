"""What preparation makes of functions, branches, types, constants - and what it refuses."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.prepare import prepare
from snnquant.runtime import load_session

FLOAT = TensorProto.FLOAT
X = np.array([[1.5, -2.0, 0.25], [0.5, 4.0, -1.0]], np.float32)


def info(name, elem_type=FLOAT, shape=(2, 3)):
    return helper.make_tensor_value_info(name, elem_type, shape)


def built(nodes, *, inputs=None, outputs=None, tensors=(), opset=17, imports=(), functions=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x")] if inputs is None else inputs,
        [info("y")] if outputs is None else outputs,
        [numpy_helper.from_array(np.asarray(a), n) for n, a in dict(tensors).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in imports)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=9)


def run(model, **feeds):
    session = load_session(model.SerializeToString(), custom_ops=False, threads=1)
    return session.run(None, feeds or {"x": X})


def assert_same(model, **feeds):
    kept = model.SerializeToString()
    prepared = prepare(model, "m.onnx")
    assert model.SerializeToString() == kept
    onnx.checker.check_model(prepared, full_check=True)
    for before, after in zip(run(model, **feeds), run(prepared, **feeds), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(after, before)
    return prepared


def op_types(model):
    return [node.op_type for node in model.graph.node]


def refused(model, told):
    with pytest.raises(ModelError, match=told) as caught:
        prepare(model, "m.onnx")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("m.onnx: ")


def function(name, nodes, domain="my.own", opset=17, imports=()):
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in imports)]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, opsets)


def call(name, source, result, domain="my.own"):
    return helper.make_node(name, [source], [result], domain=domain)


def test_functions_are_inlined_each_from_its_own_opset():
    squeeze = helper.make_node("ReduceSum", ["a"], ["b"], axes=[1])
    functions = [
        function("Inner", [squeeze], opset=11),
        function("Outer", [call("Inner", "a", "m"), call("Inner", "m", "b")], imports=["my.own"]),
    ]
    model = built(
        [call("Outer", "x", "y")],
        outputs=[info("y", FLOAT, (2, 1))],
        imports=["my.own"],
        functions=functions,
    )
    prepared = prepare(model, "m.onnx")
    assert op_types(prepared) == ["ReduceSum", "ReduceSum"]
    assert [o.domain for o in prepared.opset_import] == [""]
    np.testing.assert_array_equal(run(prepared)[0], X.sum(1, keepdims=True))


def test_functions_take_attributes_of_their_calls():
    squeeze = helper.make_node("ReduceSum", ["a"], ["b"])
    squeeze.attribute.append(
        onnx.AttributeProto(name="axes", ref_attr_name="along", type=onnx.AttributeProto.INTS)
    )
    made = function("F", [squeeze], opset=11)
    made.attribute.append("along")
    node = call("F", "x", "y")
    node.attribute.append(helper.make_attribute("along", [1]))
    shape = info("y", FLOAT, (2, 1))
    model = built([node], outputs=[shape], imports=["my.own"], functions=[made], opset=11)
    np.testing.assert_array_equal(run(prepare(model, "m.onnx"))[0], X.sum(1, keepdims=True))


def test_a_function_that_calls_itself_is_refused():
    again = function("F", [call("F", "a", "b")], imports=["my.own"])
    refused(
        built([call("F", "x", "y")], imports=["my.own"], functions=[again]), "'my.own' calls itself"
    )


def test_functions_that_multiply_are_refused():
    functions = [
        function(
            f"F{k}",
            [call(f"F{k + 1}", "a", "m"), call(f"F{k + 1}", "m", "b")],
            imports=["my.own"],
        )
        for k in range(40)
    ]
    functions.append(function("F40", [helper.make_node("Neg", ["a"], ["b"])]))
    refused(
        built([call("F0", "x", "y")], imports=["my.own"], functions=functions), "more than 1000000"
    )


def branch(op, name):
    return helper.make_graph([helper.make_node(op, ["x"], ["b"])], name, [], [info("b")])


def test_a_branch_that_shapes_decide_is_taken():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["size"]),
        helper.make_node("Equal", ["size", "two"], ["is_two"]),
        helper.make_node(
            "If", ["is_two"], ["y"], then_branch=branch("Neg", "t"), else_branch=branch("Abs", "e")
        ),
    ]
    prepared = assert_same(built(nodes, tensors={"zero": 0, "two": 2}))
    assert op_types(prepared) == ["Neg", "Identity"]


def test_a_branch_inside_a_branch_is_taken():
    inner = helper.make_node(
        "If", ["no"], ["b"], then_branch=branch("Neg", "t"), else_branch=branch("Abs", "e")
    )
    outer = helper.make_graph([inner], "outer", [], [info("b")])
    node = helper.make_node("If", ["yes"], ["y"], then_branch=outer, else_branch=branch("Exp", "e"))
    prepared = assert_same(built([node], tensors={"yes": True, "no": False}))
    assert [op for op in op_types(prepared) if op != "Identity"] == ["Abs"]


def test_a_branch_that_data_decide_stays():
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["is"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["is"], ["y"], then_branch=branch("Neg", "t"), else_branch=branch("Abs", "e")
        ),
    ]
    assert "If" in op_types(assert_same(built(nodes)))


@pytest.mark.parametrize(
    ("elem_type", "dtype"),
    [
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    ],
)
def test_other_floats_become_float32_and_the_interface_stays(elem_type, dtype):
    step = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["b"])], "t", [], [info("b", elem_type)]
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Cast", ["whole"], ["back"], to=elem_type),
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["c"], then_branch=step, else_branch=step),
        helper.make_node("Add", ["back", "c"], ["y"]),
        helper.make_node("Identity", ["y"], ["z"]),
    ]
    model = built(
        nodes,
        inputs=[info("x", elem_type)],
        outputs=[info("y", elem_type), info("z", elem_type), info("whole", TensorProto.INT32)],
        tensors={"half": np.array(0.5).astype(dtype)},
        opset=13,
    )
    prepared = prepare(model, "m.onnx")
    onnx.checker.check_model(prepared, full_check=True)
    assert all(t.data_type not in (elem_type,) for t in prepared.graph.initializer)
    types = {v.name: v.type.tensor_type.elem_type for v in prepared.graph.output}
    assert types == {"y": elem_type, "z": elem_type, "whole": TensorProto.INT32}
    assert prepared.graph.input[0].type.tensor_type.elem_type == elem_type
    inner = {v.name: v.type.tensor_type.elem_type for v in prepared.graph.value_info}
    assert inner["x.float32"] == inner["y.float32"] == FLOAT
    if dtype is not ml_dtypes.bfloat16:  # numpy cannot hand bfloat16 to ONNX Runtime
        y, z, _ = run(prepared, x=X.astype(dtype))
        np.testing.assert_array_equal(y, (X.astype(np.int32) + X * 0.5).astype(dtype))
        np.testing.assert_array_equal(z, y)


def test_numbers_beyond_float32_become_its_largest():
    nodes = [helper.make_node("Clip", ["x", "low"], ["y"])]
    model = built(
        nodes,
        inputs=[info("x", TensorProto.DOUBLE)],
        outputs=[info("y", TensorProto.DOUBLE)],
        tensors={"low": np.array(-np.finfo(np.float64).max)},
    )
    np.testing.assert_array_equal(run(prepare(model, "m"), x=X.astype(np.float64))[0], X)


def test_every_form_of_constant_becomes_an_initializer():
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("", FLOAT, [2], [3.0, 4.0]),
        helper.make_tensor("", TensorProto.INT64, [2], [1, 5]),
        [2, 3],
    )
    pairs = helper.make_sparse_tensor(
        helper.make_tensor("pairs", FLOAT, [1], [9.0]),
        helper.make_tensor("", TensorProto.INT64, [1, 2], [1, 0]),
        [2, 3],
    )
    made = {
        "f": {"value_float": 0.5},
        "fs": {"value_floats": [1.0, 2.0, 3.0]},
        "i": {"value_int": 1},
        "is": {"value_ints": [2, 3]},
        "s": {"sparse_value": sparse},
    }
    nodes = [helper.make_node("Constant", [], [k], **a) for k, a in made.items()]
    nodes += [
        helper.make_node("Mul", ["x", "f"], ["a"]),
        helper.make_node("Add", ["a", "fs"], ["b"]),
        helper.make_node("Add", ["b", "s"], ["c"]),
        helper.make_node("Add", ["c", "pairs"], ["d"]),
        helper.make_node("Reshape", ["d", "is"], ["e"]),
        helper.make_node("Gather", ["e", "i"], ["y"]),
    ]
    model = built(nodes, outputs=[info("y", FLOAT, (3,))])
    model.graph.sparse_initializer.append(pairs)
    prepared = prepare(model, "m.onnx")
    onnx.checker.check_model(prepared, full_check=True)
    assert op_types(prepared) == ["Mul", "Add", "Add", "Add", "Reshape", "Gather"]
    assert {t.name for t in prepared.graph.initializer} == {*made, "pairs"}
    expected = X[1] * 0.5 + [1, 2, 3] + [0, 0, 4] + [9, 0, 0]
    np.testing.assert_array_equal(run(prepared)[0], expected.astype(np.float32))


def test_a_sparse_tensor_cannot_claim_memory():
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("w", FLOAT, [1], [3.0]),
        helper.make_tensor("", TensorProto.INT64, [1], [1]),
        [2**40],
    )
    model = built([helper.make_node("Add", ["x", "w"], ["y"])])
    model.graph.sparse_initializer.append(sparse)
    refused(model, "'w' has 1099511627776 elements")


def test_weights_that_are_inputs_too_become_constants():
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    model = built([node], inputs=[info("x"), info("w", FLOAT, (3,))], tensors={"w": X[0]})
    prepared = assert_same(model)
    assert [v.name for v in prepared.graph.input] == ["x"]


def test_nodes_are_sorted_named_and_alive():
    nodes = [
        helper.make_node("Neg", ["a"], ["y"], name="same"),
        helper.make_node("Abs", ["x"], ["a"], name="same"),
        helper.make_node("Exp", ["x"], ["nobody_reads_it"]),
    ]
    prepared = prepare(built(nodes), "m.onnx")
    assert op_types(prepared) == ["Abs", "Neg"]
    assert len({node.name for node in prepared.graph.node}) == 2
    np.testing.assert_array_equal(run(prepared)[0], -np.abs(X))


def test_shapes_are_inferred():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = built(
        nodes,
        inputs=[info("x", FLOAT, ("B", 3))],
        outputs=[info("y", FLOAT, None)],
        tensors={"w": np.ones((3, 70), np.float32)},
    )
    prepared = prepare(model, "m.onnx")
    assert {v.name for v in prepared.graph.value_info} == {"h"}
    dims = prepared.graph.output[0].type.tensor_type.shape.dim
    assert (dims[0].dim_param, dims[1].dim_value) == ("B", 70)


def claiming(name, dims):
    model = built([helper.make_node("Add", ["x", name], ["y"])], tensors={name: X})
    model.graph.initializer[0].dims[:] = dims
    return model


def external(name):
    model = claiming(name, [2, 3])
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


def dropout(training):
    return [helper.make_node("Dropout", ["x", "ratio", training], ["y"])]


FLAGS = {"ratio": np.float32(0.5), "yes": True, "no": False, "zero": np.int64(0)}
REFUSED = {
    "spikingjelly": (
        built([call("LIF", "x", "y", "snn")], imports=["snn"]),
        r"\(LIF\) is an op of the foreign domain 'snn'.*dynamo=True.*--model and --checkpoint",
    ),
    "optimised": (
        built([call("FusedMatMul", "x", "y", "com.microsoft")], imports=["com.microsoft"]),
        "before ONNX Runtime optimised it",
    ),
    "unknown domain": (
        built([call("Foo", "x", "y", "acme")], imports=["acme"]),
        r"\(Foo\) is an op of the foreign domain 'acme'",
    ),
    "dropout": (built(dropout("yes"), tensors=FLAGS), r"\(Dropout\) is in training mode"),
    "dropout by input": (
        built(
            dropout("flag"),
            inputs=[info("x"), info("flag", TensorProto.BOOL, ())],
            tensors={"ratio": np.float32(0.5)},
        ),
        "export after model.eval",
    ),
    "normalisation": (
        built(
            [
                helper.make_node(
                    "BatchNormalization",
                    ["x", "w", "w", "w", "w"],
                    ["y", "m", "v"],
                    training_mode=1,
                )
            ],
            tensors={"w": np.ones(3, np.float32)},
        ),
        r"\(BatchNormalization\) is in training mode",
    ),
    "random": (
        built([helper.make_node("RandomUniformLike", ["x"], ["y"])]),
        "draws random numbers",
    ),
    "sequence": (
        built(
            [helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)],
            inputs=[helper.make_tensor_sequence_value_info("s", FLOAT, (1, 3))],
        ),
        "'s' is no tensor but sequence",
    ),
    "text": (
        built(
            [helper.make_node("Identity", ["x"], ["y"])],
            inputs=[info("x", TensorProto.STRING)],
            outputs=[info("y", TensorProto.STRING)],
        ),
        "'x' holds text",
    ),
    "cycle": (
        built(
            [
                helper.make_node("Add", ["x", "b"], ["a"], name="first"),
                helper.make_node("Neg", ["a"], ["b"]),
                helper.make_node("Neg", ["a"], ["y"]),
            ]
        ),
        "the graph has a cycle, and node 'first' ",
    ),
    "disconnected": (
        built([helper.make_node("Neg", ["w"], ["y"])], tensors={"w": X}),
        "do not depend on any input",
    ),
    "no origin": (
        built([helper.make_node("Add", ["x", "ghost"], ["y"])]),
        "reads 'ghost', which nothing computes",
    ),
    "no origin inside": (
        built(
            [
                helper.make_node(
                    "If",
                    ["yes"],
                    ["y"],
                    then_branch=helper.make_graph(
                        [helper.make_node("Add", ["x", "ghost"], ["b"])], "t", [], [info("b")]
                    ),
                    else_branch=branch("Abs", "e"),
                )
            ],
            tensors={"yes": True},
        ),
        "reads 'ghost', which nothing computes",
    ),
    "two origins": (
        built([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]),
        "'y' is computed twice",
    ),
    "no opset": (
        helper.make_model(
            helper.make_graph([], "g", [info("x")], [info("y")]),
            opset_imports=[helper.make_opsetid("acme", 1)],
        ),
        "imports no standard ops",
    ),
    "empty input": (
        built([helper.make_node("Neg", ["x"], ["y"])], inputs=[info("x", FLOAT, (0, 3))]),
        r"input 'x' has the shape \[0, 3\], which is empty",
    ),
    "endless input": (
        built([helper.make_node("Neg", ["x"], ["y"])], inputs=[info("x", FLOAT, (2**40,))]),
        "beyond any memory",
    ),
    "wrong size": (
        claiming("w", [2**40]),
        "the tensor 'w' holds less or more than its shape says",
    ),
    "external": (external("w"), "the data of 'w' is not loaded"),
    "complex": (
        built(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            tensors={"w": np.ones(3, np.complex64)},
        ),
        "initializer 'w' is complex64",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_and_where(name):
    refused(*REFUSED[name])


def test_dropout_that_is_off_is_read():
    assert_same(built(dropout("no"), tensors=FLAGS))
    late = [helper.make_node("Cast", ["zero"], ["late"], to=TensorProto.BOOL), *dropout("late")]
    assert_same(built(late, tensors=FLAGS))


def test_a_graph_may_be_deeper_than_any_recursion():
    count = 20_000
    chain = [helper.make_node("Add", [f"v{k}", "x"], [f"v{k + 1}"]) for k in range(count)]
    chain[0].input[0] = "x"
    chain[-1].output[0] = "y"
    assert len(prepare(built(chain), "m.onnx").graph.node) == count
