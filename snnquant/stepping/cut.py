"""From a model of whole sequences to one time step per call, with every state an input and output.

The step model has the nodes of the sequence's, on one step: neurons in their ``State`` variants,
read-outs over time as running ones. Nothing else changes, so that its integers are the sequence's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from snnquant.errors import ModelError, first_line
from snnquant.model_file import SCALE_KEY
from snnquant.ops.attach import attach_functions
from snnquant.ops.fused import fused_schemas
from snnquant.ops.schema import DOMAIN
from snnquant.passes.edit import RESHAPES, constant
from snnquant.stepping.drawing import Drawing
from snnquant.stepping.endings import carry_endings
from snnquant.stepping.interface import (
    ALONE,
    INSIDE,
    OUTSIDE,
    StepInterface,
    StepState,
    TimeAxis,
    is_step_model,
)
from snnquant.stepping.probe import probe
from snnquant.stepping.states import take_states
from snnquant.stepping.timeline import find_time, refusal


def step_model(model: onnx.ModelProto, scales: Mapping[str, Any] | None = None) -> onnx.ModelProto:
    """Return the model of one time step per call that is equal to a model of sequences.

    Args:
        model: integer (or float) model with neurons, over a fixed or a dynamic number of steps.
        scales: real value of one integer step of states, as ``<node>.<state>``, for the metadata.

    Raises:
        ModelError: a node mixes time steps, a state starts from something computed, or the model
            is fused.
    """
    if is_step_model(model):
        raise ModelError("the model takes one time step per call already; use it as it is")
    if any(node.domain == DOMAIN and node.op_type in fused_schemas() for node in model.graph.node):
        raise ModelError("the model has fused ops; cut the model before it is fused")
    found = probe(model)
    working = ir.from_proto(model)
    graph = working.graph
    drawing = Drawing(graph, found, find_time(graph, found))
    _cut_constants(drawing)
    carry_endings(drawing)
    take_states(drawing)
    inputs = dict(_cut_inputs(drawing))
    _cut_shapes(drawing)
    outputs = dict(_cut_outputs(drawing))
    drawing.declare_inputs()
    drawing.declare_shapes()
    _tidy(drawing)
    _check_shapes(drawing)
    interface = StepInterface(found.layout.timesteps, drawing.states, inputs, outputs)
    working.metadata_props.update(interface.properties())
    working.metadata_props.update(_scales(drawing, working.metadata_props, scales or {}))
    common.TopologicalSortPass()(working)
    proto = ir.to_proto(working)
    entries = sorted((entry.key, entry.value) for entry in proto.metadata_props)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(entries))
    attach_functions(proto)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            f"the model cannot be cut at its steps: {first_line(error)}; use --mode sequence"
        ) from error
    return proto


def _scales(drawing: Drawing, held: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata that tells what one step of a state is worth, before and after."""
    found = {}
    for name, state in drawing.states.items():
        keys = [SCALE_KEY + name, SCALE_KEY + state.next]
        text = next((held[key] for key in keys if key in held), None)
        scale = known.get(drawing.origins.get(name, ""))
        if text is None and scale is not None:
            text = json.dumps(scale)
        if text is not None:
            found.update(dict.fromkeys(keys, text))
    return found


def stateful_model(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, StepState]]:
    """Return a model of sequences with the states of its neurons as inputs and outputs, and these.

    Raises:
        ModelError: a state starts from something computed.
    """
    found = probe(model)
    working = ir.from_proto(model)
    drawing = Drawing(working.graph, found, find_time(working.graph, found))
    take_states(drawing)
    drawing.declare_inputs()
    common.RemoveUnusedNodesPass()(working)
    common.TopologicalSortPass()(working)
    proto = ir.to_proto(working)
    attach_functions(proto)
    return proto, drawing.states


def _cut_constants(drawing: Drawing) -> None:
    """Keep one step of constants that hold the same for each."""
    timeline = drawing.timeline
    for value in list(drawing.graph.initializers.values()):
        place = timeline.places.get(value)
        array = constant(value)
        if place is None or array is None:
            continue
        axis, steps = place.axis, timeline.steps
        outer = array.shape[axis] // (steps * place.inner)
        before, behind = array.shape[:axis], array.shape[axis + 1 :]
        apart = array.reshape(*before, outer, steps, place.inner, *behind)
        one = np.take(apart, [0], axis=axis + 1)
        if not (apart == one).all():
            user = next(iter(value.uses())).node
            raise refusal(user, f"its constant '{value.name}' differs from step to step")
        single = one.reshape(*before, outer * place.inner, *behind)
        held = drawing.constant(single, value.name or "constant")
        drawing.set_shapes(held, (single.shape, single.shape))
        ir.convenience.replace_all_uses_with(value, held)


def _cut_inputs(drawing: Drawing) -> Iterator[tuple[str, int | None]]:
    """Let inputs be one step; yield the time axis that each of them had."""
    timeline = drawing.timeline
    states = set(drawing.states)
    for entry in drawing.probe.layout.inputs:
        if entry.name in states:
            continue
        value = next(v for v in drawing.graph.inputs if v.name == entry.name)
        place = timeline.places.get(value)
        shape = drawing.probe.shapes[entry.name]
        batch = entry.batch_axis
        if place is None or (timeline.steps == 1 and place.axis == batch):
            yield entry.name, None
            continue
        if not place.alone(shape, timeline.steps):
            raise ModelError(
                f"input '{entry.name}' has time and other values in one axis, so that it cannot "
                "be cut at a time step; export the network with an axis for time alone"
            )
        if any(use.node.domain == DOMAIN for use in value.uses()) and place.axis != 0:
            raise ModelError(f"input '{entry.name}' has no time where its neuron has it")
        whole = drawing.step_shapes(value)
        one = tuple((*s[: place.axis], *s[place.axis + 1 :]) for s in whole)
        axes = drawing.constant(np.array([place.axis], np.int64), f"{entry.name}.time_axis")
        users = list(value.uses())
        first = next(iter(drawing.graph), None)
        added = drawing.op("Unsqueeze", [value, axes], f"{entry.name}.step", whole, first)
        for use in users:
            use.node.replace_input_with(use.idx, added)
        timeline.places[added] = place
        del timeline.places[value]
        drawing.set_shapes(value, (one[0], one[1]))
        yield entry.name, place.axis


