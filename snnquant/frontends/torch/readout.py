"""Recognises outputs that are collected over the steps of a loop: stacks and running sums."""

from __future__ import annotations

import onnx

from snnquant.frontends.torch.graph import Source, integer

_REDUCTION = {"Add": "ReduceSum", "Max": "ReduceMax", "Min": "ReduceMin"}


def stacked(node: onnx.NodeProto, source: Source) -> tuple[tuple[str, ...], int | None] | None:
    """Return the values that a node stacks along a new axis, and the axis; None: it does not.

    The axis is None where values are joined along the batch instead.
    """
    if node.op_type != "Concat" or node.domain != "" or len(node.input) < 2:
        return None
    axis = integer(node, "axis", 0)
    parts = [source.producer.get(name) for name in node.input]
    names: list[str] = []
    for part in parts:
        if part is None or part.op_type != "Unsqueeze":
            names = []
            break
        along = source.number(part.input[1])
        shape = source.shape(part.output[0])
        if along is None or not shape or along % len(shape) != axis % len(shape):
            return None
        names.append(part.input[0])
    if names:
        return tuple(names), axis
    return (tuple(node.input), None) if axis == 0 else None


def accumulated(node: onnx.NodeProto, source: Source) -> tuple[tuple[str, ...], str] | None:
    """Return the values that a chain of Add (Max, Min) collects, and the reduction that it is."""
    if node.op_type not in _REDUCTION or node.domain != "":
        return None
    leaves: list[str] = []
    place: onnx.NodeProto | None = node
    while place is not None:
        if len(place.input) != 2:
            return None
        left, right = place.input
        inner, other = source.producer.get(left), source.producer.get(right)
        if inner is None or inner.op_type != node.op_type:
            if other is not None and other.op_type == node.op_type:
                left, right, inner = right, left, other
            else:
                leaves += [right, left]
                break
        leaves.append(right)
        place = inner
    leaves.reverse()
    if node.op_type == "Add" and _is_zero(leaves[0], source):
        leaves = leaves[1:]
    if len(leaves) < 2 or len(set(leaves)) < len(leaves):
        return None
    shapes = {source.shape(name) for name in leaves}
    return (tuple(leaves), _REDUCTION[node.op_type]) if len(shapes) == 1 else None


def _is_zero(name: str, source: Source) -> bool:
    """Return whether a value is zeros of some shape, from which a sum starts."""
    array = source.array(name)
    if array is not None:
        return not array.any()
    node = source.producer.get(name)
    if node is None:
        return False
    if node.op_type in ("Expand", "Mul"):
        return any(_is_zero(n, source) for n in node.input[:1])
    if node.op_type == "ConstantOfShape":
        return not any(a.t.ByteSize() and any(a.t.raw_data) for a in node.attribute)
    return False
