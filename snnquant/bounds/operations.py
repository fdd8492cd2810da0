"""What nodes of an integer graph make of intervals: rules by operation, none of them sampled.

What is not known here can be anything that its type holds, which the next rounding to integers
limits again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from snnquant.bounds.intervals import Interval
from snnquant.reference.standard import STANDARD_OPS

Array = npt.NDArray[Any]
Evaluate = Callable[[Sequence[Array | None]], list[Array]]
Rule = Callable[[Evaluate, Sequence[Interval | None]], list[Interval]]

#: The result grows, or stays, where any input grows.
_RISING = frozenset(
    {
        "Add",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "GlobalMaxPool",
        "Identity",
        "Max",
        "MaxPool",
        "Min",
        "Pad",
        "QuantizeLinear",
        "ReduceMax",
        "ReduceMin",
        "Relu",
        "Reshape",
        "Round",
        "Sign",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Sum",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
#: Of these all rising inputs are data; of others it is the first, and the rest is how it is moved.
_OF_DATA_ALONE = frozenset({"Add", "Clip", "Concat", "Max", "Min", "Sum"})
#: The same, but real numbers are added up in an order of the runtime's own.
_SUMS = frozenset({"AveragePool", "CumSum", "GlobalAveragePool", "ReduceMean", "ReduceSum"})
_PICKS = frozenset({"Gather", "GatherElements", "GatherND"})
#: Known from the shapes of the inputs alone.
_SHAPES = frozenset({"Shape", "Size"})


def evaluator(node: onnx.NodeProto, opset: int) -> Evaluate:
    """Return the reference's function of one standard node; what is None is not there."""
    present = [name for name in node.input if name]
    model = helper.make_model(
        helper.make_graph(
            [node],
            "node",
            [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(present)],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    run = ReferenceEvaluator(model, new_ops=[*STANDARD_OPS])

    def evaluate(arrays: Sequence[Array | None]) -> list[Array]:
        feeds = {n: a for n, a in zip(node.input, arrays, strict=True) if n and a is not None}
        with np.errstate(all="ignore"):
            return [np.asarray(result) for result in run.run(None, feeds)]

    return evaluate


def anything(like: Array) -> Interval:
    """Return all that a value of this shape and type can be."""
    kind = like.dtype
    ends: tuple[float, float] = -np.inf, np.inf
    if kind == np.bool_:
        ends = 0, 1
    elif np.issubdtype(kind, np.integer):
        ends = np.iinfo(kind).min, np.iinfo(kind).max
    low, high = (np.full(like.shape, end, kind) for end in ends)
    return Interval(low, high)


def exact(interval: Interval) -> bool:
    """Whether only one value is possible because it is a constant."""
    return interval.low is interval.high


def constant(value: Array) -> Interval:
    """Return the interval of a value that is known."""
    return Interval(value, value)


def whole(*arrays: Array) -> bool:
    """Whether sums of these numbers are exact: integers, of which floats hold each."""
    return all(
        not np.issubdtype(a.dtype, np.floating)
        or bool(np.isfinite(a).all() and (a == np.rint(a)).all())
        for a in arrays
    )


def follow(node: onnx.NodeProto, inputs: Sequence[Interval | None], opset: int) -> list[Interval]:
    """Return what the outputs of a standard node can be.

    Args:
        node: of the default domain, not a synapse.
        inputs: what its inputs can be; None: not given.
        opset: version of the standard ops.
    """
    evaluate = evaluator(node, opset)
    given = [i for i in inputs if i is not None]
    if all(exact(i) for i in given) or node.op_type in _SHAPES:
        return [constant(a) for a in evaluate([None if i is None else i.low for i in inputs])]
    if node.op_type == "Cast":
        return _cast(evaluate, inputs)
    moved = node.op_type not in _OF_DATA_ALONE and not all(exact(i) for i in inputs[1:] if i)
    if moved and node.op_type in _PICKS:
        return _picked(evaluate, inputs)
    if moved and node.op_type in _RISING | _SUMS:
        return _unknown(evaluate, inputs)
    if node.op_type in _RISING:
        return _rising(evaluate, inputs)
    if node.op_type in _SUMS and all(whole(i.low, i.high) for i in given):
        return _rising(evaluate, inputs)
    rule = _RULES.get(node.op_type, _unknown)
    return rule(evaluate, inputs)


def _lows(inputs: Sequence[Interval | None]) -> list[Array | None]:
    return [None if i is None else i.low for i in inputs]


def _highs(inputs: Sequence[Interval | None]) -> list[Array | None]:
    return [None if i is None else i.high for i in inputs]


def _rising(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    lows, highs = evaluate(_lows(inputs)), evaluate(_highs(inputs))
    return [Interval(low, high) for low, high in zip(lows, highs, strict=True)]


def _picked(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    """Return what can be picked where the data says what is: any value."""
    data, index = inputs
    assert data is not None
    assert index is not None
    first = np.zeros_like(index.low)
    ends = (np.full_like(data.low, data.low.min()), np.full_like(data.high, data.high.max()))
    return [Interval(*(evaluate([end, first])[0] for end in ends))]


def _unknown(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    """Evaluate for the shapes only: on constants as they are, and zeros."""
    zeros = [None if i is None else i.low if exact(i) else np.zeros_like(i.low) for i in inputs]
    return [anything(result) for result in evaluate(zeros)]


def _cast(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    """A cast rises, but for what the new type cannot hold."""
    (before,) = inputs
    assert before is not None
    (kind,) = evaluate([np.zeros_like(before.low)])
    if kind.dtype == np.bool_:
        # Of numbers on both sides of 0, none of the ends becomes False.
        return [anything(kind)]
    if np.issubdtype(kind.dtype, np.integer):
        limits = np.iinfo(kind.dtype)
        if before.low.min(initial=0) < limits.min or before.high.max(initial=0) > limits.max:
            return [anything(kind)]
    return _rising(evaluate, inputs)


def _difference(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    a, b = inputs
    assert a is not None
    assert b is not None
    return [Interval(evaluate([a.low, b.high])[0], evaluate([a.high, b.low])[0])]


def _falling(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    return [Interval(evaluate(_highs(inputs))[0], evaluate(_lows(inputs))[0])]


def _corners(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    """A product has its extremes where both factors have theirs."""
    a, b = inputs
    assert a is not None
    assert b is not None
    results = [evaluate([x, y])[0] for x in (a.low, a.high) for y in (b.low, b.high)]
    if any(np.isnan(r).any() for r in results if np.issubdtype(r.dtype, np.floating)):
        return [anything(results[0])]
    return [Interval(np.minimum.reduce(results), np.maximum.reduce(results))]


def _quotient(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    divisor = inputs[1]
    if divisor is None or not exact(divisor) or (divisor.low == 0).any():
        return _unknown(evaluate, inputs)
    return _corners(evaluate, inputs)


def _magnitude(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    (before,) = inputs
    assert before is not None
    ends = [evaluate([side])[0] for side in (before.low, before.high)]
    least = np.where((before.low <= 0) & (before.high >= 0), 0, np.minimum(*ends))
    return [Interval(least.astype(ends[0].dtype), np.maximum(*ends))]


def _selection(evaluate: Evaluate, inputs: Sequence[Interval | None]) -> list[Interval]:
    condition, yes, no = inputs
    assert condition is not None
    if exact(condition):
        return _rising(evaluate, inputs)
    every = [np.full_like(condition.low, value) for value in (True, False)]
    first, second = (_rising(evaluate, [constant(c), yes, no])[0] for c in every)
    return [Interval(np.minimum(first.low, second.low), np.maximum(first.high, second.high))]


_RULES: Mapping[str, Rule] = {
    "Abs": _magnitude,
    "Div": _quotient,
    "Mul": _corners,
    "Neg": _falling,
    "Sub": _difference,
    "Where": _selection,
}
