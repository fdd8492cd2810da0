"""Currents as weights applied to intervals, kept open so that parts of a synapse meet again.

A synapse whose sums are too large for one float32 operation is written in digits of its weights,
each applied to the same input. Bounds of the digits added up would be far wider than those of the
weights that they make, so that weights are put together before they are applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.bounds.intervals import Interval
from snnquant.bounds.operations import evaluator, exact, follow, whole

Array = npt.NDArray[Any]
#: The place of the data among a synapse's inputs is 0, that of its weights 1, of its bias 2.
SYNAPSE_OPS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Weighted:
    """``weight`` applied to ``source`` as ``node`` does it, plus ``rest``.

    Attributes:
        node: the synapse, or the first of its digits.
        opset: version of the standard ops.
        source: what the input can be.
        weight: integers in float64.
        rest: what is added, which broadcasts.
        kind: type of the sums.
    """

    node: onnx.NodeProto
    opset: int
    source: Interval
    weight: Array
    rest: Array
    kind: np.dtype[Any]

    def times(self, factor: Array) -> Weighted:
        """Return this times a number."""
        scalar = float(factor.reshape(-1)[0])
        return replace(self, weight=self.weight * scalar, rest=self.rest * scalar)

    def plus(self, other: Weighted | Array) -> Weighted | None:
        """Return the sum with constants, or with other weights on the same source."""
        if not isinstance(other, Weighted):
            return replace(self, rest=self.rest + other)
        alike = other.source is self.source and self.node.attribute == other.node.attribute
        if not alike or self.node.op_type != other.node.op_type:
            return None
        return replace(self, weight=self.weight + other.weight, rest=self.rest + other.rest)

    def current(self) -> tuple[Interval, Interval]:
        """Return what the sums can be, and what they can pass through while they are added up.

        A partial sum has some of the terms, in any order, and the constant or not yet.
        """
        low, high = self._applied(self.source)
        at_rest = Interval(np.minimum(self.source.low, 0), np.maximum(self.source.high, 0))
        least, most = self._applied(at_rest)
        total = Interval(low + self.rest, high + self.rest).map(lambda end: end.astype(self.kind))
        passed = Interval(least + np.minimum(self.rest, 0), most + np.maximum(self.rest, 0))
        return total, passed

    def _applied(self, source: Interval) -> tuple[Array, Array]:
        """Return both ends of the weights applied to an interval."""
        rising, falling = np.maximum(self.weight, 0), np.minimum(self.weight, 0)
        bare = onnx.NodeProto()
        bare.CopyFrom(self.node)
        del bare.input[2:]
        evaluate = evaluator(bare, self.opset)
        low, high, count = _distinct_rows(source)
        ends = (
            evaluate([a, rising])[0] + evaluate([b, falling])[0]
            for a, b in ((low, high), (high, low))
        )
        first, second = (np.repeat(end, count, axis=0) if count > 1 else end for end in ends)
        return first, second


def _distinct_rows(source: Interval) -> tuple[Array, Array, int]:
    """Return both ends in float64; one row where all samples and steps are alike, and how many."""
    low, high = source.low.astype(np.float64), source.high.astype(np.float64)
    alike = len(low) > 1 and bool((low == low[:1]).all() and (high == high[:1]).all())
    return (low[:1], high[:1], len(low)) if alike else (low, high, 1)


def open_synapse(
    node: onnx.NodeProto, inputs: Sequence[Interval | None], opset: int
) -> Weighted | Interval:
    """Return a synapse with constant weights as what it is, or the bounds of a product of data."""
    source, weight = inputs[0], inputs[1]
    assert source is not None
    assert weight is not None
    if not whole(source.low, source.high, weight.low, weight.high):
        return follow(node, inputs, opset)[0]
    if not exact(weight) or (node.op_type == "MatMul" and source.low.ndim < 2):
        return _product(node, source, weight, opset)
    bias = inputs[2] if len(inputs) > 2 else None
    rest = np.zeros(1) if bias is None else bias.low.astype(np.float64)
    if node.op_type == "Conv" and bias is not None:
        rest = rest.reshape(-1, *[1] * (weight.low.ndim - 2))
    return Weighted(node, opset, source, weight.low.astype(np.float64), rest, source.low.dtype)


def _product(node: onnx.NodeProto, a: Interval, b: Interval, opset: int) -> Interval:
    """Return the bounds of a matrix product of data, parts of either sign apart."""
    evaluate = evaluator(node, opset)
    low: Any = 0
    high: Any = 0
    for left, sign in _signed(a):
        for right, other in _signed(b):
            ends = [evaluate([x, y])[0] for x, y in zip(left, right, strict=True)]
            least, most = ends if sign * other > 0 else [-end for end in reversed(ends)]
            low, high = low + least, high + most
    return Interval(low, high).map(lambda end: end.astype(a.low.dtype))


def _signed(x: Interval) -> list[tuple[tuple[Array, Array], int]]:
    """Return an interval as what is above 0 less what is below: bounds of magnitudes, and signs."""
    low, high = x.low.astype(np.float64), x.high.astype(np.float64)
    above = (np.maximum(low, 0), np.maximum(high, 0)), 1
    below = (np.maximum(-high, 0), np.maximum(-low, 0)), -1
    return [above, below] if (low < 0).any() else [above]
