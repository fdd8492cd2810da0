"""What is known of a graph's values before it runs: small constants, and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.frontends.onnx.preparation.names import attribute_of, int_of

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]

#: A computed constant of more elements is left unknown: what decides a branch or a length is small.
MAX_ELEMENTS = 2**16


def shape_of_type(proto: onnx.TypeProto) -> Shape | None:
    """Return a tensor's shape with None for every dynamic dimension; None: the rank is unknown."""
    if not proto.tensor_type.HasField("shape"):
        return None
    return tuple(
        d.dim_value if d.HasField("dim_value") else None for d in proto.tensor_type.shape.dim
    )


class KnownValues:
    """Evaluates values of a graph on demand, each once, as far as constants and shapes tell.

    Args:
        graph: without cycles; its nodes need not be sorted.
        max_elements: bound on a computed constant.
    """

    def __init__(self, graph: onnx.GraphProto, max_elements: int = MAX_ELEMENTS) -> None:
        self.max_elements = max_elements
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._known: dict[str, Array | None] = {}
        self._partial: dict[str, Shape] = {}
        self._producer: dict[str, onnx.NodeProto] = {}
        self._shapes: dict[str, Shape] = {}
        for value in (*graph.value_info, *graph.input, *graph.output):
            shape = shape_of_type(value.type)
            if shape is not None:
                self._shapes[value.name] = shape
        self.add(graph.node)

    def add(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Make nodes known that were written after the graph was looked at."""
        for node in nodes:
            for name in node.output:
                self._producer[name] = node

    def set_value(self, name: str, array: Array) -> None:
        """Say what a value is."""
        self._known[name] = array

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a value as far as it is known; None: not even the rank."""
        if name in self._tensors:
            return tuple(self._tensors[name].dims)
        known = self._known.get(name)
        return self._shapes.get(name) if known is None else known.shape

    def value(self, name: str) -> Array | None:
        """Return a value that is a constant, else None.

        The walk is a loop, not a recursion: a running sum over time is thousands of nodes deep.
        """
        pending = [name]
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            if current in self._tensors:
                self._known[current] = numpy_helper.to_array(self._tensors[current])
                continue
            node = self._producer.get(current)
            if node is None or node.domain or node.op_type not in _EVALUATORS:
                self._known[current] = None
                continue
            if node.op_type in ("Shape", "Size"):
                self._known[current] = self._of_shape(node)
                continue
            unknown = [i for i in node.input if i and i not in self._known]
            if any(i in self._known and self._known[i] is None for i in node.input if i):
                self._known[current] = self._of_partial_shape(node)
            elif unknown:
                pending.append(unknown[0])
            else:
                self._known[current] = self._evaluate(node)
        return self._known[name]

    def _of_shape(self, node: onnx.NodeProto) -> Array | None:
        shape = self.shape(node.input[0])
        if shape is None:
            return None
        if node.op_type == "Size":
            return None if None in shape else np.array(math.prod(d or 0 for d in shape), np.int64)
        part = shape[int_of(node, "start", 0) : int_of(node, "end", len(shape))]
        if None in part:
            self._partial[node.output[0]] = part
            return None
        return np.array(part, np.int64)

    def _of_partial_shape(self, node: onnx.NodeProto) -> Array | None:
        """Return known sizes that are taken out of a shape that is known in part."""
        part = self._partial.get(node.input[0])
        if part is None or node.op_type not in ("Gather", "Slice"):
            return None
        chosen = [self.value(name) for name in node.input[1:]]  # positions, constants as a rule
        if any(c is None for c in chosen):
            return None
        take = _EVALUATORS[node.op_type]
        unknown = np.asarray(take(node, [np.array([d is None for d in part]), *chosen]))
        if unknown.any():
            return None
        return np.asarray(take(node, [np.array([d or 0 for d in part], np.int64), *chosen]))

    def _evaluate(self, node: onnx.NodeProto) -> Array | None:
        arrays = [self._known.get(i) if i else None for i in node.input]
        try:
            if node.op_type in _SIZED and _size(node, arrays) > self.max_elements:
                return None
            with np.errstate(all="ignore"):
                result = np.asarray(_EVALUATORS[node.op_type](node, arrays))
        except (ValueError, TypeError, IndexError, AttributeError, ArithmeticError, KeyError):
            return None  # malformed: whoever needs the value says so
        return result if result.size <= self.max_elements or node.op_type == "Constant" else None


#: Operations whose result may be larger than all they read.
_SIZED = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})


def _size(node: onnx.NodeProto, arrays: list[Any]) -> int:
    """Return how many elements a result has, before it is computed."""
    if node.op_type == "Range":
        start, limit, step = (float(a.reshape(-1)[0]) for a in arrays)
        return max(0, math.ceil((limit - start) / step))
    if node.op_type == "Tile":
        return int(arrays[0].size) * math.prod(int(r) for r in arrays[1])
    repeated = int(arrays[0].size) if node.op_type == "Expand" else 1
    target = arrays[1] if node.op_type == "Expand" else arrays[0]
    return repeated * math.prod(max(1, int(d)) for d in target)


Evaluator = Callable[[onnx.NodeProto, list[Any]], Any]


