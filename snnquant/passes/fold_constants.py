"""Compute what depends on constants only, Reshape targets among it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from snnquant.passes.edit import constant, new_initializer, replace_value, shape_of

#: Cheap, deterministic operations on constants that exporters leave behind.
# fmt: off
_FOLDABLE = frozenset([
    "Abs", "Add", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal", "Exp",
    "Expand", "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Log", "Max",
    "Min", "Mul", "Neg", "Pow", "Range", "Reciprocal", "Reshape", "Shape", "Sigmoid", "Slice",
    "Softplus", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
])
# fmt: on
#: Nothing larger is computed here: a constant may not outgrow the file that it came from.
_MAX_ELEMENTS = 2**24


def run(model: ir.Model) -> int:
    """Fold constants and static Reshape targets; return how many nodes changed."""
    changed = 0
    opset = model.graph.opset_imports.get("", 17)
    for node in list(model.graph):
        if node.domain != "":
            continue
        folded = node.op_type in _FOLDABLE and _fold(model.graph, node, opset)
        if folded or (node.op_type == "Reshape" and _fix_target(model.graph, node)):
            changed += 1
    return changed


def _fold(graph: ir.Graph, node: ir.Node, opset: int) -> bool:
    """Replace one node by its value if all its inputs are constant and the result is small."""
    if not node.inputs or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
        return False
    if node.op_type == "Shape" and node.inputs[0] is not None:
        shape = shape_of(node.inputs[0])
        if shape is None or None in shape or node.attributes:
            return False
        return _replace(graph, node, np.array(shape, np.int64))
    arrays = {}
    for value in node.inputs:
        if value is None:
            continue
        array = constant(value)
        if array is None or value.name is None:
            return False
        arrays[value.name] = array
    shape = shape_of(node.outputs[0])
    if shape is None or None in shape or math.prod(d or 0 for d in shape) > _MAX_ELEMENTS:
        return False
    proto = ir.to_proto(node)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in arrays.items()
    ]
    output = helper.make_tensor_value_info(proto.output[0], TensorProto.UNDEFINED, None)
    alone = helper.make_model(
        helper.make_graph([proto], "constant", inputs, [output]),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    results: Any = ReferenceEvaluator(alone).run(None, arrays)
    return _replace(graph, node, np.asarray(results[0]))


def _replace(graph: ir.Graph, node: ir.Node, array: npt.NDArray[Any]) -> bool:
    hint = node.outputs[0].name or "constant"
    node.outputs[0].name = f"{hint}.computed"
    replace_value(node.outputs[0], new_initializer(graph, hint, array))
    graph.remove(node, safe=True)
    return True


def _fix_target(graph: ir.Graph, node: ir.Node) -> bool:
    """Write a computed Reshape target as a constant if at most one dimension is dynamic."""
    shape = shape_of(node.outputs[0])
    if constant(node.inputs[1]) is not None or shape is None or 0 in shape:
        return False
    if shape.count(None) > 1:
        return False
    target = np.array([-1 if d is None else d for d in shape], np.int64)
    node.replace_input_with(1, new_initializer(graph, f"{node.outputs[0].name}.shape", target))
    return True
