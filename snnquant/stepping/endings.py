"""Nodes in which time ends: a sum or a maximum goes on from step to step, the last step is there.

After as many steps as the sequence has, each gives what the sequence gives.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.passes.edit import constant
from snnquant.stepping.drawing import Drawing
from snnquant.stepping.timeline import refusal

#: How what is known of two runs of steps becomes one: the node, and the name of the state.
_RUNNING = {"ReduceSum": ("Add", "sum"), "ReduceMax": ("Max", "max"), "ReduceMin": ("Min", "min")}


def carry_endings(drawing: Drawing) -> None:
    """Rewrite every node in which time ends.

    Raises:
        ModelError: it has no form that goes on from step to step, or that would round otherwise.
    """
    for node in drawing.timeline.endings:
        if node.op_type in _RUNNING:
            _accumulate(node, drawing)
        elif node.op_type in ("Gather", "Slice"):
            _take_the_step(node, drawing)
        elif node.op_type == "ReduceMean":
            raise refusal(node, "it averages real values over time, which rounds in another order")
        else:
            raise refusal(node, "what it makes of all steps has no form that goes on step by step")


def _accumulate(node: ir.Node, drawing: Drawing) -> None:
    """Add what was known before to what this step gives."""
    combine, label = _RUNNING[node.op_type]
    (result,) = node.outputs
    kind = result.dtype
    if kind is None:
        raise refusal(node, "the type of its values is not known")
    real = kind.is_floating_point()
    if combine == "Add" and real and drawing.timeline.steps > 1:
        raise refusal(node, "it sums real values over time, which rounds in another order")
    initial = np.zeros((), np.int64)
    if combine != "Add":
        limits = np.finfo(kind.numpy()) if real else np.iinfo(kind.numpy())
        initial = np.asarray(limits.min if combine == "Max" else limits.max)
    shapes = drawing.step_shapes(result)
    name = _output_of(result) or result.name or label
    origin = f"{node.name}.{label}"
    state = drawing.new_state(origin, kind, shapes, initial, f"{name}.{label}")
    fresh = ir.Value(name=drawing.name_of(f"{name}.step"), type=result.type)
    new = ir.node(node.op_type, node.inputs, dict(node.attributes), outputs=[fresh], name=node.name)
    drawing.set_shapes(fresh, shapes)
    node.prepend(new)
    total = drawing.op(combine, [state, fresh], f"{name}.{label}.after", shapes, node)
    drawing.succeed(result, total)
    drawing.graph.remove(node, safe=True)
    drawing.give(state.name or "", total)


def _output_of(value: ir.Value) -> str:
    """Return the output that a value becomes, if it becomes nothing else; else ""."""
    while not value.is_graph_output():
        users = {use.node for use in value.uses()}
        if len(users) != 1:
            return ""
        value = users.pop().outputs[0]
    return value.name or ""


def _take_the_step(node: ir.Node, drawing: Drawing) -> None:
    """Take the one step that there is."""
    source = node.inputs[0]
    place = None if source is None else drawing.timeline.places.get(source)
    if source is None or place is None:
        raise refusal(node, "it takes steps of something that has none")
    name = node.outputs[0].name
    if node.op_type == "Gather":
        index = constant(node.inputs[1])
        only = np.zeros(() if index is None else index.shape, np.int64)
        node.replace_input_with(1, drawing.constant(only, f"{name}.only"))
        return
    rank = len(drawing.step_shapes(source)[0])
    arrays = [constant(value) for value in node.inputs[1:]]
    if len(arrays) < 2 or arrays[0] is None or arrays[1] is None:
        raise refusal(node, "what it takes is computed")
    given = arrays[2] if len(arrays) > 2 else None
    axes = [int(a) % rank for a in (range(len(arrays[0])) if given is None else given)]
    at = axes.index(place.axis)
    for port, bound in ((1, 0), (2, 1)):
        held = np.array(arrays[port - 1], np.int64)
        held[at] = bound
        node.replace_input_with(port, drawing.constant(held, f"{name}.only"))
