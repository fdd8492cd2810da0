"""The invariants that hold between passes; a violation is a bug of the pass before it."""

from __future__ import annotations

import onnx_ir as ir

from snnquant.errors import ModelError, PassError
from snnquant.ops.schema import DOMAIN, schemas


def verify(model: ir.Model, after: str) -> None:
    """Check names, definitions before uses, and the signature of every neuron node.

    Args:
        model: the graph.
        after: name of the pass that ran last, for the message.
    """
    graph = model.graph
    defined: set[ir.Value] = set(graph.inputs) | set(graph.initializers.values())
    names: set[str] = set()
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in defined:
                raise PassError(
                    f"after {after}: '{node.name}' uses '{value.name}' before it exists"
                )
        defined.update(node.outputs)
        if node.domain == DOMAIN:
            _check_neuron(node, names)
    for value in graph.outputs:
        if value not in defined:
            raise PassError(f"after {after}: output '{value.name}' is not computed")


def _check_neuron(node: ir.Node, names: set[str]) -> None:
    """Check one neuron node against its schema."""
    schema = schemas().get(node.op_type)
    if schema is None:
        raise ModelError(f"node '{node.name}': op {node.op_type} is not in domain {DOMAIN}")
    wanted = [port.name for port in schema.inputs]
    if len(node.inputs) != len(wanted) or None in node.inputs:
        raise ModelError(
            f"node '{node.name}' ({node.op_type}) has {len(node.inputs)} inputs, "
            f"needs {len(wanted)}: {', '.join(wanted)}"
        )
    if not node.name or node.name in names:
        raise ModelError(f"neuron node '{node.name}' has no name of its own; name every node")
    names.add(node.name)
    current = node.inputs[0]
    if current is not None and current.shape is not None and current.shape.rank() < 2:
        raise ModelError(
            f"node '{node.name}': the current has {current.shape.rank()} axes; "
            "neurons need [T, B, ...]"
        )
