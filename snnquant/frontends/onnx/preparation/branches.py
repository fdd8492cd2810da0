"""Resolve If nodes whose condition is known before the model runs."""

from __future__ import annotations

import onnx
from onnx import helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import Names, attribute_of, copy_body, described
from snnquant.frontends.onnx.preparation.values import KnownValues


def resolve_branches(graph: onnx.GraphProto, names: Names, where: str) -> int:
    """Replace each If with a constant condition by the branch taken, in place.

    Returns:
        How many were replaced.
    """
    if not any(node.op_type == "If" and not node.domain for node in graph.node):
        return 0
    known = KnownValues(graph)
    kept = onnx.GraphProto()
    replaced = 0
    for node in graph.node:
        condition = known.value(node.input[0]) if _is_if(node) else None
        if condition is None or condition.size != 1:
            kept.node.append(node)
            continue
        kept.node.extend(taken_branch(node, bool(condition.item()), names, where))
        replaced += 1
    if replaced:
        del graph.node[:]
        graph.node.extend(kept.node)
    return replaced


def _is_if(node: onnx.NodeProto) -> bool:
    return node.op_type == "If" and not node.domain and len(node.input) == 1


def taken_branch(
    node: onnx.NodeProto, condition: bool, names: Names, where: str
) -> list[onnx.NodeProto]:
    """Return the nodes of one branch of an If, and Identity nodes that name its outputs."""
    attribute = attribute_of(node, "then_branch" if condition else "else_branch")
    if attribute is None or len(attribute.g.output) != len(node.output):
        raise ModelError(f"{where}: {described(node)} is malformed; export the model again")
    copies, mapping = copy_body(attribute.g, {}, names, "")
    for value, name in zip(attribute.g.output, node.output, strict=True):
        if name:
            source = mapping.get(value.name, value.name)
            copies.append(helper.make_node("Identity", [source], [name], name=names.new(name)))
    return copies
