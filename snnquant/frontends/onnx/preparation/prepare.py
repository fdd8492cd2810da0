"""Bring any ONNX model to the form in which neurons are looked for."""

from __future__ import annotations

import onnx

from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.preparation.branches import resolve_branches
from snnquant.frontends.onnx.preparation.graph import (
    inline_functions,
    normalise_constants,
    sort_nodes,
)
from snnquant.frontends.onnx.preparation.names import Names, graphs_of
from snnquant.frontends.onnx.preparation.opset import convert_opset
from snnquant.frontends.onnx.preparation.refusals import refuse
from snnquant.frontends.onnx.preparation.shapes import MALFORMED, infer_shapes
from snnquant.frontends.onnx.preparation.types import unify_floats
from snnquant.ops.attach import MAX_IR_VERSION, standard_opset


def prepare(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return a copy of a model in the one form that the recogniser reads.

    The copy is in a supported opset, float32, sorted, without dead nodes, without functions but
    for the nodes of neurons, without an If whose condition is known. Every constant, of graphs
    inside nodes too, is an initializer of the main graph; every node has a name of its own; shapes
    are inferred. Inputs and outputs keep names and types: casts stand at the edges where the model
    was in another float type. For a float32 model the outputs are the same to the bit.

    Args:
        model: any model.
        where: words for the model in messages, such as its path.

    Raises:
        ModelError: the graph is malformed, or holds what cannot be read: foreign ops, random
            numbers, nodes in training mode, an opset that cannot be converted.
    """
    try:
        return _prepare(model, where)
    except MALFORMED as error:
        raise ModelError(
            f"{where}: the graph is malformed: {first_line(error)}; export the model again"
        ) from error


def _prepare(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = min(copy.ir_version, MAX_IR_VERSION) or MAX_IR_VERSION
    names = Names(copy)
    _name_nodes(copy, names)
    opset = standard_opset(copy)
    if all(standard_opset(function) in (0, opset) for function in copy.functions):
        # Bodies may take attributes of their calls, which only inlining puts there.
        copy = inline_functions(copy, where)
        names = Names(copy)
    convert_opset(copy, names, where)
    if copy.functions:
        copy = inline_functions(copy, where)
        names = Names(copy)
    _name_nodes(copy, names)
    normalise_constants(copy, names, where)
    sort_nodes(copy.graph, where)
    refuse(copy, where)
    unify_floats(copy, names, where)
    infer_shapes(copy, where)
    while resolve_branches(copy.graph, names, where):
        sort_nodes(copy.graph, where)
        infer_shapes(copy, where)
    return copy


def _name_nodes(model: onnx.ModelProto, names: Names) -> None:
    """Give nodes without a name, or with one that another node has, a new one."""
    seen: set[str] = set()
    for graph in graphs_of(model.graph):
        for node in graph.node:
            if not node.name or node.name in seen:
                node.name = names.new(node.name or node.op_type)
            seen.add(node.name)
