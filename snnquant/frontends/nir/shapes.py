"""Shapes of one step: from the Input nodes through every node."""

from __future__ import annotations

import math
from collections.abc import Sequence

from snnquant.errors import ModelError
from snnquant.frontends.nir.graph import ALIASES, NEURONS, Graph, Node

Shape = tuple[int, ...]
_LARGEST = 2**31


def step_shapes(graph: Graph, order: Sequence[Node]) -> dict[str, Shape]:
    """Return the shape of each node's output at one step of one sample.

    Some writers count the batch, or time and batch, as dimensions of Input and Output; where only
    the shape without them fits all nodes, they are dropped, and a note says so.

    Args:
        graph: without cycles.
        order: its nodes, sources first.

    Raises:
        ModelError: a shape is missing or does not fit.
    """
    failure: ModelError | None = None
    partial: tuple[int, dict[str, Shape]] | None = None
    for dropped in range(3):
        try:
            shapes = _infer(graph, order, dropped)
        except ModelError as error:
            failure = failure or error
            continue
        declared = [_declared(node)[dropped:] for node in order if node.kind == "Output"]
        found = [shapes[node.path] for node in order if node.kind == "Output"]
        if declared == found:
            return _noted(graph, dropped, shapes)
        partial = partial or (dropped, shapes)
    if partial is not None:
        return _noted(graph, *partial)
    raise failure or ModelError("the NIR graph has no shapes")


def _noted(graph: Graph, dropped: int, shapes: dict[str, Shape]) -> dict[str, Shape]:
    """Return the shapes, and note which dimensions were taken for batch and time."""
    if dropped:
        what = "the batch" if dropped == 1 else "batch and time"
        graph.notes.append(
            f"The shape of the Input node has {what} in front; the shape of one step is taken to "
            f"be {next(list(shapes[n.path]) for n in graph.of_kind(['Input']))}."
        )
    return shapes


def _declared(node: Node) -> Shape:
    """Return the shape that an Input or Output node states; () if none."""
    values = node.numbers("shape", 0.0).reshape(-1)
    if not values.all():
        return ()
    return node.integers("shape", values.size)


def _infer(graph: Graph, order: Sequence[Node], dropped: int) -> dict[str, Shape]:
    """Return all shapes, with some leading dimensions of the inputs left out."""
    shapes: dict[str, Shape] = {}
    for node in order:
        if node.kind == "Input":
            shape = _declared(node)
            if len(shape) <= dropped:
                raise ModelError(
                    f"node '{node.path}' (Input) has no shape; write the shape of one step"
                )
            shapes[node.path] = shape[dropped:]
        else:
            sources = {shapes[path] for path in graph.before(node.path)}
            if len(sources) != 1:
                raise ModelError(
                    f"node '{node.path}' ({node.kind}) sums inputs of different shapes: "
                    f"{', '.join(str(list(s)) for s in sorted(sources))}"
                )
            shapes[node.path] = _behind(node, sources.pop())
        shape = shapes[node.path]
        if not shape or min(shape) < 1 or math.prod(shape) > _LARGEST:
            raise ModelError(f"node '{node.path}' ({node.kind}) has the shape {list(shape)}")
    return shapes


def _behind(node: Node, shape: Shape) -> Shape:
    """Return the shape behind a node."""
    if node.kind in ALIASES or node.kind == "Scale" or node.kind in NEURONS:
        return shape
    if node.kind in ("Linear", "Affine"):
        weight = node.numbers("weight").shape
        if len(weight) != 2 or shape != weight[1:]:
            raise _misfit(node, shape, f"weights {list(weight)}")
        return weight[:1]
    if node.kind == "Flatten":
        start, end = flattened_axes(node, len(shape))
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    if node.kind in ("Conv1d", "Conv2d"):
        weight = node.numbers("weight").shape
        spatial = int(node.kind[4])
        groups = node.integers("groups", 1, 1)[0]
        if len(weight) != spatial + 2 or len(shape) != spatial + 1 or groups < 1:
            raise _misfit(node, shape, f"weights {list(weight)} and {groups} groups")
        if shape[0] != weight[1] * groups or weight[0] % groups:
            raise _misfit(node, shape, f"weights {list(weight)} and {groups} groups")
        window, channels = weight[2:], weight[0]
    else:
        if len(shape) != 3:
            raise _misfit(node, shape, "three dimensions")
        window, channels = node.integers("kernel_size", 2), shape[0]
    strides, pads, dilations = window_of(node, window)
    sizes = []
    for k, size in enumerate(shape[1:]):
        padded = size + pads[k] + pads[len(window) + k]
        sizes.append((padded - dilations[k] * (window[k] - 1) - 1) // strides[k] + 1)
    return (channels, *sizes)


def _misfit(node: Node, shape: Shape, needs: str) -> ModelError:
    return ModelError(
        f"node '{node.path}' ({node.kind}) gets {list(shape)}, which does not fit its {needs}"
    )


def flattened_axes(node: Node, rank: int) -> tuple[int, int]:
    """Return the first and the last axis that a Flatten joins, counted without batch and time."""
    start = node.integers("start_dim", 1, 1)[0]
    end = node.integers("end_dim", 1, -1)[0]
    start, end = (axis + rank if axis < 0 else axis for axis in (start, end))
    if not 0 <= start <= end < rank:
        raise ModelError(
            f"node '{node.path}' (Flatten) joins axes {start} to {end} of a step with {rank} axes"
        )
    return start, end


def window_of(node: Node, window: Shape) -> tuple[Shape, Shape, Shape]:
    """Return strides, pads (all begins, then all ends) and dilations of a moving window.

    Raises:
        ModelError: padding in words that NIR does not have, or sizes below 1.
    """
    count = len(window)
    strides = node.integers("stride", count, 1)
    dilations = node.integers("dilation", count, 1)
    padding = node.fields.get("padding")
    if isinstance(padding, str):
        if padding not in ("same", "valid") or (padding == "same" and set(strides) != {1}):
            raise ModelError(
                f"node '{node.path}' ({node.kind}) pads by '{padding}' with strides {list(strides)}"
            )
        total = [d * (k - 1) * (padding == "same") for d, k in zip(dilations, window, strict=True)]
        # The odd one goes behind, as in torch.
        pads = (*[n // 2 for n in total], *[n - n // 2 for n in total])
    else:
        pads = node.integers("padding", count, 0) * 2
    if min(*strides, *dilations, *window) < 1 or min(pads) < 0:
        raise ModelError(f"node '{node.path}' ({node.kind}) has strides or sizes below 1")
    return strides, pads, dilations
