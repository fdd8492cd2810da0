"""Small graphs whose time steps are written out, node by node, and what is read of them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnquant.frontends.onnx import read_proto
from snnquant.frontends.reading import Reading
from snnquant.runtime import load_session

N = 4


class Unrolled:
    """A graph of ``x [T, batch, 4]`` or ``x [batch, 4]``."""

    def __init__(self, steps: int | None = None) -> None:
        shape = ["batch", N] if steps is None else [steps, "batch", N]
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(5)

    def const(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def op(self, kind: str, *inputs: object, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        names = [i if isinstance(i, str) else self.const(i) for i in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], name=f"n_{name}", **attributes))
        return name

    def add(self, a: object, b: object) -> str:
        return self.op("Add", a, b)

    def sub(self, a: object, b: object) -> str:
        return self.op("Sub", a, b)

    def mul(self, a: object, b: object) -> str:
        return self.op("Mul", a, b)

    def above(self, h: str, threshold: object = 1.0) -> str:
        return self.op("Cast", self.op("Greater", h, threshold), to=TensorProto.FLOAT)

    def weights(self) -> str:
        return self.const(self.rng.normal(0.2, 0.5, (N, N)))

    def linear(self, value: str, weight: str) -> str:
        return self.op("MatMul", value, weight)

    def step(self, t: int) -> str:
        return self.op("Gather", "x", self.const(t, np.int64), axis=0)

    def stacked(self, values: list[str]) -> str:
        axes = self.const([0], np.int64)
        return self.op("Concat", *(self.op("Unsqueeze", v, axes) for v in values), axis=0)

    def total(self, values: list[str]) -> str:
        return self.op("ReduceSum", self.stacked(values), self.const([0], np.int64), keepdims=0)

    def model(self, *outputs: str, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            self.inputs,
            [helper.make_tensor_value_info(name, kind, None) for name in outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        return onnx.shape_inference.infer_shapes(model)


def read_and_compare(model: onnx.ModelProto) -> Reading:
    """Read a graph; its outputs are those of the source, on inputs of other sizes."""
    reading = read_proto(model, "net")
    source = load_session(model.SerializeToString(), custom_ops=False)
    ours = load_session(reading.model.SerializeToString(), custom_ops=False)
    rng = np.random.default_rng(11)
    port = source.get_inputs()[0]
    for batch, gain in ((1, 1.0), (6, 3.0)):
        shape = [d if isinstance(d, int) else batch for d in port.shape]
        feed = {port.name: (gain * rng.normal(0.4, 0.6, shape)).astype(np.float32)}
        for want, got in zip(source.run(None, feed), ours.run(None, feed), strict=True):
            assert want.dtype == got.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    return reading


def neurons(reading: Reading) -> list[onnx.NodeProto]:
    """Return the neuron nodes that were written."""
    return [node for node in reading.model.graph.node if node.domain == "snnquant"]


def parameter(reading: Reading, node: onnx.NodeProto, name: str) -> np.ndarray:
    """Return a parameter of a neuron node."""
    held = {t.name: numpy_helper.to_array(t) for t in reading.model.graph.initializer}
    (found,) = [held[i] for i in node.input if i.rpartition(".")[2] == name]
    return found
