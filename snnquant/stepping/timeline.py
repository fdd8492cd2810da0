"""Where time is in every value of a graph: found from the neurons, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.ops.schema import DOMAIN, schemas
from snnquant.passes.edit import constant, is_state
from snnquant.stepping.places import Place, UncutError
from snnquant.stepping.probe import Probe
from snnquant.stepping.rules import RULES, Context, Link

#: Nodes that only look at the shape of a value.
_SHAPES = frozenset({"Shape", "Size"})


@dataclass
class Timeline:
    """Time in a graph.

    Attributes:
        steps: number of steps.
        places: where time is, by value; values that are absent are the same at each step, or are
            known only after the last.
        endings: nodes in which time ends.
        late: values that are known only after the last step.
    """

    steps: int
    places: dict[ir.Value, Place] = field(default_factory=dict)
    endings: list[ir.Node] = field(default_factory=list)
    late: set[ir.Value] = field(default_factory=set)


def refusal(node: ir.Node, why: str) -> ModelError:
    """Return the error for a node that cannot be cut at a time step."""
    return ModelError(
        f"node '{node.name}' ({node.op_type}) cannot be cut at a time step: {why}; "
        "convert with --mode sequence, or export the network without it"
    )


def find_time(graph: ir.Graph, probe: Probe) -> Timeline:
    """Return where time is in every value.

    Raises:
        ModelError: a node mixes time steps.
    """
    timeline = Timeline(_steps(graph, probe))
    context = Context(probe.shapes, timeline.steps)
    pending: list[ir.Value] = []
    for node in graph:
        if node.domain == DOMAIN:
            for value in timed_values(node):
                _assign(timeline, node, value, Place(0, 1), pending)
    links = _Links(graph, context)
    while pending:
        value = pending.pop()
        place = timeline.places[value]
        for node, link in links.of(value):
            try:
                if link.source is value:
                    moved, target = link.forward(place), link.result
                else:
                    moved, target = link.backward(place), link.source
            except UncutError as error:
                raise refusal(node, str(error)) from error
            if moved is not None:
                _assign(timeline, node, target, moved, pending)
    _find_endings(graph, timeline)
    return timeline


def timed_values(node: ir.Node) -> list[ir.Value]:
    """Return the inputs and outputs of a neuron that carry time."""
    schema = schemas()[node.op_type]
    sides = ((schema.inputs, node.inputs), (schema.outputs, node.outputs))
    return [
        value
        for ports, values in sides
        for port, value in zip(ports, values, strict=False)
        if port.timed and value is not None
    ]


def _steps(graph: ir.Graph, probe: Probe) -> int:
    """Return the number of steps that all neurons take."""
    steps = 0
    for node in graph:
        if node.domain != DOMAIN:
            continue
        own = probe.shapes[node.inputs[0].name or ""][0] if node.inputs[0] is not None else 0
        if steps not in (0, own):
            raise refusal(node, f"it takes {own} steps where other neurons take {steps}")
        steps = own
    if not steps:
        raise ModelError("the model has no neuron, so that it has no time steps; nothing to cut")
    return steps


def _assign(
    timeline: Timeline, node: ir.Node, value: ir.Value, place: Place, pending: list[ir.Value]
) -> None:
    known = timeline.places.get(value)
    if known is None:
        timeline.places[value] = place
        pending.append(value)
    elif known != place and timeline.steps > 1:  # a single step may be in any axis of 1
        raise refusal(node, f"time is in two axes of '{value.name}'")


class _Links:
    """The links of a graph, by value."""

    def __init__(self, graph: ir.Graph, context: Context) -> None:
        self._of: dict[ir.Value, list[tuple[ir.Node, Link]]] = {}
        self._unknown: dict[ir.Value, ir.Node] = {}
        for node in graph:
            if node.domain == DOMAIN or node.op_type in _SHAPES or not node.inputs:
                continue
            rule = RULES.get(node.op_type) if node.domain == "" else None
            if rule is None:
                touched = [value for value in (*node.inputs, *node.outputs) if value is not None]
                self._unknown |= dict.fromkeys(touched, node)
                continue
            try:
                links = rule(node, context)
            except UncutError as error:
                raise refusal(node, str(error)) from error
            for link in links:
                for value in (link.source, link.result):
                    self._of.setdefault(value, []).append((node, link))

    def of(self, value: ir.Value) -> list[tuple[ir.Node, Link]]:
        """Return the links of a value that has time."""
        if value in self._unknown and constant(value) is None:
            raise refusal(self._unknown[value], "nothing is known of how it treats time")
        return self._of.get(value, [])


def _find_endings(graph: ir.Graph, timeline: Timeline) -> None:
    """Find the nodes in which time ends, and refuse what uses their results at every step."""
    for node in graph:
        placed = [value for value in node.outputs if value in timeline.places]
        given = [value for value in node.inputs if value is not None]
        late = next((value for value in given if value in timeline.late), None)
        if late is not None and placed and node.domain == "":
            raise refusal(node, f"at every step it needs '{late.name}', known after the last one")
        if node.op_type in _SHAPES:
            continue
        ends = node.domain == "" and not placed and any(v in timeline.places for v in given)
        if ends:
            timeline.endings.append(node)
        if ends or late is not None:
            timeline.late.update(value for value in node.outputs if value not in timeline.places)
        if node.domain == DOMAIN:
            timeline.late.update(value for value in node.outputs if is_state(value))
