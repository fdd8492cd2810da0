"""Operations that only move values: new axes, picked steps, and steps put side by side."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper

from snnquant.frontends.onnx.recognition.facts import Facts
from snnquant.frontends.onnx.recognition.interpreter import Handler, Interpreter
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import STATIC, Computed, Constant, Stack

#: Axes along which an inner value can be a sequence: time-major or batch-major.
_TIME_AXES = (0, 1)
#: The end of a slice that takes all there is.
_NO_END = 2**31 - 1


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute, or its default."""
    return next((a.i for a in node.attribute if a.name == name), default)


def picked_place(node: onnx.NodeProto, facts: Facts) -> list[tuple[int, int]] | None:
    """Return (axis, index) per output, for a node that picks single places of its first input.

    None: it does something else. Negative counts are resolved where the shape is known.
    """
    shape = facts.shapes.get(node.input[0]) if node.input else None
    if (
        shape is None
        or node.input[0] not in facts.data
        or any(name in facts.data for name in node.input[1:])
    ):
        return None
    if node.op_type == "Gather":
        index = facts.constants[node.input[1]]
        axis = attribute(node, "axis", 0) % len(shape)
        return [(axis, int(index.reshape(-1)[0]) % shape[axis])] if index.size == 1 else None
    if node.op_type == "Slice":
        return _sliced(node, facts, shape)
    if node.op_type == "Split":
        axis = attribute(node, "axis", 0) % len(shape)
        count = len(node.output)
        return [(axis, k) for k in range(count)] if count == shape[axis] > 1 else None
    return None


def _sliced(
    node: onnx.NodeProto, facts: Facts, shape: tuple[int, ...]
) -> list[tuple[int, int]] | None:
    held = [facts.constants[name].reshape(-1) if name else None for name in node.input[1:]]
    starts, ends = held[0], held[1]
    axes = held[2] if len(held) > 2 else None
    if starts is None or ends is None or starts.size != 1:
        return None
    axis = 0 if axes is None else int(axes[0]) % len(shape)
    start, end, _ = slice(int(starts[0]), int(ends[0])).indices(shape[axis])
    step = held[3] if len(held) > 3 else None
    if end - start != 1 or shape[axis] == 1 or (step is not None and int(step[0]) != 1):
        return None
    return [(axis, start)]


def step_axes(model: onnx.ModelProto, facts: Facts) -> set[tuple[str, int]]:
    """Return the (value, axis) pairs of which a graph picks every place: these axes are time."""
    places: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    inputs = {value.name for value in model.graph.input}
    for node in model.graph.node:
        for axis, index in picked_place(node, facts) or ():
            if axis in _TIME_AXES or node.input[0] in inputs:
                places[node.input[0], axis].add(index)
    return {
        (name, axis)
        for (name, axis), indices in places.items()
        if len(indices) > 1 and indices == set(range(facts.shapes[name][axis]))
    }


def added_axis(atom: object) -> tuple[int, Poly] | None:
    """Return the axis of size 1 that a view adds, and what it views."""
    if isinstance(atom, Computed) and atom.node.op_type == "Unsqueeze":
        axes, poly = atom.operands[1], atom.operands[0]
        if isinstance(axes, Constant) and axes.array.size == 1 and isinstance(poly, Poly):
            return int(axes.array.reshape(-1)[0]), poly
    return None


def add_axis(of: Interpreter, poly: Poly, axis: int, name: str) -> Poly:
    """Return a polynomial with a new axis of size 1."""
    node = helper.make_node("Unsqueeze", ["", ""], [name])
    return of.computed(node, (of.settled(poly), Constant.of(np.array([axis], np.int64))))


def _pick(of: Interpreter, node: onnx.NodeProto) -> Poly | list[Poly] | None:
    places = picked_place(node, of.facts)
    if node.input[0] in of.facts.constants or places is None:
        return _unchanged(of, node)
    source = of.settled(of.values[node.input[0]])
    kept = node.op_type != "Gather" or of.constant(node.input[1]).ndim == 1
    results = []
    for (axis, index), name in zip(places, node.output, strict=True):
        inner = added_axis(source.single)
        if inner is not None and inner[0] == axis and index == 0:
            picked = inner[1]
        else:
            timed = (node.input[0], axis) in of.steps
            picked = of.pick(source, axis, index, timed)
        results.append(add_axis(of, picked, axis, name) if kept else picked)
    return results


