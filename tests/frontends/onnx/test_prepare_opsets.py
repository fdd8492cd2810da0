"""Models of every opset that exporters write come to one form, and compute the same bits."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.prepare import prepare
from snnquant.ops.attach import SUPPORTED_OPSETS, standard_opset
from snnquant.runtime import load_session


class Network(torch.nn.Module):
    """Unrolled over time by hand, with the operations whose form changed between opsets."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3)
        self.drop = torch.nn.Dropout(0.3)
        self.out = torch.nn.Linear(12, 4)

    def forward(self, x):  # [T, B, 1, 4, 4]
        v, spikes = torch.zeros(x.shape[1], 3, 4, 4), []
        for step in x.unbind(0):
            h = 0.5 * v + self.norm(self.conv(step)).clamp(-3.0, 2.5)
            s = (h > 0.4).float()
            v = h * (1 - s)
            pooled = torch.nn.functional.max_pool2d(torch.nn.functional.pad(s, (0, 0, 0, 0)), 2)
            spikes.append(self.out(self.drop(pooled.flatten(1))).unsqueeze(0))
        stacked = torch.cat(spikes).sum(0, keepdim=True).squeeze(0)
        left, right = stacked.split([1, 3], 1)
        top = stacked.topk(2, 1).values
        return torch.cat([left, right, top], 1).softmax(1), stacked.mean(1)


def exported(opset):
    torch.manual_seed(3)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Network().eval(),
            torch.rand(3, 2, 1, 4, 4),
            buffer,
            opset_version=opset,
            dynamo=False,
            input_names=["x"],
        )
    return onnx.load_from_string(buffer.getvalue())


def run(model, feeds):
    return load_session(model.SerializeToString(), custom_ops=False, threads=1).run(None, feeds)


