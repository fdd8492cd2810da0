"""Loops written out by hand and by exporters compute the same bits as copies of their bodies."""

import io
import logging
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.prepare import prepare
from snnquant.frontends.onnx.unrolling.unroll import unroll
from snnquant.runtime import load_session

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
GONE = {"Loop", "Scan", "If", "SequenceEmpty", "SequenceInsert", "ConcatFromSequence", "Optional"}


def run(model, x):
    session = load_session(model.SerializeToString(), custom_ops=False, threads=1)
    return session.run(None, {model.graph.input[0].name: x})


def assert_written_out(model, x, timesteps=None):
    prepared = prepare(model, "m.onnx")
    kept = prepared.SerializeToString()
    plain = unroll(prepared, timesteps, "m.onnx")
    assert prepared.SerializeToString() == kept
    onnx.checker.check_model(plain, full_check=True)
    assert not GONE & {node.op_type for node in plain.graph.node}
    names = [node.name for node in plain.graph.node]
    assert len(set(names)) == len(names)
    for before, after in zip(run(model, x), run(plain, x), strict=True):
        np.testing.assert_array_equal(after, before)
    return plain


def fill_list(x):
    v = torch.zeros_like(x[0])
    out = []
    for t in range(x.shape[0]):
        h = v * 0.5 + x[t]
        s = (h > 0.3).float()
        v = h * (1 - s)
        out.append(s)
    return torch.stack(out)


def fill_tensor(x):
    v = torch.zeros_like(x[0])
    out = torch.zeros_like(x)
    for t in range(x.shape[0]):
        h = v + (x[t] - v) / 2.0
        s = (h >= 0.3).float()
        v = h - s * 0.3
        out[t] = s
    return out


def nest(x):
    total = torch.zeros_like(x[0])
    for t in range(x.size(0)):
        for k in range(2):
            if t == 0:
                total = total + x[t] * float(k)
            else:
                total = total * 0.5
                total = total + x[t]
    return total.unsqueeze(0)


def count_up(x):
    v = torch.zeros_like(x[0])
    t = 0
    while t < x.size(0):
        v = v * 0.5 + x[t]
        t += 1
    return v.unsqueeze(0)


SCRIPTED = {"list": fill_list, "tensor": fill_tensor, "nested": nest, "while": count_up}


class Twice(torch.nn.Module):
    """The second loop runs as often as the first one's result is long."""

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(2)
        self.layer = layer
        self.first, self.second = torch.nn.Linear(5, 4), torch.nn.Linear(4, 3)

    def forward(self, x):  # [T, B, 5]
        return self.layer(self.second(self.layer(self.first(x)))).mean(0)