def constant_of(node: onnx.NodeProto) -> Array:
    """Return what a Constant node holds, in any of its numeric forms."""
    attribute = node.attribute[0]
    if attribute.name == "value":
        return numpy_helper.to_array(attribute.t)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(helper.get_attribute_value(attribute), np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(helper.get_attribute_value(attribute), np.int64)
    raise ValueError(attribute.name)


def axes_of(node: onnx.NodeProto, given: Any) -> tuple[int, ...] | None:
    """Return the axes of a node, whether they are an attribute or an input."""
    attribute = attribute_of(node, "axes")
    if attribute is not None:
        return tuple(attribute.ints)
    return None if given is None else tuple(int(a) for a in np.reshape(given, -1))


def _second(arrays: list[Any]) -> Any:
    return arrays[1] if len(arrays) > 1 else None


def _cast(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    dtype = helper.tensor_dtype_to_np_dtype(int_of(node, "to", 0))
    return arrays[0].astype(dtype)


def _divide(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    """Integers are divided toward zero."""
    a, b = arrays
    if np.issubdtype(a.dtype, np.integer):
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


def _modulo(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    return np.fmod(*arrays) if int_of(node, "fmod", 0) else np.mod(*arrays)


def _unsqueeze(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    axes = axes_of(node, _second(arrays)) or ()
    return np.expand_dims(arrays[0], axes)


def slices_of(rank: int, arrays: list[Any]) -> tuple[slice, ...]:
    """Return the slice of each axis that the inputs of a Slice ask for."""
    starts, ends = (np.reshape(a, -1) for a in arrays[1:3])
    given = [a for a in (*arrays[3:5], None, None)]
    axes = range(len(starts)) if given[0] is None else np.reshape(given[0], -1)
    steps = [1] * len(starts) if given[1] is None else np.reshape(given[1], -1)
    found = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop: int | None = int(end)
        if step < 0 and end < -(2**31) + 2:
            stop = None  # to the beginning, which a negative index cannot say
        found[int(axis)] = slice(int(start), stop, int(step))
    return tuple(found)


def reshaped(shape: Shape, target: Iterable[int], allow_zero: bool) -> tuple[int, ...]:
    """Return the target of a Reshape without zeros; -1 may be left in."""
    wanted = [int(d) for d in target]
    if not allow_zero:
        for axis, size in enumerate(wanted):
            kept = shape[axis] if size == 0 else size
            wanted[axis] = -1 if kept is None else kept
    return tuple(wanted)


def _reshape(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    target = reshaped(arrays[0].shape, arrays[1], bool(int_of(node, "allowzero", 0)))
    return arrays[0].reshape(target)


def _constant_of_shape(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    value = attribute_of(node, "value")
    filled = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value.t)
    return np.full([int(d) for d in arrays[0]], filled.reshape(-1)[0], filled.dtype)


def _expand(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    target = [int(d) for d in arrays[1]]
    return np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, tuple(target))).copy()


def _transpose(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    permutation = attribute_of(node, "perm")
    return np.transpose(arrays[0], None if permutation is None else tuple(permutation.ints))


def _reduction(function: Callable[..., Any]) -> Evaluator:
    def reduce(node: onnx.NodeProto, arrays: list[Any]) -> Any:
        axes = axes_of(node, _second(arrays))
        if not axes and int_of(node, "noop_with_empty_axes", 0):
            return arrays[0]
        keep = bool(int_of(node, "keepdims", 1))
        result = function(arrays[0], axis=axes or None, keepdims=keep)
        return np.asarray(result).astype(arrays[0].dtype)

    return reduce


def _gather(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    return np.take(arrays[0], arrays[1], axis=int_of(node, "axis", 0))


def _clip(node: onnx.NodeProto, arrays: list[Any]) -> Any:
    low, high, *_ = (*arrays[1:], None, None)
    result = arrays[0] if low is None else np.maximum(arrays[0], low)
    return result if high is None else np.minimum(result, high)


def _plain(function: Callable[..., Any]) -> Evaluator:
    return lambda node, arrays: function(*arrays)


def _many(function: Callable[..., Any]) -> Evaluator:
    def fold(node: onnx.NodeProto, arrays: list[Any]) -> Any:
        result = arrays[0]
        for array in arrays[1:]:
            result = function(result, array)
        return result

    return fold


_EVALUATORS: Mapping[str, Evaluator] = {
    "Constant": lambda node, arrays: constant_of(node),
    "ConstantOfShape": _constant_of_shape,
    "Shape": lambda node, arrays: None,  # KnownValues answers both: it has the shapes
    "Size": lambda node, arrays: None,
    "Cast": _cast,
    "Div": _divide,
    "Mod": _modulo,
    "Gather": _gather,
    "Concat": lambda node, arrays: np.concatenate(arrays, int_of(node, "axis", 0)),
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda node, arrays: np.squeeze(arrays[0], axes_of(node, _second(arrays))),
    "Slice": lambda node, arrays: arrays[0][slices_of(arrays[0].ndim, arrays)],
    "Reshape": _reshape,
    "Expand": _expand,
    "Tile": lambda node, arrays: np.tile(arrays[0], [int(r) for r in arrays[1]]),
    "Transpose": _transpose,
    "Clip": _clip,
    "Range": lambda node, arrays: np.arange(*(a.reshape(-1)[0] for a in arrays)).astype(
        arrays[0].dtype
    ),
    "ReduceSum": _reduction(np.sum),
    "ReduceProd": _reduction(np.prod),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Identity": _plain(np.asarray),
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
    "Xor": _plain(np.logical_xor),
    "Not": _plain(np.logical_not),
    "Where": _plain(np.where),
}
