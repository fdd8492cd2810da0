"""Writes shapes that torch computes from the batch size as the constants that they are."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def fix_reshapes(model: onnx.ModelProto) -> None:
    """Give every Reshape (Expand) with one dynamic axis a constant target, in place.

    A view over time and batch, such as ``[T, B, ...]``, is exported with a target put together from
    the input's own shape; with ``-1`` for the batch it needs none of that.
    """
    graph = model.graph
    held = {tensor.name for tensor in graph.initializer}
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*graph.value_info, *graph.output)}
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
