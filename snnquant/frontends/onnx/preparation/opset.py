"""Move nodes of any opset from 7 on to one in which neurons can be written.

ONNX's own converter knows neither graphs inside nodes nor foreign domains, and stops at the first
op without an adapter. Most versions of an op differ in types alone, which the schemas tell; the
rest is in ``prepare_opset_rules``.
"""

from __future__ import annotations

from functools import cache

import onnx
from onnx import defs, helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import Names, described, graphs_of
from snnquant.frontends.onnx.preparation.opset_rules import RULES, Conversion
from snnquant.ops.attach import SUPPORTED_OPSETS, standard_opset

#: Before it, broadcasting was an attribute and BatchNormalization had several forms.
OLDEST = 7

#: Versions at which an op with the same signature computes something else, and no rule rewrites it.
_CHANGED_MEANING = {
    "RoiAlign": 16,
    "GridSample": 20,
    "GroupNormalization": 21,
    "DFT": 20,
    "Range": 27,
    "PRelu": 7,
}
_REMEDY = f"export with opset {SUPPORTED_OPSETS[0]} to {SUPPORTED_OPSETS[-1]}"


def convert_opset(model: onnx.ModelProto, names: Names, where: str) -> None:
    """Bring a model and its functions to a supported opset, in place.

    Raises:
        ModelError: an opset too old, or an op whose meaning cannot be kept.
    """
    for entry in model.opset_import:
        if entry.domain == "ai.onnx":
            entry.domain = ""
    opset = standard_opset(model)
    if opset == 0:
        raise ModelError(f"{where}: the model imports no standard ops; export it again")
    wanted = min(max(opset, SUPPORTED_OPSETS[0]), SUPPORTED_OPSETS[-1])
    for graph in graphs_of(model.graph):
        _convert_nodes(graph, Conversion(opset, wanted, names, where, _ranks(graph)))
    for function in model.functions:
        own = max(
            (o.version for o in function.opset_import if o.domain in ("", "ai.onnx")), default=0
        )
        if own:
            _convert_nodes(function, Conversion(own, wanted, names, where))
            for node in function.node:
                for attribute in node.attribute:
                    if attribute.type == onnx.AttributeProto.GRAPH:
                        for graph in graphs_of(attribute.g):
                            _convert_nodes(graph, Conversion(own, wanted, names, where))
        _set_opset(function, wanted)
    _set_opset(model, wanted)


def _ranks(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the number of axes of the values of which a graph tells the shape."""
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }


def _set_opset(holder: onnx.ModelProto | onnx.FunctionProto, opset: int) -> None:
    kept = [o for o in holder.opset_import if o.domain not in ("", "ai.onnx")]
    del holder.opset_import[:]
    holder.opset_import.extend([helper.make_opsetid("", opset), *kept])


def _convert_nodes(graph: onnx.GraphProto | onnx.FunctionProto, conversion: Conversion) -> None:
    """Convert the nodes of one graph or function, not those of graphs inside them."""
    for node in graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
    if conversion.opset == conversion.wanted:
        return
    if conversion.opset < OLDEST:
        raise ModelError(
            f"{conversion.where}: opset {conversion.opset} is older than {OLDEST}; {_REMEDY}"
        )
    changed = False
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.domain:
            nodes.append(node)
            continue
        before = version_of(node.op_type, conversion.opset)
        if before is None:
            raise _unfit(node, conversion)
        if before == version_of(node.op_type, conversion.wanted):
            nodes.append(node)
            continue
        rule = RULES.get(node.op_type)
        if rule is not None and conversion.opset < rule.before:
            nodes += rule.rewrite(node, conversion)
            changed = True
        else:
            nodes.append(node)
        _check(node, conversion)
    if changed:
        kept = onnx.GraphProto()
        kept.node.extend(nodes)
        del graph.node[:]
        graph.node.extend(kept.node)


@cache
def version_of(op_type: str, opset: int) -> int | None:
    """Return the opset at which an op got the form that it has in ``opset``; None: not there."""
    if not defs.has(op_type, ""):
        return None
    try:
        schema = defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None
    return None if schema.deprecated else int(schema.since_version)


def _check(node: onnx.NodeProto, conversion: Conversion) -> None:
    """Raise ModelError if a node does not fit its op in the wanted opset, or means otherwise."""
    changed_at = _CHANGED_MEANING.get(node.op_type, 0)
    low, high = sorted((conversion.opset, conversion.wanted))
    fits = not low < changed_at <= high and version_of(node.op_type, conversion.wanted) is not None
    if fits:
        schema = defs.get_schema(node.op_type, conversion.wanted, "")
        _drop_defaults(node, schema, conversion.opset)
        fits = (
            all(a.name in schema.attributes for a in node.attribute)
            and schema.min_input <= len(node.input) <= schema.max_input
            and len(node.output) <= schema.max_output
        )
    if not fits:
        raise _unfit(node, conversion)


def _unfit(node: onnx.NodeProto, conversion: Conversion) -> ModelError:
    """Return the error for a node that cannot be written in the wanted opset."""
    return ModelError(
        f"{conversion.where}: {described(node)} of opset {conversion.opset} means something "
        f"else in opset {conversion.wanted} or is not there; {_REMEDY}"
    )


def _drop_defaults(node: onnx.NodeProto, schema: defs.OpSchema, opset: int) -> None:
    """Remove attributes that the other opset does not have, where they say what it does anyway."""
    for index in reversed(range(len(node.attribute))):
        attribute = node.attribute[index]
        if attribute.name in schema.attributes:
            continue
        own = defs.get_schema(node.op_type, opset, "").attributes.get(attribute.name)
        if own is not None and own.default_value.type == attribute.type:
            default = helper.get_attribute_value(own.default_value)
            if default == helper.get_attribute_value(attribute):
                del node.attribute[index]
