"""A float ONNX graph under construction: names, constants, and time folded into batch and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnquant.names import take_name
from snnquant.ops import DOMAIN, OPSET_VERSION, OpSchema, attach_functions
from snnquant.ops.attach import MAX_IR_VERSION, SUPPORTED_OPSETS

Shape = tuple[int, ...]


class GraphWriter:
    """Values are names of tensors ``[T, B, ...]`` unless said otherwise."""

    def __init__(self, timesteps: int | None) -> None:
        self.timesteps = timesteps
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()
        self._lead: str | None = None
        self._results: list[tuple[str, str]] = []

    def fresh(self, hint: str) -> str:
        """Return a name that nothing has yet."""
        return take_name(hint, self._taken)

    def input(self, name: str, dims: Sequence[int | str]) -> str:
        """Declare an input."""
        name = self.fresh(name)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        return name

    def output(self, value: str, name: str, features: Shape) -> None:
        """Declare an output; the value gets its name when the model is complete."""
        name = self.fresh(name)
        self._results.append((value, name))
        steps = self.timesteps or "time"
        dims = [steps, "batch", *features]
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    def _name_results(self) -> None:
        """Call values as the outputs that they are; a value has one name, further ones copy it."""
        names: dict[str, str] = {}
        made = {value for node in self.nodes for value in node.output}
        copies = []
        for value, name in self._results:
            if value in made and value not in names:
                names[value] = name
            else:
                source = names.get(value, value)
                copies.append(helper.make_node("Identity", [source], [name], name=f"{name}.copy"))
        for node in self.nodes:
            node.input[:] = [names.get(value, value) for value in node.input]
            node.output[:] = [names.get(value, value) for value in node.output]
        self.nodes += copies

    def const(self, array: npt.NDArray[Any] | Sequence[int], name: str) -> str:
        """Add a constant: integers as int64, all else as float32."""
        held = np.asarray(array)
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused with the model
            held = held.astype(np.int64 if held.dtype.kind in "iu" else np.float32)
        name = self.fresh(name)
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(held), name))
        return name

    def op(self, op_type: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a standard node with one output."""
        name = self.fresh(name)
        value = self.fresh(f"{name}.output")
        self.nodes.append(helper.make_node(op_type, inputs, [value], name=name, **attributes))
        return value

    def neuron(
        self, schema: OpSchema, inputs: Sequence[str], name: str, choices: dict[str, int]
    ) -> tuple[str, str]:
        """Add a neuron node; return its name and its first output."""
        name = self.fresh(name)
        given: dict[str, Any] = {c.name: c.default for c in schema.attributes} | choices
        outputs = [self.fresh(f"{name}.{port.name}") for port in schema.outputs]
        self.nodes.append(
            helper.make_node(schema.name, inputs, outputs, name=name, domain=DOMAIN, **given)
        )
        return name, outputs[0]

    def merged(self, value: str, features: Shape, name: str) -> str:
        """Return a value with time folded into batch, ``[T * B, ...]``."""
        target = self.const([-1, *features], f"{name}.merged")
        return self.op("Reshape", [value, target], f"{name}.merge")

    def split(self, value: str, features: Shape, name: str) -> str:
        """Return a value ``[T * B, ...]`` as ``[T, B, ...]``."""
        if self.timesteps is not None:
            target = self.const([self.timesteps, -1, *features], f"{name}.split")
            return self.op("Reshape", [value, target], f"{name}.split")
        if self._lead is None:
            self._lead = self.op("Shape", [self.inputs[0].name], "steps", start=0, end=2)
        rest = self.const(list(features), f"{name}.features")
        target = self.op("Concat", [self._lead, rest], f"{name}.shape", axis=0)
        return self.op("Reshape", [value, target], f"{name}.split")

    def model(self) -> onnx.ModelProto:
        """Return the self-contained model; call it once."""
        self._name_results()
        graph = helper.make_graph(self.nodes, "nir", self.inputs, self.outputs, self.tensors)
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", SUPPORTED_OPSETS[0]),
                helper.make_opsetid(DOMAIN, OPSET_VERSION),
            ],
            producer_name="snnquant",
            ir_version=MAX_IR_VERSION,
        )
        attach_functions(model)
        return model
