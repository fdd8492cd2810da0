"""Make a model self-contained: carry the function body of every snnquant op that it uses."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper

from snnquant.errors import ModelError
from snnquant.ops.function import Structure, function_body, structure_of
from snnquant.ops.schema import DOMAIN, OPSET_VERSION, OpSchema, schemas

#: Versions of the standard ops in which function bodies can be written.
SUPPORTED_OPSETS = range(17, 21)
#: Metadata: the number of time steps, where the graph fixes it.
TIMESTEPS_KEY = "snnquant.timesteps"
#: A float op of as many steps, or fewer, is written out in its body rather than as a Scan.
MAX_WRITTEN_STEPS = 128
#: Newest IR version that ONNX Runtime 1.17 reads.
MAX_IR_VERSION = 9


def standard_opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard ops that the model imports (0: none)."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def walk(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from walk(attribute.g)


def node_attributes(node: onnx.NodeProto, schema: OpSchema) -> dict[str, int]:
    """Return a node's attributes, all of them and each within its range, or raise ModelError."""
    given = {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}
    found = {}
    for choice in schema.attributes:
        value = given.get(choice.name)
        if value is None or not choice.low <= value <= choice.high:
            raise ModelError(
                f"node '{node.name}' ({node.op_type}): attribute {choice.name} is {value}, must be "
                f"an integer from {choice.low} to {choice.high} ({choice.doc})"
            )
        found[choice.name] = int(value)
    return found


def _written_steps(model: onnx.ModelProto, schema: OpSchema) -> int | None:
    """Return the number of steps to write out in an op's body; None: a Scan over any number."""
    if schema.integer or schema.stateful:
        return None
    held = next((p.value for p in model.metadata_props if p.key == TIMESTEPS_KEY), "")
    return int(held) if held.isdecimal() and 0 < int(held) <= MAX_WRITTEN_STEPS else None


def attach_functions(model: onnx.ModelProto) -> None:
    """Attach the function bodies that the model's snnquant nodes need, replacing older ones.

    Raises:
        ModelError: an unknown op of the domain, a bad attribute, or an unsupported opset.
    """
    opset = standard_opset(model)
    if opset not in SUPPORTED_OPSETS:
        raise ModelError(
            f"the model uses opset {opset}; neuron ops need opset "
            f"{SUPPORTED_OPSETS[0]} to {SUPPORTED_OPSETS[-1]}"
        )
    for entry in model.opset_import:
        if entry.domain == DOMAIN and entry.version > OPSET_VERSION:
            raise ModelError(
                f"the model uses version {entry.version} of domain {DOMAIN}, this is version "
                f"{OPSET_VERSION}; update snnquant"
            )
    used: dict[str, set[Structure]] = {}
    for node in walk(model.graph):
        if node.domain != DOMAIN:
            continue
        schema = schemas().get(node.op_type)
        if schema is None:
            raise ModelError(
                f"node '{node.name}': op {node.op_type} is not in domain {DOMAIN}; "
                "the model may come from a newer snnquant"
            )
        used.setdefault(node.op_type, set()).add(
            structure_of(schema, node_attributes(node, schema))
        )
    kept = [f for f in model.functions if f.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend(kept)
    for name in sorted(used):
        schema = schemas()[name]
        steps = _written_steps(model, schema)
        model.functions.append(function_body(schema, used[name], opset, steps))
    imports = [o for o in model.opset_import if o.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend([*imports, helper.make_opsetid(DOMAIN, OPSET_VERSION)])
    model.ir_version = min(model.ir_version, MAX_IR_VERSION) or MAX_IR_VERSION
