"""Comparisons with a threshold, whatever their spelling, and the values that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from snnquant.frontends.onnx.recognition.facts import Facts
from snnquant.frontends.onnx.recognition.interpreter import Handler, Interpreter
from snnquant.frontends.onnx.recognition.mixtures import after_reset, state_of
from snnquant.frontends.onnx.recognition.polynomials import Poly, reduced

_COMPARES = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
#: Operations that round a membrane to a number of spikes.
_ROUNDS = frozenset({"Floor", "Round", "Ceil"})
_LOOK_THROUGH = frozenset({"Identity", "Cast", "CastLike"})


@dataclass(frozen=True)
class Comparison:
    """``value > other`` (or ``>=``), negated or not; names of values.

    ``other`` is None for 0.
    """

    value: str
    other: str | None
    on_equal: bool
    negated: bool


def comparison_of(
    node: onnx.NodeProto, facts: Facts, producers: Mapping[str, onnx.NodeProto]
) -> Comparison | None:
    """Return what a node compares; a difference that is compared with 0 is taken apart.

    Args:
        node: any node.
        facts: tells constants.
        producers: node per value.
    """
    if node.op_type == "Sign":
        return _apart(node.input[0], None, False, False, facts, producers)
    if node.op_type not in _COMPARES or len(node.input) != 2:
        return None
    left, right = node.input
    greater = node.op_type.startswith("Greater")
    on_equal = node.op_type.endswith("OrEqual")
    if left not in facts.data and right not in facts.data:
        return None
    if left not in facts.data or (right in facts.data and not greater):
        # c < v is v > c; both data: the left one of `a < b` is the threshold.
        left, right, greater = right, left, not greater
    if not greater:
        # v < c is not (v >= c).
        return _apart(left, right, not on_equal, True, facts, producers)
    return _apart(left, right, on_equal, False, facts, producers)


def _apart(
    value: str,
    other: str | None,
    on_equal: bool,
    negated: bool,
    facts: Facts,
    producers: Mapping[str, onnx.NodeProto],
) -> Comparison:
    """Look through ``h - threshold > 0``, which says what the membrane is."""
    zero = other is None or (
        other not in facts.data and not np.any(np.asarray(facts.constants[other]))
    )
    while zero:
        node = producers.get(value)
        if node is None or node.op_type not in ("Sub", *_LOOK_THROUGH):
            break
        if node.op_type in _LOOK_THROUGH:
            value = node.input[0]
            continue
        left, right = node.input
        if left in facts.data:
            value, other = left, right
        else:
            # c - v > 0 is not (v >= c).
            value, other, negated, on_equal = right, left, not negated, not on_equal
        break
    while (node := producers.get(value)) is not None and node.op_type in _LOOK_THROUGH:
        value = node.input[0]
    return Comparison(value, None if zero and other is None else other, on_equal, negated)


def compared_values(model: onnx.ModelProto, facts: Facts) -> tuple[set[str], set[str]]:
    """Return the names of values that are compared or counted, and of computed thresholds."""
    producers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    thresholds: set[str] = set()
    sized = {node.input[0] for node in model.graph.node if node.op_type == "Abs"}
    for node in model.graph.node:
        if node.op_type == "Sign" and node.input[0] in sized:
            continue  # sign(x) * abs(x), as a sum pooling is exported
        comparison = comparison_of(node, facts, producers)
        if comparison is not None and comparison.value in facts.data:
            found.add(comparison.value)
            if comparison.other is not None and comparison.other in facts.data:
                thresholds.add(comparison.other)
        if _rounds(node, facts):
            found.add(_undivided(node.input[0], facts, producers))
    return found, thresholds - found


def _rounds(node: onnx.NodeProto, facts: Facts) -> bool:
    if not node.input or node.input[0] not in facts.data:
        return False
    if node.op_type in _ROUNDS:
        return True
    if node.op_type != "Cast":
        return False
    target = next((a.i for a in node.attribute if a.name == "to"), 0)
    return target in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def _undivided(value: str, facts: Facts, producers: Mapping[str, onnx.NodeProto]) -> str:
    """Return the membrane of which a rounded value is a constant share, as ``Abs(v / c)``."""
    while (node := producers.get(value)) is not None:
        if node.input[0] not in facts.data:
            break
        by_constant = node.op_type in ("Div", "Mul") and node.input[1] not in facts.data
        if not (by_constant or node.op_type in ("Abs", "Clip", "Relu", *_LOOK_THROUGH)):
            break
        value = node.input[0]
    return value


def _compared_again(poly: Poly, threshold: Poly, comparison: Comparison) -> Poly | None:
    """Return the comparison of a membrane that its own spikes have just reset.

    Where it did not fire it is below the threshold; where it did it is what it was set to.
    """
    found = after_reset(poly)
    if found is None or comparison.negated:
        return None
    spike, value = found
    bound = threshold.coefficient()
    if spike.on_equal != comparison.on_equal or not spike.threshold.equals(threshold):
        return None
    above = np.greater_equal if comparison.on_equal else np.greater
    fires = above(value, bound)
    return Poly.of(spike).scaled(reduced(np.asarray(fires, np.float64)))


def handlers_for(model: onnx.ModelProto, facts: Facts) -> dict[str, Handler]:
    """Return the handlers of comparisons."""
    producers = {name: node for node in model.graph.node for name in node.output}

    def compare(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
        comparison = comparison_of(node, facts, producers)
        if comparison is None:
            return None
        poly = of.poly(comparison.value)
        other = Poly.constant(0.0) if comparison.other is None else of.poly(comparison.other)
        again = _compared_again(poly, other, comparison)
        if again is not None:
            return again
        found = state_of(poly)
        if found is None:
            return None
        state, factor, constant = found
        threshold = (other - Poly.constant(constant)).scaled(1.0 / factor)
        # c*v > d with c < 0 is not (v >= d/c).
        downward = factor < 0
        spike = of.spike(state, threshold, comparison.on_equal != downward)
        negated = comparison.negated != downward
        result = Poly.constant(1.0) - spike if negated else spike
        if node.op_type == "Sign":
            return result.scaled(2.0) - Poly.constant(1.0)
        return result

    return dict.fromkeys([*_COMPARES, "Sign"], compare)
