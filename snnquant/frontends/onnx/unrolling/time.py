"""Give the dynamic dimension along which loops run a size."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import attribute_of, int_of
from snnquant.frontends.onnx.preparation.shapes import infer_shapes
from snnquant.frontends.onnx.preparation.values import KnownValues


def set_timesteps(model: onnx.ModelProto, timesteps: int, where: str) -> None:
    """Set the dimension of the inputs that decides how often the first loop runs, in place.

    Nothing happens where that is known already.

    Raises:
        ModelError: no dynamic dimension of an input decides it.
    """
    first = next((n for n in model.graph.node if _is_loop(n)), None)
    if first is None or _length_known(first, model):
        return
    for places in _dynamic_dimensions(model.graph):
        trial = onnx.ModelProto()
        trial.CopyFrom(model)
        _set(trial, places, timesteps)
        infer_shapes(trial, where)
        if _length_known(first, trial):
            model.CopyFrom(trial)
            return
    raise ModelError(
        f"{where}: no dimension of an input decides how often node '{first.name}' "
        f"({first.op_type}) runs; export with a fixed number of steps"
    )


def _is_loop(node: onnx.NodeProto) -> bool:
    return not node.domain and node.op_type in ("Loop", "Scan", "SplitToSequence")


def _length_known(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    known = KnownValues(model.graph)
    if node.op_type == "Loop":
        limit = known.value(node.input[0]) if node.input[0] else None
        endless = limit is not None and int(limit.item()) == 2**63 - 1
        # A while loop: what it counts to is known if its first condition is.
        decided = node.input[1] if endless and len(node.input) > 1 else node.input[0]
        return bool(decided) and known.value(decided) is not None
    scanned = node.input[0]
    axis = int_of(node, "axis", 0)
    if node.op_type == "Scan":
        scanned = node.input[len(node.input) - int_of(node, "num_scan_inputs", 1)]
        axes = attribute_of(node, "scan_input_axes")
        axis = axes.ints[0] if axes is not None else 0
    shape = known.shape(scanned)
    return shape is not None and shape[axis] is not None


Place = tuple[str, int]


def _dynamic_dimensions(graph: onnx.GraphProto) -> Iterator[list[Place]]:
    """Yield places in the inputs' shapes that have one size, as far as their names tell."""
    named: dict[str, list[Place]] = {}
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                key = dim.dim_param or f"{value.name} {axis}"
                named.setdefault(key, []).append((value.name, axis))
    yield from named.values()


def _set(model: onnx.ModelProto, places: list[Place], size: int) -> None:
    """Set dimensions of inputs, and those of other values that have the same name."""
    name = ""
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if (value.name, axis) in places:
                name = dim.dim_param
                dim.dim_value = size
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if name and dim.dim_param == name:
                dim.dim_value = size
    del model.graph.value_info[:]  # what was inferred before is less than what will be
