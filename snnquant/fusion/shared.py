"""Which currents go to several places."""

from __future__ import annotations

from collections.abc import Container

import onnx_ir as ir

from snnquant.ops.schema import DOMAIN

#: Most neurons that get a synapse of their own each.
MAX_COPIES = 2


def shared_values(graph: ir.Graph) -> set[ir.Value]:
    """Return the values that several nodes use, or a node and the model's user."""
    found = set()
    for node in graph:
        for value in node.outputs:
            users = {use.node for use in value.uses() if use.node.op_type != "Shape"}
            if len(users) + value.is_graph_output() > 1:
                found.add(value)
    return found


def reaches_few_neurons(value: ir.Value, passed: Container[str]) -> bool:
    """Whether a value ends in neurons and nothing else, so few that each may compute it.

    Args:
        value: a current.
        passed: types of the standard operations that may be in between.
    """
    pending, neurons = [value], set()
    while pending:
        seen = pending.pop()
        if seen.is_graph_output():
            return False
        for node, _ in seen.uses():
            if node.domain == DOMAIN:
                neurons.add(node)
            elif node.op_type in passed:
                pending += node.outputs
            elif node.op_type != "Shape":
                return False
    return len(neurons) <= MAX_COPIES
