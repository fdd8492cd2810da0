"""Make a model self-contained: carry the function body of every snnquant op that it uses."""

from __future__ import annotations

from collections.abc import Container, Iterator

import onnx
from onnx import helper

from snnquant.errors import ModelError
from snnquant.ops.function import Structure, function_body, structure_of
from snnquant.ops.fused import KERNEL_SHAPE, MAX_AXES, WEIGHT_BITS, FusedSchema, fused_schemas
from snnquant.ops.fused_body import fused_body
from snnquant.ops.packing import STORED_BITS
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


def node_attributes(node: onnx.NodeProto, schema: OpSchema | FusedSchema) -> dict[str, int]:
    """Return a node's integer attributes, all of them, or raise ModelError for a bad one."""
    given = {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}
    found = {}
    for choice in schema.attributes:
        value = given.get(choice.name)
        wanted = f"an integer from {choice.low} to {choice.high}"
        accepted: Container[int | None] = range(choice.low, choice.high + 1)
        if choice is WEIGHT_BITS:
            # A function body cannot refuse a width at which nothing is stored.
            wanted, accepted = "2, 4 or 8", STORED_BITS
        if value is None or value not in accepted:
            raise ModelError(
                f"node '{node.name}' ({node.op_type}): attribute {choice.name} is {value}, must be "
                f"{wanted} ({choice.doc})"
            )
        found[choice.name] = int(value)
    return found


def node_lists(node: onnx.NodeProto, schema: FusedSchema) -> dict[str, tuple[int, ...]]:
    """Return a node's attributes that are lists, or raise ModelError."""
    given = {a.name: tuple(a.ints) for a in node.attribute if a.type == onnx.AttributeProto.INTS}
    axes = len(given.get(KERNEL_SHAPE.name, ()))
    for choice in schema.list_attributes:
        values = given.get(choice.name, ())
        fits = 1 <= axes <= MAX_AXES and len(values) == choice.per_axis * axes
        if not fits or min(values) < choice.low:
            raise ModelError(
                f"node '{node.name}' ({node.op_type}): attribute {choice.name} is {list(values)}, "
                f"must hold {choice.per_axis} integers from {choice.low} for each of 1 to "
                f"{MAX_AXES} axes ({choice.doc})"
            )
    return {choice.name: given[choice.name] for choice in schema.list_attributes}


def _written_steps(model: onnx.ModelProto, schema: OpSchema) -> int | None:
    """Return the number of steps to write out in an op's body; None: a Scan over any number."""
    if schema.integer or schema.stateful:
        return None
    held = next((p.value for p in model.metadata_props if p.key == TIMESTEPS_KEY), "")
    # Python reads no number of any length.
    steps = int(held) if held.isdecimal() and len(held) < 10 else 0
    return steps if 0 < steps <= MAX_WRITTEN_STEPS else None


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
    fused: set[str] = set()
    for node in walk(model.graph):
        if node.domain != DOMAIN:
            continue
        composed = fused_schemas().get(node.op_type)
        if composed is not None:
            fused.add(node.op_type)
            attributes = node_attributes(node, composed)
            node_lists(node, composed)
            inner = composed.neuron_op
            if inner is not None:
                used.setdefault(inner.name, set()).add(structure_of(inner, attributes))
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
    model.functions.extend(fused_body(fused_schemas()[name], opset) for name in sorted(fused))
    imports = [o for o in model.opset_import if o.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend([*imports, helper.make_opsetid(DOMAIN, OPSET_VERSION)])
    model.ir_version = min(model.ir_version, MAX_IR_VERSION) or MAX_IR_VERSION
