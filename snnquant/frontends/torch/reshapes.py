"""Writes shapes that torch computes, or writes in a roundabout way, as what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

_Dim = onnx.TensorShapeProto.Dimension


def fix_reshapes(model: onnx.ModelProto) -> None:
    """Give every Reshape (Expand) with one dynamic axis a constant target, in place.

    A view over time and batch, such as ``[T, B, ...]``, is exported with a target put together from
    the input's own shape; with ``-1`` for the batch it needs none of that.
    """
    graph = model.graph
    held = {tensor.name for tensor in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {v.name: v.type.tensor_type.shape.dim for v in values}
    _expand_tiles(graph, shapes)
    _cancel_steps(graph)
    for node in graph.node:
        if node.op_type != "Reshape" or node.domain != "" or node.input[1] in held:
            continue
        dims = shapes.get(node.output[0])
        if not dims or sum(not d.HasField("dim_value") for d in dims) != 1:
            continue
        target = [d.dim_value if d.HasField("dim_value") else -1 for d in dims]
        name = f"{node.output[0]}.shape"
        graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
        node.input[1] = name
    _drop_unread(graph)


def _expand_tiles(graph: onnx.GraphProto, shapes: Mapping[str, Sequence[_Dim]]) -> None:
    """Write a Tile of axes of size 1, such as ``x[None].repeat(T, ...)``, as the Expand that it is.

    What is computed of the repeated value can then be seen to be the same at every step.
    """
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    same: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if node.op_type == "Expand" and node.domain == "":
            before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
            if before and after and list(before) == list(after):
                same[node.output[0]] = node.input[0]
        repeats = held.get(node.input[1]) if node.op_type == "Tile" and node.domain == "" else None
        dims = shapes.get(node.input[0])
        if repeats is None or dims is None or len(dims) != repeats.size:
            continue
        if all(d.dim_value == 1 for d, r in zip(dims, repeats, strict=True) if r != 1):
            node.op_type = "Expand"
    for value in graph.output:
        if value.name in same:
            graph.node.append(onnx.helper.make_node("Identity", [same[value.name]], [value.name]))
            stale = [n for n in graph.node[:-1] if value.name in n.output]
            graph.node.remove(stale[0])


def _cancel_steps(graph: onnx.GraphProto) -> None:
    """Read ``x[None][0]`` as ``x``: neurons of one step at a time are spelled so."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producer = {out: node for node in graph.node for out in node.output}
    same: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        inner = producer.get(node.input[0]) if node.op_type == "Gather" and node.input else None
        if inner is None or inner.op_type != "Unsqueeze" or len(inner.input) < 2:
            continue
        axes, place = held.get(inner.input[1]), held.get(node.input[1])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        if axes is None or place is None or place.ndim or int(place) not in (0, -1):
            continue
        if axes.tolist() == [axis] and node.output[0] not in {v.name for v in graph.output}:
            same[node.output[0]] = inner.input[0]


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes whose outputs nothing reads."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)
