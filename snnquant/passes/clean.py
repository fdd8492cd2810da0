"""Load a model for editing, and remove what computes nothing."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from snnquant.errors import ModelError, first_line
from snnquant.ops import DOMAIN
from snnquant.ops.attach import MAX_IR_VERSION, SUPPORTED_OPSETS, standard_opset
from snnquant.passes.edit import constant, replace_value, shape_of


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model in a supported opset, in which every node has a name.

    Raises:
        ModelError: the opset cannot be converted.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _name_nodes(copy)
    opset = standard_opset(copy)
    if opset in SUPPORTED_OPSETS:
        return copy
    wanted = SUPPORTED_OPSETS[0] if opset < SUPPORTED_OPSETS[0] else SUPPORTED_OPSETS[-1]
    foreign = [o for o in copy.opset_import if o.domain not in ("", "ai.onnx")]
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(copy, wanted)
    except Exception as error:  # the C++ converter raises types of its own
        raise ModelError(
            f"opset {opset} cannot be converted to {wanted}; export with opset 17 to 20"
        ) from error
    kept = {o.domain for o in converted.opset_import}
    converted.opset_import.extend(o for o in foreign if o.domain not in kept)
    converted.functions.extend(copy.functions)
    return converted


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give nodes without a name, or with one that is taken, a new one; reports go by it."""
    taken = {node.name for node in model.graph.node}
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        # Two neurons of one name are refused later: spikes are compared by it.
        if not node.name or (node.name in seen and node.domain != DOMAIN):
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)


def load(model: onnx.ModelProto) -> ir.Model:
    """Return the onnx-ir model with foreign functions inlined and constants as initializers."""
    try:
        graph = ir.from_proto(model)
        inline = common.InlinePass(criteria=lambda function: function.domain != DOMAIN)
        graph = inline(graph).model
        # Weights that old exporters list as inputs too are constants all the same.
        common.RemoveInitializersFromInputsPass()(graph)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
        common.TopologicalSortPass()(graph)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ModelError(f"the graph is malformed: {first_line(error)}") from error
    return infer_shapes(graph)


def infer_shapes(model: ir.Model) -> ir.Model:
    """Return the model with every shape that ONNX shape inference can tell."""
    result = common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    inferred: ir.Model = result.model
    inferred.ir_version = min(inferred.ir_version or MAX_IR_VERSION, MAX_IR_VERSION)
    return inferred


def run(model: ir.Model) -> int:
    """Remove Identity, inference-time Dropout, casts to the same type, and unused nodes."""
    changed = 0
    for node in list(model.graph):
        source = node.inputs[0] if node.inputs else None
        if source is None:
            continue
        if node.op_type == "Dropout" and node.domain == "":
            training = constant(node.inputs[2]) if len(node.inputs) > 2 else None
            if training is not None and bool(training):
                raise ModelError(
                    f"node '{node.name}' is a Dropout in training mode; export after model.eval()"
                )
            if len(node.outputs) > 1 and node.outputs[1].uses():
                continue
        elif node.op_type == "Cast" and node.domain == "":
            if source.dtype is None or source.dtype != node.outputs[0].dtype:
                continue
        elif node.op_type == "Expand" and node.domain == "":
            before, after = shape_of(source), shape_of(node.outputs[0])
            if before is None or before != after or None in before:
                continue
        elif not (node.op_type == "Identity" and node.domain == ""):
            continue
        if source.is_graph_input() and node.outputs[0].is_graph_output():
            continue
        if source.is_graph_output() and node.outputs[0].is_graph_output():
            continue
        replace_value(node.outputs[0], source)
        model.graph.remove(node, safe=True)
        changed += 1
    common.RemoveUnusedNodesPass()(model)
    return changed
