"""Turn models in float64, float16 or bfloat16 into float32, types of inputs and outputs apart."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import Names, described, graphs_of, rename_uses
from snnquant.ops.schema import DOMAIN

_OTHER_FLOATS = frozenset({TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
#: Attributes that hold an element type.
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "stash_type", "output_dtype"})


def unify_floats(model: onnx.ModelProto, names: Names, where: str) -> None:
    """Let every float of a model be float32, in place; inputs and outputs keep their types.

    Casts stand behind inputs and before outputs of another float type.

    Raises:
        ModelError: complex or 8-bit floats.
    """
    graph = model.graph
    edges = [v for v in (*graph.input, *graph.output) if _elem_type(v) in _OTHER_FLOATS]
    for inner in graphs_of(graph):
        for index, tensor in enumerate(inner.initializer):
            if tensor.data_type in _OTHER_FLOATS:
                inner.initializer[index].CopyFrom(_as_float32(tensor))
            _check_type(tensor.data_type, f"{where}: initializer '{tensor.name}'")
        for node in inner.node:
            _convert_node(node, where)
        for value in (*inner.input, *inner.output, *inner.value_info):
            if inner is not graph or value not in edges:
                _convert_type(value.type)
    _cast_edges(graph, edges, names)


def _elem_type(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _check_type(data_type: TensorProto.DataType, what: str) -> None:
    name = TensorProto.DataType.Name(data_type)
    if name.startswith(("COMPLEX", "FLOAT8")):
        raise ModelError(f"{what} is {name.lower()}; export the model in float32")


def _convert_type(proto: onnx.TypeProto) -> None:
    """Convert the element type of a tensor, or of what a sequence or optional holds."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type" and proto.tensor_type.elem_type in _OTHER_FLOATS:
        proto.tensor_type.elem_type = TensorProto.FLOAT
    elif kind in ("sequence_type", "optional_type"):
        _convert_type(getattr(proto, kind).elem_type)


def _convert_node(node: onnx.NodeProto, where: str) -> None:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            _check_type(attribute.t.data_type, f"{where}: {described(node)}")
            if attribute.t.data_type in _OTHER_FLOATS:
                attribute.t.CopyFrom(_as_float32(attribute.t))
        elif attribute.type == onnx.AttributeProto.TYPE_PROTO:
            _convert_type(attribute.tp)
        elif (
            attribute.name in _TYPE_ATTRIBUTES
            and node.domain != DOMAIN
            and attribute.i in _OTHER_FLOATS
        ):
            attribute.i = TensorProto.FLOAT


def _as_float32(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return a tensor in float32; what float32 cannot hold becomes its largest number."""
    array = np.asarray(numpy_helper.to_array(tensor))
    limit = np.finfo(np.float32).max
    if array.dtype == np.float64:
        array = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
    return numpy_helper.from_array(array.astype(np.float32), tensor.name)


def _cast_edges(graph: onnx.GraphProto, edges: list[onnx.ValueInfoProto], names: Names) -> None:
    """Insert the casts between the types that callers see and float32."""
    if not edges:
        return
    inside = {value.name: names.new(f"{value.name}.float32") for value in edges}
    given = {value.name for value in graph.input}
    nodes = onnx.GraphProto()
    for value in graph.input:
        if value.name in inside:
            nodes.node.append(_cast(value.name, inside[value.name], TensorProto.FLOAT))
    for node in graph.node:
        rename_uses(node, inside)
        for index, name in enumerate(node.output):
            node.output[index] = inside.get(name, name)
        nodes.node.append(node)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for value in graph.output:
        if value.name in inside and value.name not in given:
            if value.name in constants:
                constants[value.name].name = inside[value.name]
            nodes.node.append(_cast(inside[value.name], value.name, _elem_type(value)))
    for value in graph.value_info:
        value.name = inside.get(value.name, value.name)
    del graph.node[:]
    graph.node.extend(nodes.node)


def _cast(source: str, result: str, elem_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], name=f"{result}.cast", to=elem_type)