def exported(layer, dynamic, opset=17):
    buffer = io.BytesIO()
    axes = {"x": {0: "time", 1: "batch"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Twice(torch.jit.script(layer)).eval()
        torch.onnx.export(
            module,
            torch.rand(6, 2, 5),
            buffer,
            opset_version=opset,
            dynamo=False,
            input_names=["x"],
            dynamic_axes=axes,
        )
    return onnx.load_from_string(buffer.getvalue())


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float32)


@pytest.mark.parametrize("name", SCRIPTED)
@pytest.mark.parametrize("opset", [11, 17])
def test_scripted_loops(name, opset, x):
    model = exported(SCRIPTED[name], dynamic=False, opset=opset)
    assert "Loop" in {node.op_type for node in model.graph.node}
    assert_written_out(model, x)


@pytest.mark.parametrize("name", SCRIPTED)
def test_scripted_loops_over_a_dynamic_dimension(name, x):
    model = exported(SCRIPTED[name], dynamic=True)
    with pytest.raises(ModelError, match=r"m.onnx: node '.*' \(Loop\) .*--timesteps"):
        unroll(prepare(model, "m.onnx"), where="m.onnx")
    plain = assert_written_out(model, x, timesteps=6)
    dims = plain.graph.input[0].type.tensor_type.shape.dim
    assert (dims[0].dim_value, dims[1].dim_param) == (6, "batch")


def test_scan_of_the_newer_exporter(x):
    from torch._higher_order_ops.scan import scan

    class Scanned(torch.nn.Module):
        def forward(self, x):
            def step(v, current):
                h = v * 0.5 + current
                s = (h > 0.3).float()
                return h * (1 - s), s

            v, spikes = scan(step, torch.zeros(2, 5), x)
            return spikes.mean(0), v

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            program = torch.onnx.export(
                Scanned(), (torch.rand(6, 2, 5),), dynamo=True, verbose=False
            )
        finally:
            logging.disable(logging.NOTSET)
    assert "Scan" in {node.op_type for node in program.model_proto.graph.node}
    assert_written_out(program.model_proto, x)


def info(name, elem_type=FLOAT, shape=(2, 3)):
    return helper.make_tensor_value_info(name, elem_type, shape)


def built(nodes, outputs, *, shape=(4, 2, 3), tensors=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", FLOAT, shape)],
        outputs,
        [numpy_helper.from_array(np.asarray(a), n) for n, a in dict(tensors).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scan_along_any_axis_in_both_directions(axis, backward):
    shape = (4, 5, 3)
    part = [size for size in shape if size != shape[axis]]
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["v", "half"], ["w"]),
            helper.make_node("Add", ["w", "c"], ["v_out"]),
            helper.make_node("Neg", ["v_out"], ["s"]),
        ],
        "body",
        [info("v", FLOAT, part), info("c", FLOAT, part)],
        [info("v_out", FLOAT, part), info("s", FLOAT, part)],
        [numpy_helper.from_array(np.array(0.5, np.float32), "half")],
    )
    node = helper.make_node(
        "Scan",
        ["v0", "x"],
        ["last", "y"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_input_directions=[backward],
        scan_output_axes=[axis],
        scan_output_directions=[1 - backward],
    )
    model = built(
        [node],
        [info("last", FLOAT, part), info("y", FLOAT, shape)],
        shape=shape,
        tensors={"v0": np.ones(part, np.float32)},
    )
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plain = assert_written_out(model, x)
    assert sum(node.op_type == "Add" for node in plain.graph.node) == shape[axis]


def loop(nodes, carried=("v",), *, limit="m", outputs=("y",), stop="go", scans=(), more=()):
    """Return a Loop over tensors [2, 3]."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["cond"], ["go"]), *nodes],
        "body",
        [info("t", INT64, ()), info("cond", BOOL, ()), *(info(name) for name in carried)],
        [
            info(stop, BOOL, ()),
            *(info(f"{name}_out") for name in carried),
            *(info(name) for name in scans),
        ],
        list(more),
    )
    starts = ["v0"] * len(carried)
    return helper.make_node("Loop", [limit, "", *starts], list(outputs), body=body)


V0 = np.zeros((2, 3), np.float32)
STEP = [
    helper.make_node("Gather", ["x", "t"], ["c"]),
    helper.make_node("Add", ["v", "c"], ["v_out"]),
]


def test_a_weight_inside_a_body_is_kept_once():
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32) * 0.5, "w")
    nodes = [
        helper.make_node("Gather", ["x", "t"], ["c"]),
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("Mul", ["d", "two"], ["e"]),
        helper.make_node("Add", ["v", "e"], ["v_out"]),
        helper.make_node("Identity", ["e"], ["s"]),
    ]
    node = loop(nodes, outputs=("y", "z"), scans=("s",), more=[weight])
    model = built(
        [node], [info("y"), info("z", FLOAT, (4, 2, 3))], tensors={"m": np.int64(4), "v0": V0}
    )
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    plain = assert_written_out(model, x)
    assert sum(list(t.dims) == [3, 3] for t in plain.graph.initializer) == 1
    assert sum(node.op_type == "MatMul" for node in plain.graph.node) == 4


def test_a_loop_that_stops_by_count_stops():
    nodes = [*STEP, helper.make_node("Less", ["t", "two"], ["less"])]
    model = built(
        [loop(nodes, stop="less")],
        [info("y")],
        tensors={"m": np.int64(9), "v0": V0, "two": np.int64(2)},
    )
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    plain = assert_written_out(model, x)
    assert sum(node.op_type == "Add" for node in plain.graph.node) == 3


def test_a_loop_that_runs_never_hands_its_start_on():
    nodes = [loop(STEP, outputs=("z",)), helper.make_node("Add", ["z", "x"], ["y"])]
    model = built(nodes, [info("y", FLOAT, (4, 2, 3))], tensors={"m": np.int64(0), "v0": V0 + 1})
    plain = assert_written_out(model, np.ones((4, 2, 3), np.float32))
    assert [node.op_type for node in plain.graph.node] == ["Identity", "Add"]


def test_lists_are_followed_to_their_tensors():
    make = helper.make_node
    nodes = [
        make("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=0),
        make("SplitToSequence", ["x", "three"], ["halves"], axis=0),
        make("SequenceLength", ["halves"], ["two"]),
        make("SequenceAt", ["parts", "one"], ["second"]),
        make("SequenceAt", ["parts", "minus"], ["last"]),
        make("SequenceErase", ["parts", "zero"], ["fewer"]),
        make("SequenceInsert", ["fewer", "second", "zero"], ["more"]),
        make("SequenceInsert", ["more", "last"], ["most"]),
        make("SequenceInsert", ["more", "second"], ["other"]),
        make("ConcatFromSequence", ["most"], ["y"], axis=1, new_axis=1),
        make("ConcatFromSequence", ["other"], ["z"], axis=0),
        make("ConcatFromSequence", ["halves"], ["h"], axis=0),
        make("Cast", ["two"], ["n"], to=FLOAT),
        make("Mul", ["h", "n"], ["w"]),
    ]
    outputs = [info("y", FLOAT, (2, 5, 3)), info("z", FLOAT, (10, 3)), info("w", FLOAT, (4, 2, 3))]
    numbers = {"zero": 0, "one": 1, "minus": -1, "three": 3}
    model = built(nodes, outputs, tensors={k: np.int64(v) for k, v in numbers.items()})
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    assert_written_out(model, x)


def test_optionals_are_followed_to_their_tensors():
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, (4, 2, 3)))
    nodes = [
        helper.make_node("Optional", ["x"], ["some"]),
        helper.make_node("Optional", [], ["none"], type=kind.optional_type.elem_type),
        helper.make_node("OptionalHasElement", ["none"], ["has"]),
        helper.make_node("OptionalGetElement", ["some"], ["got"]),
        helper.make_node("Cast", ["has"], ["zero"], to=FLOAT),
        helper.make_node("Add", ["got", "zero"], ["y"]),
    ]
    model = built(nodes, [info("y", FLOAT, (4, 2, 3))])
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    assert_written_out(model, x)


def by_data():
    return [
        helper.make_node("ReduceMax", ["v_out"], ["top"], keepdims=0),
        helper.make_node("Less", ["top", "one"], ["less"]),
    ]


REFUSED = {
    "stops by data": (
        [loop([*STEP, *by_data()], stop="less")],
        {"m": np.int64(4)},
        "stops when data say so",
    ),
    "for ever": ([loop(STEP, limit="")], {}, "runs more than 4096 steps"),
    "too often": ([loop(STEP)], {"m": np.int64(2**40)}, "runs more than 4096 steps"),
    "runs by data": (
        [
            helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
            helper.make_node("Cast", ["top"], ["n"], to=INT64),
            loop(STEP, limit="n"),
        ],
        {},
        "runs as often as a dynamic dimension or data say",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    nodes, tensors, told = REFUSED[name]
    tensors = {"v0": V0, "one": np.float32(1), **tensors}
    model = built(nodes, [info("y")], tensors=tensors)
    with pytest.raises(ModelError, match=told) as caught:
        unroll(prepare(model, "m.onnx"), where="m.onnx")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("m.onnx: node '")


def test_loops_in_loops_do_not_multiply_without_bound():
    nodes = STEP
    for _ in range(3):
        inner = loop(nodes, outputs=("v_out",))
        inner.input[2] = "v"
        nodes = [inner]
    inner.input[2] = "v0"
    inner.output[0] = "y"
    model = built([inner], [info("y")], tensors={"v0": V0, "m": np.int64(4000)})
    with pytest.raises(ModelError, match="more than 1000000 nodes"):
        unroll(prepare(model, "m.onnx"), where="m.onnx")


def test_timesteps_that_no_dimension_decides_are_refused():
    nodes, tensors, _ = REFUSED["runs by data"]
    model = built(nodes, [info("y")], shape=("time", 2, 3), tensors={"v0": V0, **tensors})
    with pytest.raises(ModelError, match="no dimension of an input decides"):
        unroll(prepare(model, "m.onnx"), 4, "m.onnx")


def test_a_model_without_loops_stays():
    model = built([helper.make_node("Neg", ["x"], ["y"])], [info("y", FLOAT, (4, 2, 3))])
    assert unroll(model) is model
