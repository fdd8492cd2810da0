"""Recognises values that a loop over time picks one by one along an axis of another."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from snnquant.frontends.torch.graph import Source, integer


def picked_steps(names: Sequence[str], source: Source) -> tuple[str, int, list[int]] | None:
    """Return the value, the axis and the places from which each step is picked; None: not so.

    Spelled ``x[t]`` (Gather by a number), ``x.unbind()`` and ``for step in x`` (parts of a Split,
    or of a sequence), or ``x[t:t+1].squeeze()``.
    """
    found = [_picked(name, source) for name in names]
    known = [pick for pick in found if pick is not None]
    if len(known) < len(found):
        return None
    value, axis, _ = known[0]
    if any(pick[:2] != (value, axis) for pick in known):
        return None
    return value, axis, [pick[2] for pick in known]


def _picked(name: str, source: Source) -> tuple[str, int, int] | None:
    node = source.producer.get(name)
    if node is None or node.domain != "":
        return None
    if node.op_type == "Gather":
        place = source.array(node.input[1])
        shape = source.shape(node.input[0])
        if place is None or place.ndim or not shape:
            return None
        return _checked(node.input[0], integer(node, "axis", 0), int(place), source)
    if node.op_type == "SequenceAt":
        parts, number = source.producer.get(node.input[0]), source.number(node.input[1])
        if parts is None or parts.op_type != "SplitToSequence" or number is None:
            return None
        if len(parts.input) > 1 or integer(parts, "keepdims", 1):
            return None
        return _checked(parts.input[0], integer(parts, "axis", 0), number, source)
    if node.op_type == "Squeeze" and len(node.input) > 1:
        axis, inner = source.number(node.input[1]), source.producer.get(node.input[0])
        return None if axis is None or inner is None else _part(inner, node.input[0], axis, source)
    return None


def _part(
    node: onnx.NodeProto, name: str, axis: int, source: Source
) -> tuple[str, int, int] | None:
    """Return where a part of width 1 along an axis, which is squeezed away, comes from."""
    shape = source.shape(node.input[0]) if node.input else None
    if not shape:
        return None
    if node.op_type == "Split" and integer(node, "axis", 0) % len(shape) == axis % len(shape):
        if shape[axis] != len(node.output):
            return None
        return _checked(node.input[0], axis, list(node.output).index(name), source)
    if node.op_type == "Slice" and len(node.input) == 4:
        numbers = [source.number(n) for n in node.input[1:]]
        start, end, along = numbers
        if start is None or end is None or along is None or along % len(shape) != axis % len(shape):
            return None
        return _checked(node.input[0], axis, start, source) if end == start + 1 else None
    if node.op_type == "SequenceAt":
        parts, number = source.producer.get(node.input[0]), source.number(node.input[1])
        if parts is None or parts.op_type != "SplitToSequence" or number is None:
            return None
        width = source.number(parts.input[1]) if len(parts.input) > 1 else 1
        if width == 1 and integer(parts, "axis", 0) == axis:
            return _checked(parts.input[0], axis, number, source)
    return None


def _checked(value: str, axis: int, place: int, source: Source) -> tuple[str, int, int] | None:
    """Return a pick with axis and place counted from the front, if the value's axis is fixed."""
    shape = source.shape(value)
    if not shape:
        return None
    axis %= len(shape)
    size = shape[axis]
    return (value, axis, place % size) if isinstance(size, int) and size > 0 else None