def _unchanged(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    """Return the input of a view that changes nothing, or that undoes the view before."""
    name = node.input[0]
    if of.is_constant(name) or len(node.output) != 1:
        return None
    before, after = of.shape(name), of.shape(node.output[0])
    poly = of.values[name]
    if before == after and _same_at_any_batch(of.facts, name, node.output[0]):
        return None if _reorders(of, node) else poly
    inner = added_axis(of.settled(poly).single)
    if inner is not None and before[: inner[0]] + before[inner[0] + 1 :] == after:
        axis, viewed = inner
        dropped = _dropped_axis(of, node)
        if dropped is None or dropped == axis:
            return viewed
    return None


def _reorders(of: Interpreter, node: onnx.NodeProto) -> bool:
    """Whether a view whose result has its input's shape may hold other values all the same."""
    if node.op_type == "Slice":
        steps = of.constant(node.input[4]) if len(node.input) > 4 and node.input[4] else None
        if steps is not None and (steps != 1).any():
            return True
        # An end that only the batch sizes of the facts do not reach takes samples away.
        axes = list(range(len(of.shape(node.input[0]))))
        if len(node.input) > 3 and node.input[3]:
            axes = [int(a) % len(axes) for a in of.constant(node.input[3]).reshape(-1)]
        name, facts = node.input[0], of.facts
        ends = of.constant(node.input[2]).reshape(-1)
        return facts.dynamic and any(
            facts.shapes[name][axis] != facts.other_shapes[name][axis]
            and facts.shapes[name][axis] < end < _NO_END
            and node.input[2] not in facts.varying
            for axis, end in zip(axes, ends, strict=False)
        )
    return node.op_type in ("Transpose", "Gather")


def _same_at_any_batch(facts: Facts, first: str, second: str) -> bool:
    return facts.other_shapes.get(first) == facts.other_shapes.get(second)


def _dropped_axis(of: Interpreter, node: onnx.NodeProto) -> int | None:
    """Return the axis that a Squeeze removes; None where the shapes tell enough."""
    if node.op_type != "Squeeze" or len(node.input) < 2 or not node.input[1]:
        return None
    axes = of.constant(node.input[1]).reshape(-1)
    return int(axes[0]) % len(of.shape(node.input[0])) if axes.size == 1 else -1


def _unsqueeze(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    axes = of.constant(node.input[1]).reshape(-1)
    if axes.size != 1 or of.is_constant(node.input[0]):
        return None
    axis = int(axes[0]) % len(of.shape(node.output[0]))
    return add_axis(of, of.values[node.input[0]], axis, node.output[0])


def _reshape(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    unchanged = _unchanged(of, node)
    if unchanged is not None:
        return unchanged
    before, after = of.shape(node.input[0]), of.shape(node.output[0])
    if of.values[node.input[0]].time == STATIC or len(after) != len(before) + 1:
        return None
    for axis in range(len(after)):
        if after[axis] == 1 and after[:axis] + after[axis + 1 :] == before:
            return add_axis(of, of.values[node.input[0]], axis, node.output[0])
    return None


def _concat(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    """Read steps that are put side by side along an axis of their own as a stack."""
    axis = attribute(node, "axis", 0) % len(of.shape(node.output[0]))
    entries = []
    for name in node.input:
        if of.is_constant(name):
            return None
        added = added_axis(of.settled(of.values[name]).single)
        if added is None or added[0] != axis:
            return _concat_batches(of, node, axis)
        entries.append(added[1])
    return stack(of, entries, axis, node.output[0])


def stack(of: Interpreter, entries: list[Poly], axis: int, name: str) -> Poly | None:
    """Return values of ascending steps as a stack; None if they are of one step."""
    times = [poly.time for poly in entries]
    if len(set(times)) != len(times):
        return None
    settled = tuple(of.settled(poly) for poly in entries)
    key = ("stack", axis, tuple(poly.products() for poly in settled))
    for known in of.candidates(key):
        if all(a.equals(b) for a, b in zip(known.entries, settled, strict=True)):
            return Poly.of(known)
    made = Stack(STATIC, name, axis, settled)
    of.candidates(key).append(made)
    return Poly.of(made)


def _concat_batches(of: Interpreter, node: onnx.NodeProto, axis: int) -> Poly | None:
    """Read ``[B, ...]`` values of all steps that are joined along the batch as ``[T*B, ...]``."""
    if any(of.is_constant(name) for name in node.input):
        return None
    polys = [of.settled(of.values[name]) for name in node.input]
    if axis != 0 or any(poly.time == STATIC for poly in polys):
        return None
    stacked = stack(of, polys, 0, "")
    if stacked is None:
        return None
    shape = of.shape(node.input[0])
    view = helper.make_node("Reshape", ["", ""], [node.output[0]])
    target = np.array([-1, *shape[1:]], np.int64)
    return of.computed(view, (stacked, Constant.of(target)))


HANDLERS: dict[str, Handler] = {
    "Gather": _pick,
    "Slice": _pick,
    "Split": _pick,
    "Squeeze": _unchanged,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Expand": _unchanged,
    "Tile": _unchanged,
    "Transpose": _unchanged,
    "Unsqueeze": _unsqueeze,
    "Dropout": _unchanged,
    "Concat": _concat,
}
