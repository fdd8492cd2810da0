"""Makes one node of the two that a layer exports when forward may or may not use its states."""

from __future__ import annotations

import onnx

from snnquant.ops import DOMAIN, schemas

#: Attribute by which the two nodes of one call find each other; no exported model keeps it.
CALL = "call"


def merge_runs(graph: onnx.GraphProto) -> None:
    """Drop the node without states where the one with states of the same call is there too.

    While torch traces a call, nobody knows whether its final states will be read, so that the layer
    says both. Torch drops what is not read; where both are left, the one with states says all.
    """
    calls: dict[int, list[onnx.NodeProto]] = {}
    for node in graph.node:
        marked = [a for a in node.attribute if a.name == CALL and node.domain == DOMAIN]
        for attribute in marked:
            calls.setdefault(attribute.i, []).append(node)
            node.attribute.remove(attribute)
    renamed = {}
    for nodes in calls.values():
        nodes.sort(key=lambda node: schemas()[node.op_type].stateful)
        if len(nodes) == 2:
            renamed[nodes[0].output[0]] = nodes[1].output[0]
    merged = [node for node in graph.node if not (node.output and node.output[0] in renamed)]
    # The node with states may stand behind readers of the other.
    ready = _sorted(merged, renamed)
    del graph.node[:]
    graph.node.extend(ready)
    for value in graph.output:
        value.name = renamed.get(value.name, value.name)


def _sorted(nodes: list[onnx.NodeProto], renamed: dict[str, str]) -> list[onnx.NodeProto]:
    """Return the nodes with renamed inputs, each behind what it reads."""
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [renamed.get(name, name) for name in copy.input]
        copies.append(copy)
    waiting = {name for node in copies for name in node.output}
    ordered: list[onnx.NodeProto] = []
    while copies:
        ready = [n for n in copies if not waiting.intersection(n.input)]
        first = ready[0]
        ordered.append(first)
        waiting.difference_update(first.output)
        copies.remove(first)
    return ordered
