"""Which inputs of a graph are states of neurons, and which neurons go on from one another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import onnx

from snnquant.ops.fused import neuron_schema
from snnquant.ops.schema import DOMAIN

#: Operations through which an input still is a state: its shape, or the type and the order of
#: axes that an op takes.
_SHAPE, _SAME = "Shape", ("Cast", "Transpose")


def _states(op_type: str) -> int:
    """Return how many states a node of the domain starts from; they are its last inputs."""
    inner = neuron_schema(op_type)
    return len(inner.state_names) if inner is not None and inner.stateful else 0


def state_input_names(
    inputs: Collection[str], nodes: Iterable[tuple[str, str, Sequence[str], Sequence[str]]]
) -> list[str]:
    """Return those of a graph's inputs that are states of neurons and nothing else.

    Args:
        inputs: names of the inputs.
        nodes: domain, op type, inputs and outputs of every node, in order.
    """
    meant = {name: name for name in inputs}
    states: set[str] = set()
    others: set[str] = set()
    for domain, op_type, read, written in nodes:
        first = 0
        if domain == DOMAIN:
            first = len(read) - _states(op_type)
        elif op_type == _SHAPE:
            continue
        elif op_type in _SAME and read[0] in meant:
            meant[written[0]] = meant[read[0]]
            continue
        for index, name in enumerate(read):
            if name in meant:
                is_state = domain == DOMAIN and index >= first
                (states if is_state else others).add(meant[name])
    return [name for name in inputs if name in states - others]


def state_inputs_of(graph: onnx.GraphProto) -> list[str]:
    """Return the inputs of a float or integer graph that are states of neurons."""
    nodes = [(n.domain, n.op_type, list(n.input), list(n.output)) for n in graph.node]
    return state_input_names([value.name for value in graph.input], nodes)


def runs_of(nodes: Iterable[onnx.NodeProto]) -> dict[str, list[onnx.NodeProto]]:
    """Return the runs of neurons, by the name of the last: each goes on from the states before.

    A neuron that stands alone is a run of one; a loop over time that was written out gives one of
    as many nodes as it has steps.
    """
    runs: dict[str, list[onnx.NodeProto]] = {}
    ended_by: dict[str, str] = {}
    for node in nodes:
        if node.domain == "" and node.op_type == "Transpose" and node.input[0] in ended_by:
            ended_by[node.output[0]] = ended_by[node.input[0]]
        if node.domain != DOMAIN or neuron_schema(node.op_type) is None:
            continue
        count = _states(node.op_type)
        start = [ended_by[n] for n in node.input[len(node.input) - count :] if n in ended_by]
        before = start[0] if start else ""
        runs[node.name] = [*runs.pop(before, []), node]
        ended_by |= dict.fromkeys(node.output[1 : 1 + count], node.name)
    return runs
