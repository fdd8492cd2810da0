"""An exported graph as the folding reads it, and the graph that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnquant.frontends.torch.trace import CALL_DOMAIN
from snnquant.frontends.torch.translation import Array

#: Type of what neurons work on.
FLOAT = TensorProto.FLOAT


class Source:
    """The graph that torch exported: producers, constants, shapes.

    Args:
        model: the exported model.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.graph = graph
        self.producer = {out: node for node in graph.node for out in node.output if out}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input]
        self.shapes = {
            value.name: _dims(value)
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self.types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self._fixed: dict[str, bool] = {}
        for node in graph.node:
            self._learn_fixed(node)

    def _learn_fixed(self, node: onnx.NodeProto) -> None:
        # Nodes are in order, so that the inputs of each are known.
        known = all(self.is_fixed(name) for name in node.input if name)
        for out in node.output:
            self._fixed[out] = known and node.domain != CALL_DOMAIN and bool(node.input)

    def is_fixed(self, name: str) -> bool:
        """Return whether a value is the same for every input of the network."""
        return name in self.constants or self._fixed.get(name, False)

    def array(self, name: str) -> Array | None:
        """Return a constant, or None."""
        held = self.constants.get(name)
        return None if held is None else numpy_helper.to_array(held)

    def number(self, name: str) -> int | None:
        """Return a constant that is one integer, or None."""
        array = self.array(name)
        whole = array is not None and array.size == 1 and np.issubdtype(array.dtype, np.integer)
        return int(array.reshape(-1)[0]) if array is not None and whole else None

    def shape(self, name: str) -> tuple[int | str, ...] | None:
        """Return the axes of a value: numbers, or names of dynamic ones."""
        if name in self.constants:
            return tuple(self.constants[name].dims)
        return self.shapes.get(name)

    def elem_type(self, name: str) -> int:
        """Return the type of a value's elements; FLOAT where the graph does not say."""
        return int(self.types.get(name, FLOAT))

    def features(self, name: str) -> tuple[int, ...] | None:
        """Return the axes behind the batch, if all of them are fixed."""
        shape = self.shape(name)
        if not shape or any(isinstance(d, str) for d in shape[1:]):
            return None
        return tuple(int(d) for d in shape[1:])


def _dims(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims)


def attributes_of(node: onnx.NodeProto) -> dict[str, bytes]:
    """Return a node's attributes in a form that compares."""
    return {a.name: a.SerializeToString(deterministic=True) for a in node.attribute}


def ints(node: onnx.NodeProto, name: str) -> list[int]:
    """Return an attribute that is a list of integers; [] if there is none."""
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute."""
    return next((a.i for a in node.attribute if a.name == name), default)


class Written:
    """The graph that the folding writes: nodes in order, constants, shapes of new values.

    Args:
        source: the graph that is read, whose names are not taken again.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.values: list[onnx.ValueInfoProto] = []
        self._count = 0

    def fresh(self, hint: str) -> str:
        """Return a name that nothing has."""
        self._count += 1
        return f"folded.{self._count}.{hint}"

    def constant(self, array: Array, hint: str) -> str:
        """Return the name of a new constant."""
        name = self.fresh(hint)
        self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        like: onnx.NodeProto | None,
        *,
        count: int = 1,
        domain: str = "",
        attributes: Mapping[str, int | Sequence[int]] | None = None,
    ) -> list[str]:
        """Add a node and return its outputs; it tells that it comes from where ``like`` does."""
        outputs = [self.fresh(op_type.lower()) for _ in range(count)]
        made = helper.make_node(op_type, inputs, outputs, domain=domain)
        made.attribute.extend(helper.make_attribute(k, v) for k, v in (attributes or {}).items())
        if like is not None:
            made.metadata_props.extend(like.metadata_props)
        self.nodes.append(made)
        return outputs

    def copy(self, node: onnx.NodeProto, inputs: Sequence[str]) -> list[str]:
        """Add a copy of a node that reads other values, and return its outputs."""
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[:] = inputs
        made.output[:] = [self.fresh(node.op_type.lower()) if out else "" for out in node.output]
        self.nodes.append(made)
        return list(made.output)

    def describe(self, name: str, elem_type: int, shape: Sequence[int | str]) -> str:
        """Say the type and shape of a new value, and return its name."""
        self.values.append(helper.make_tensor_value_info(name, elem_type, list(shape)))
        return name

    def put_into(
        self, model: onnx.ModelProto, outputs: Sequence[str], *, without_domain: str
    ) -> None:
        """Put this graph in the place of a model's own.

        Args:
            model: keeps its inputs and outputs.
            outputs: what its outputs are now, by their names here.
            without_domain: a domain that it imports no more.
        """
        graph = model.graph
        given = {*self.source.constants, *self.source.inputs}
        taken: set[str] = set()
        for value, name in zip(graph.output, outputs, strict=True):
            if name in given or name in taken:
                # An output needs a node and a name of its own.
                value.name = self.node("Identity", [name], None)[0]
            else:
                value.name = name
            taken.add(value.name)
        del graph.node[:]
        graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in read]
        kept += [tensor for name, tensor in self.constants.items() if name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        del graph.value_info[:]
        made = {out for node in graph.node for out in node.output}
        made -= {value.name for value in graph.output}
        graph.value_info.extend(v for v in self.values if v.name in made)
        imports = [entry for entry in model.opset_import if entry.domain != without_domain]
        del model.opset_import[:]
        model.opset_import.extend(imports)
