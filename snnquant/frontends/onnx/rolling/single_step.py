"""Graphs of a single time step, with the states of the neurons as inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.unrolling.loops import MAX_STEPS

#: Steps that are written out to see how a step follows from the one before.
STEPS = 4


@dataclass(frozen=True)
class StatePairs:
    """Which inputs of a single-step graph are states, and which outputs are the same states later.

    Attributes:
        later: output per state input.
        data: all other inputs.
    """

    later: Mapping[str, str]
    data: tuple[str, ...]


def state_pairs(model: onnx.ModelProto) -> StatePairs | None:
    """Return the states of a single-step graph, or None if it has none.

    States are paired by name (``mem`` and ``mem_next``), else by place: the last outputs are the
    states that come in behind the data.
    """
    graph = model.graph
    held = {t.name for t in graph.initializer}
    inputs = [v for v in graph.input if v.name not in held and _is_float(v)]
    outputs = [v for v in graph.output if _is_float(v)]
    by_name = {}
    for value in inputs:
        similar = [o for o in outputs if value.name in o.name and o.name != value.name]
        fitting = [o for o in similar if _same_shape(value, o)]
        if len(fitting) == 1:
            by_name[value.name] = fitting[0].name
    if not by_name or len(set(by_name.values())) != len(by_name):
        by_name = _by_place(inputs, outputs)
    if not by_name:
        return None
    data = tuple(v.name for v in graph.input if v.name not in held and v.name not in by_name)
    return StatePairs(by_name, data) if data else None


def _by_place(
    inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> dict[str, str]:
    """Pair the inputs behind the first with the last outputs, where all shapes fit."""
    states = inputs[1:]
    later = outputs[len(outputs) - len(states) :]
    if not states or len(outputs) < len(states):
        return {}
    if not all(_same_shape(a, b) for a, b in zip(states, later, strict=True)):
        return {}
    return {a.name: b.name for a, b in zip(states, later, strict=True)}


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.FLOAT16,
    )


def _same_shape(a: onnx.ValueInfoProto, b: onnx.ValueInfoProto) -> bool:
    first = [d.dim_value for d in a.type.tensor_type.shape.dim]
    second = [d.dim_value for d in b.type.tensor_type.shape.dim]
    return len(first) == len(second) and all(
        x == y or 0 in (x, y) for x, y in zip(first, second, strict=True)
    )


def fixed_batch(model: onnx.ModelProto, pairs: StatePairs) -> int | None:
    """Return the batch size of the states, which the export fixes; None: any."""
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in pairs.later and dims:
            return int(dims[0].dim_value) if dims[0].HasField("dim_value") else None
    return None


def name_outputs_once(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that lists each output once, where the export returned one twice."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = {value.name: value for value in model.graph.output}
    del copy.graph.output[:]
    copy.graph.output.extend(kept.values())
    return copy


def later_name(name: str, step: int) -> str:
    """Return the name of a value at a step of the graph that is written out."""
    return name if step == 0 else f"{name}@{step}"


def write_out(
    model: onnx.ModelProto, pairs: StatePairs, steps: int = STEPS
) -> tuple[onnx.ModelProto, dict[str, tuple[str, int]]]:
    """Return a graph of several steps, each going on from the states of the one before.

    Values of the first step keep their names.

    Returns:
        The graph, and what each input is and of which step; states come from step -1.
    """
    graph = model.graph
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:], out.graph.output[:], out.graph.value_info[:]
    held = {t.name for t in graph.initializer}
    sources: dict[str, tuple[str, int]] = {name: (name, 0) for name in pairs.data}
    sources |= {name: (name, -1) for name in pairs.later}
    varying = {name for node in graph.node for name in node.output}
    for step in range(steps):
        renamed = {name: later_name(name, step) for name in varying | set(pairs.data)}
        for state, later in pairs.later.items():
            renamed[state] = state if step == 0 else later_name(later, step - 1)
        for node in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = later_name(node.name, step)
            copy.input[:] = [renamed.get(name, name) for name in node.input]
            copy.output[:] = [renamed.get(name, name) for name in node.output]
            out.graph.node.append(copy)
        for value in graph.output:
            later = onnx.ValueInfoProto()
            later.CopyFrom(value)
            later.name = renamed.get(value.name, value.name)
            out.graph.output.append(later)
        for value in graph.input:
            if step and value.name in pairs.data and value.name not in held:
                later = onnx.ValueInfoProto()
                later.CopyFrom(value)
                later.name = renamed[value.name]
                out.graph.input.append(later)
                sources[later.name] = (value.name, step)
    return out, sources


def as_sequence(
    model: onnx.ModelProto, pairs: StatePairs, steps: int, *, timed_input: bool
) -> onnx.ModelProto:
    """Return the graph of a whole sequence: states start at 0, outputs are stacked over time.

    Args:
        model: a single-step graph.
        pairs: its states.
        steps: number of steps.
        timed_input: the input is a sequence ``[T, B, ...]``; else it is the same at every step.

    Raises:
        ModelError: that would be too many steps.
    """
    if steps > MAX_STEPS:
        raise ModelError(f"{steps} steps cannot be written out; give at most {MAX_STEPS}")
    out, _ = write_out(model, pairs, steps)
    graph = out.graph
    states = [v for v in graph.input if v.name in pairs.later]
    head: list[onnx.NodeProto] = []
    zero = f"{states[0].name}.zero"
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), zero))
    first = pairs.data[0]
    for value in states:
        head += _zeros(graph, value, first, zero, batch_axis=int(timed_input))
    kept = [v for v in graph.input if v.name not in pairs.later and v.name in pairs.data]
    renamed = {}
    for name in pairs.data:
        for step in range(steps):
            old = later_name(name, step)
            if timed_input:
                index = f"{name}.index.{step}"
                graph.initializer.append(numpy_helper.from_array(np.asarray(step, np.int64), index))
                head.append(helper.make_node("Gather", [name, index], [f"{old}.step"], axis=0))
                renamed[old] = f"{old}.step"
            elif step:
                renamed[old] = name
    _rename_uses(graph, renamed)
    if timed_input:
        for value in kept:
            dim = onnx.TensorShapeProto.Dimension(dim_value=steps)
            dims = [dim, *value.type.tensor_type.shape.dim]
            value.type.tensor_type.shape.ClearField("dim")
            value.type.tensor_type.shape.dim.extend(dims)
    del graph.input[:]
    graph.input.extend(kept)
    nodes = [*head, *graph.node, *_stacks(model, graph, pairs, steps)]
    del graph.node[:]
    graph.node.extend(nodes)
    return out


def _zeros(
    graph: onnx.GraphProto, value: onnx.ValueInfoProto, data: str, zero: str, *, batch_axis: int
) -> list[onnx.NodeProto]:
    """Return nodes that make a state of zeros, as many samples as the data has."""
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    features = f"{value.name}.features"
    graph.initializer.append(numpy_helper.from_array(np.asarray(dims[1:], np.int64), features))
    batch, shape = f"{value.name}.batch", f"{value.name}.shape"
    return [
        helper.make_node("Shape", [data], [batch], start=batch_axis, end=batch_axis + 1),
        helper.make_node("Concat", [batch, features], [shape], axis=0),
        helper.make_node("Expand", [zero, shape], [value.name]),
    ]


def _rename_uses(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]


def _stacks(
    model: onnx.ModelProto, graph: onnx.GraphProto, pairs: StatePairs, steps: int
) -> list[onnx.NodeProto]:
    """Return nodes that stack the outputs of all steps; they become the outputs."""
    axes = "sequence.axes"
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), axes))
    del graph.output[:]
    nodes = []
    for value in model.graph.output:
        if value.name in pairs.later.values():
            continue
        parts = []
        for step in range(steps):
            part = f"{value.name}.part.{step}"
            nodes.append(
                helper.make_node("Unsqueeze", [later_name(value.name, step), axes], [part])
            )
            parts.append(part)
        name = f"{value.name}.sequence"
        nodes.append(helper.make_node("Concat", parts, [name], axis=0))
        graph.output.append(
            helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, None)
        )
    return nodes
