"""A float graph under construction: nodes in order, constants by content, names that are free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.symbols import Constant
from snnquant.names import take_name
from snnquant.ops import DOMAIN, OPSET_VERSION
from snnquant.ops.attach import MAX_IR_VERSION, attach_functions, standard_opset

Array = npt.NDArray[Any]

_CAST_OUTPUTS = frozenset(
    {onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
)


class GraphBuilder:
    """Collects the nodes of a new graph.

    Args:
        opset: version of the standard ops.
        inputs, outputs: the interface; their names are taken.
    """

    def __init__(
        self,
        opset: int,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> None:
        self.opset = opset
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[str, str] = {}
        self._taken = {v.name for v in (*inputs, *outputs)}

    @classmethod
    def like(cls, model: onnx.ModelProto) -> GraphBuilder:
        """Return a builder of a graph with the opset, inputs and outputs of another."""
        held = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in held]
        return cls(standard_opset(model), inputs, model.graph.output)

    def fresh(self, hint: str) -> str:
        """Return a name that is free, made from a hint."""
        return take_name(hint or "value", self._taken, separator=".")

    def constant(self, value: Constant | Array, hint: str) -> str:
        """Return the name of an initializer that holds a constant, made only once."""
        held = value if isinstance(value, Constant) else Constant.of(value)
        if held.digest not in self._constants:
            name = self.fresh(hint)
            array = np.ascontiguousarray(held.array).reshape(held.array.shape)
            self._initializers[name] = numpy_helper.from_array(array, name)
            self._constants[held.digest] = name
        return self._constants[held.digest]

    def own_constant(self, array: Array, name: str) -> str:
        """Return the name of an initializer of its own."""
        free = self.fresh(name)
        self._initializers[free] = numpy_helper.from_array(np.asarray(array, order="C"), free)
        return free

    def integers(self, values: Sequence[int], hint: str) -> str:
        """Return the name of a list of integers, such as axes or a shape."""
        return self.constant(np.asarray(values, np.int64), hint)

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        hint: str,
        attributes: Sequence[onnx.AttributeProto] = (),
        *,
        domain: str = "",
        outputs: Sequence[str] | None = None,
        **plain: Any,
    ) -> str:
        """Append a node and return its first output; ``hint`` becomes its name.

        Args:
            op: op type.
            inputs: names of values.
            hint: name of the node, and of its output unless ``outputs`` says them.
            attributes: attributes to copy.
            domain: domain of the op.
            outputs: names of the outputs.
            plain: further attributes.
        """
        name = self.fresh(hint)
        node = helper.make_node(
            op,
            list(inputs),
            list(outputs) if outputs is not None else [self.fresh(f"{name}.output")],
            name=name,
            domain=domain,
            **plain,
        )
        node.attribute.extend(attributes)
        self.nodes.append(node)
        return str(node.output[0])

    def neuron(
        self, op: str, inputs: Sequence[str], name: str, output: str, attributes: dict[str, int]
    ) -> onnx.NodeProto:
        """Append a neuron under a name that is taken for it already, and return its node."""
        given: dict[str, Any] = dict(attributes)
        node = helper.make_node(op, list(inputs), [output], name=name, domain=DOMAIN, **given)
        self.nodes.append(node)
        return node

    def reshape(self, value: str, shape: Sequence[int], hint: str) -> str:
        """Append a Reshape."""
        target = self.integers(shape, f"{hint}.shape")
        return self.add("Reshape", [value, target], hint)

    def finish(self, results: Sequence[str], metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the model whose outputs are the given values, in order, function bodies attached.

        Args:
            results: a value per output.
            metadata: properties of the model.

        Raises:
            ModelError: an output is an input.
        """
        given = {value.name for value in self.inputs}
        same = next((value.name for value in self.outputs if value.name in given), None)
        if same is not None:
            raise ModelError(f"output '{same}' is an input, unchanged; export without it")
        # An export may name one value as several outputs.
        by_name = {v.name: (v, result) for v, result in zip(self.outputs, results, strict=True)}
        for value, result in by_name.values():
            name = self.fresh(f"{value.name}.output")
            kind = value.type.tensor_type.elem_type
            # Inside all is float32; outputs keep the types that the source gave them.
            node = helper.make_node("Identity", [result], [value.name], name=name)
            if kind in _CAST_OUTPUTS:
                node = helper.make_node("Cast", [result], [value.name], name=name, to=kind)
            self.nodes.append(node)
        graph = helper.make_graph(
            self.nodes,
            "snnquant",
            self.inputs,
            self.outputs,
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="snnquant",
            opset_imports=[
                helper.make_opsetid("", self.opset),
                helper.make_opsetid(DOMAIN, OPSET_VERSION),
            ],
        )
        model.ir_version = MAX_IR_VERSION
        helper.set_model_props(model, metadata)
        attach_functions(model)
        return model
