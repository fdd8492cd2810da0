"""Merge chains of Reshape, Flatten, Squeeze and Unsqueeze that exporters write around T x B."""

from __future__ import annotations

import onnx_ir as ir

from snnquant.passes.edit import RESHAPES, constant, replace_value, shape_of


def run(model: ir.Model) -> int:
    """Merge Reshape after Reshape, and drop a Reshape that changes nothing."""
    changed = 0
    for node in list(model.graph):
        if node.op_type != "Reshape" or node.domain != "":
            continue
        source = node.inputs[0]
        if source is None:
            continue
        target = constant(node.inputs[1])
        while target is not None and 0 not in target and (inner := _reshaped(source)) is not None:
            node.replace_input_with(0, inner)
            source = inner
            changed += 1
        shapes = shape_of(source), shape_of(node.outputs[0])
        same = shapes[0] is not None and shapes[0] == shapes[1] and shapes[0].count(None) <= 1
        if same and not (source.is_graph_input() and node.outputs[0].is_graph_output()):
            if source.is_graph_output() and node.outputs[0].is_graph_output():
                continue
            replace_value(node.outputs[0], source)
            model.graph.remove(node, safe=True)
            changed += 1
    for node in reversed(list(model.graph)):
        unused = all(not out.uses() and not out.is_graph_output() for out in node.outputs)
        if node.op_type in RESHAPES and node.domain == "" and unused:
            model.graph.remove(node, safe=True)
    return changed


def _reshaped(value: ir.Value) -> ir.Value | None:
    """Return the value that another node only gives another shape, if ``value`` comes from one."""
    node = value.producer()
    if node is None or node.op_type not in RESHAPES or node.domain != "":
        return None
    return node.inputs[0]