def assert_same(model, feeds):
    prepared = prepare(model, "m.onnx")
    assert standard_opset(prepared) in SUPPORTED_OPSETS
    onnx.checker.check_model(prepared, full_check=True)
    assert [v.name for v in prepared.graph.output] == [v.name for v in model.graph.output]
    for before, after in zip(run(model, feeds), run(prepared, feeds), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(after, before)
    return prepared


@pytest.mark.parametrize("opset", range(9, 21))
def test_every_opset_of_the_exporter_keeps_its_outputs(opset):
    model = exported(opset)
    assert standard_opset(model) == opset
    x = np.random.default_rng(opset).normal(size=(3, 2, 1, 4, 4)).astype(np.float32)
    assert_same(model, {"x": x})


def built(nodes, opset, inputs, outputs=("y",), tensors=(), **more):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in dict(tensors).items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def node(op, inputs, *, output="y", **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


#: One node of an old opset and the shape of its input.
OLD_NODES = {
    "softmax of all axes behind": (9, [node("Softmax", ["x"], axis=1)], (2, 3, 4)),
    "softmax of the last axis": (11, [node("LogSoftmax", ["x"], axis=2)], (2, 3, 4)),
    "softmax by default": (12, [node("Softmax", ["x"])], (2, 5)),
    "clip to one side": (9, [node("Clip", ["x"], max=0.25)], (2, 5)),
    "clip to nothing": (9, [node("Clip", ["x"])], (2, 5)),
    "squeeze all": (9, [node("Squeeze", ["x"])], (1, 5, 1)),
    "squeeze": (11, [node("Squeeze", ["x"], axes=[0])], (1, 5, 1)),
    "unsqueeze": (11, [node("Unsqueeze", ["x"], axes=[0, 2])], (3, 2)),
    "sum over all": (9, [node("ReduceSum", ["x"], keepdims=0)], (3, 2)),
    "sum": (12, [node("ReduceSum", ["x"], axes=[1])], (3, 2)),
    "slice without axes": (9, [node("Slice", ["x"], starts=[1, 0], ends=[3, 1])], (3, 2)),
    "slice": (9, [node("Slice", ["x"], starts=[1], ends=[9], axes=[-1])], (3, 2)),
    "pad": (10, [node("Pad", ["x"], pads=[0, 1, 0, 2], value=0.5)], (3, 2)),
    "upsample": (9, [node("Upsample", ["x", "s"], mode="nearest")], (1, 2, 3, 3)),
    "linear upsample": (9, [node("Upsample", ["x", "s"], mode="linear")], (1, 2, 3, 3)),
    "upsample of opset 8": (8, [node("Upsample", ["x"], scales=[1.0, 1, 2, 2])], (1, 2, 3, 3)),
    "resize": (10, [node("Resize", ["x", "s"], mode="nearest")], (1, 2, 3, 3)),
    "dropout": (11, [node("Dropout", ["x"], ratio=0.9)], (3, 2)),
    "scatter": (9, [node("Scatter", ["x", "i", "u"], axis=1)], (2, 3)),
    "opset 7": (7, [node("Add", ["x", "x"])], (2, 3)),
}  # fmt: skip
TENSORS = {
    "s": np.array([1, 1, 2, 2], np.float32),
    "i": np.array([[1], [2]], np.int64),
    "u": np.array([[5.0], [6.0]], np.float32),
}


@pytest.mark.parametrize("name", OLD_NODES)
def test_old_forms_of_an_op(name):
    opset, nodes, shape = OLD_NODES[name]
    used = {i for n in nodes for i in n.input}
    model = built(
        nodes, opset, {"x": shape}, tensors={k: a for k, a in TENSORS.items() if k in used}
    )
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert_same(model, {"x": x})


def test_top_k_of_opset_9():
    nodes = [helper.make_node("TopK", ["x"], ["y", "i"], k=2, axis=1)]
    model = built(nodes, 9, {"x": (3, 5)})
    assert_same(model, {"x": np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)})


@pytest.mark.parametrize("opset", [21, 22, 23, 24])
def test_newer_opsets_come_down(opset):
    nodes = [
        node("Cast", ["x"], output="c", to=TensorProto.FLOAT, saturate=1),
        node("Reshape", ["c", "shape"], output="r"),
        node("AveragePool", ["r"], output="a", kernel_shape=[2, 2]),
        node("Squeeze", ["a", "axes"]),
    ]
    if opset >= 24:
        nodes[0].attribute.append(helper.make_attribute("round_mode", "up"))
    tensors = {"shape": np.array([2, 1, 4, 4]), "axes": np.array([1])}
    model = built(nodes, opset, {"x": (2, 16)}, tensors=tensors)
    model.ir_version = 10
    assert_same(model, {"x": np.random.default_rng(1).normal(size=(2, 16)).astype(np.float32)})


@pytest.mark.parametrize(
    ("opset", "made", "told"),
    [
        (6, node("Relu", ["x"]), "older than 7"),
        (23, node("RMSNormalization", ["x", "s"]), "is not there"),
        (24, node("Swish", ["x"]), "is not there"),
        (20, node("NoSuchOp", ["x"]), "'NoSuchOp'"),
        (16, node("NoSuchOp", ["x"]), "'NoSuchOp'"),
        (7, node("Scan", ["x"], num_scan_inputs=1), "is not there"),
        (21, node("GroupNormalization", ["x", "s", "s"], num_groups=2), "means something else"),
        (9, node("BatchNormalization", ["x", "s", "s", "s", "s"]), "training mode"),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else str(value),
)
def test_what_cannot_be_converted_is_refused(opset, made, told):
    if made.op_type == "BatchNormalization":
        made.output.extend(["m", "v"])
    tensors = {"s": np.ones(4, np.float32)} if "s" in made.input else {}
    with pytest.raises(ModelError, match=told) as caught:
        prepare(built([made], opset, {"x": (2, 4, 3)}, tensors=tensors), "m.onnx")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("m.onnx: ")


def test_nodes_inside_a_loop_are_converted_too():
    step = [
        helper.make_node("Squeeze", ["v"], ["w"], axes=[0]),
        helper.make_node("Unsqueeze", ["w"], ["v_out"], axes=[0]),
        helper.make_node("Identity", ["cond"], ["cond_out"]),
    ]
    body = helper.make_graph(
        step,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, [1, 3]),
        ],
    )
    nodes = [helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)]
    model = built(nodes, 11, {"x": (1, 3)}, tensors={"m": np.array(2)})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3]))
    assert_same(model, {"x": np.array([[1, 2, 3]], np.float32)})