def _cut_shapes(drawing: Drawing) -> None:
    """Give nodes that hold shapes those of one step; drop what then changes nothing."""
    places = drawing.timeline.places
    for node in list(drawing.graph):
        source = node.inputs[0] if node.inputs else None
        touched = source in places or any(value in places for value in node.outputs)
        if node.domain != "" or source is None or not touched:
            continue
        before, after = drawing.step_shapes(source), drawing.step_shapes(node.outputs[0])
        if node.op_type in ("Reshape", "Expand", "Tile") and before == after:
            drawing.bypass(node, source)
        elif node.op_type == "Reshape" or (node.op_type == "Squeeze" and len(node.inputs) < 2):
            hint = node.outputs[0].name or "reshaped"
            new = drawing.reshape(source, after, f"{hint}.one", node)
            if new is None:
                raise refusal(node, "the batch is in several of its axes")
            drawing.succeed(node.outputs[0], new)
            drawing.graph.remove(node, safe=True)
        elif node.op_type in ("Expand", "Tile"):
            _cut_repetition(node, drawing)


def _cut_repetition(node: ir.Node, drawing: Drawing) -> None:
    """Repeat a value as often as one step asks for."""
    source, result = node.inputs[0], node.outputs[0]
    if source is None:
        return
    times = []
    for before, after in zip(drawing.step_shapes(source), drawing.step_shapes(result), strict=True):
        same_rank = (1,) * (len(after) - len(before)) + before
        times.append([b // a if a else 1 for a, b in zip(same_rank, after, strict=True)])
    if times[0] != times[1]:
        raise refusal(node, "it repeats a value as often as there are samples")
    sizes = drawing.constant(np.array(times[0], np.int64), f"{result.name}.times")
    # Expand takes sizes, which are the repetitions where the value has 1, and 1 elsewhere.
    node.replace_input_with(1, sizes)


def _cut_outputs(drawing: Drawing) -> Iterator[tuple[str, TimeAxis | None]]:
    """Let outputs be one step; yield where time was in each of them."""
    timeline = drawing.timeline
    own = {entry.name for entry in drawing.probe.layout.outputs}
    for value in list(drawing.graph.outputs):
        name = value.name or ""
        place = timeline.places.get(value)
        if name not in own:
            continue
        if place is None:
            yield name, None
            continue
        shape = drawing.probe.shapes[name]
        if not place.alone(shape, timeline.steps):
            outside = place.outer(shape, timeline.steps) == 1
            if not outside and place.inner != 1:
                raise ModelError(
                    f"output '{name}' has time between other values in one axis; "
                    "export the network with an axis for time alone"
                )
            yield name, TimeAxis(place.axis, OUTSIDE if outside else INSIDE)
            continue
        whole = drawing.step_shapes(value)
        one = tuple((*s[: place.axis], *s[place.axis + 1 :]) for s in whole)
        axes = drawing.constant(np.array([place.axis], np.int64), f"{name}.time_axis")
        source = value
        node = value.producer()
        if node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
            source = node.inputs[0]
        single = drawing.op("Squeeze", [source, axes], f"{name}.single", (one[0], one[1]), None)
        value.name, single.name = drawing.name_of(f"{name}.steps"), name
        drawing.set_shapes(value, whole)
        index = next(k for k, v in enumerate(drawing.graph.outputs) if v is value)
        drawing.graph.outputs[index] = single
        yield name, TimeAxis(place.axis, ALONE)


def _tidy(drawing: Drawing) -> None:
    """Drop reshapes that follow one another, and what computes nothing."""
    for node in list(drawing.graph):
        source = node.inputs[0] if node.op_type in RESHAPES else None
        maker = None if source is None else source.producer()
        while maker is not None and maker.op_type in RESHAPES and maker.inputs[0] is not None:
            source = maker.inputs[0]
            maker = source.producer()
        if source is None or source is node.inputs[0]:
            continue
        (result,) = node.outputs
        shapes = drawing.step_shapes(result)
        if shapes == drawing.step_shapes(source) and not result.is_graph_output():
            drawing.bypass(node, source)
            continue
        new = drawing.reshape(source, shapes, f"{result.name}.once", node)
        if new is not None:
            drawing.succeed(result, new)
            drawing.graph.remove(node, safe=True)
    common.RemoveUnusedNodesPass()(ir.Model(drawing.graph, ir_version=9))


def _check_shapes(drawing: Drawing) -> None:
    """Refuse what still computes with the number of steps."""
    for node in drawing.graph:
        source = node.inputs[0] if node.op_type in ("Shape", "Size") else None
        place = None if source is None else drawing.timeline.places.get(source)
        if place is None:
            continue
        start, end = node.attributes.get("start"), node.attributes.get("end")
        low = 0 if start is None else start.as_int()
        if node.op_type == "Size" or (low <= place.axis and end is None) or end is not None:
            raise refusal(node, "it computes with the number of steps")
