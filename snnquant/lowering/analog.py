"""What becomes of values between layers that have no common step: membranes, products, averages.

Where a finer step makes it exact, or a current can be brought to the steps of another, nothing has
to be known of the values. Everything else comes out on steps of its own, which calibration finds.
Here stands only what the graph has beyond torch's quantized layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.inference import (
    added_currents,
    average_of,
    concatenated,
    product_of,
    sum_of,
    times_constant,
    with_constant,
)
from snnquant.lowering.plan import MOST_COUNT, Plan
from snnquant.numerics import FLOAT32_EXACT, INT32, FloatArray
from snnquant.passes.edit import shape_of

#: Largest magnitude of an 8-bit weight, whatever width is chosen: calibration comes before that.
_MOST_WEIGHT = 2**7


def sum_in_steps(plan: Plan, node: ir.Node, values: Sequence[ir.Value], sign: int) -> Flow:
    """Return the sum (or difference) of two computed values."""
    a, b = (plan.flow(value) for value in values)
    name = node.name or "Add"
    if plan.analog:
        if a.kind is b.kind is Kind.CURRENT and a.factor != b.factor:
            return added_currents(name, a, b)
        if {a.kind, b.kind} == {Kind.CURRENT, Kind.INTEGER}:
            current, whole = (a, b) if a.kind is Kind.CURRENT else (b, a)
            if plan.rescales(whole) and current.group is not None:
                group = current.group.root()
                most = whole.reach * whole.factor / current.factor
                group.largest_current = max(group.largest_current, most)
                return current
    try:
        return sum_of(name, a, b, sign)
    except StaysFloat as verdict:
        return _made(plan, node, [a, b], verdict)


def sum_with_constant(
    plan: Plan, node: ir.Node, flow: Flow, offset: FloatArray, sign: int, negated: bool
) -> Flow:
    """Return the sum (or difference) of a computed value and a constant."""
    if plan.analog and negated and flow.kind is Kind.CURRENT:
        # The opposite of a current is a current, on the same steps.
        return with_constant(flow, offset)
    try:
        return with_constant(flow, offset, sign, negated)
    except StaysFloat as verdict:
        return _made(plan, node, [flow], verdict)


def product_with_constant(
    plan: Plan, node: ir.Node, flow: Flow, factor: FloatArray, divides: bool
) -> Flow:
    """Return a computed value times (or divided by) a constant."""
    if not plan.analog:
        if factor.size != 1:
            raise StaysFloat(NO_FACTOR)
        return times_constant(flow, float(factor.reshape(-1)[0]), divides)
    real = factor_of(factor, divides)
    if flow.kind is Kind.FLOAT or not np.isfinite(real).all() or not real.any():
        raise StaysFloat(NO_FACTOR)
    if real.size == 1:
        only = float(real.reshape(-1)[0])
        scaled = replace(flow, factor=flow.factor * abs(only))
        turned = only < 0 and flow.kind is Kind.INTEGER
        return replace(scaled, low=-flow.high, high=-flow.low) if turned else scaled
    if flow.kind is Kind.INTEGER or flow.group is None:
        return _made(plan, node, [flow], StaysFloat(NO_FACTOR))
    # A current keeps its scale, on which the largest factor is a whole step.
    return replace(flow, factor=flow.factor * float(np.abs(real).max()))


NO_FACTOR = "its factor is not one positive constant on integers"


def factor_of(factor: FloatArray, divides: bool) -> FloatArray:
    """Return what a constant operand multiplies by."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / factor if divides else factor, np.float64)


def product_in_steps(plan: Plan, node: ir.Node) -> Flow:
    """Return the elementwise product of two computed values."""
    sides = factors(plan, node)
    if sides is None:
        a, b = (plan.flow(value) for value in node.inputs)
        return product_of(a, b)
    (_, a), (_, b) = sides
    if Kind.CURRENT not in (a.kind, b.kind):
        return product_of(a, b)
    current, whole = (a, b) if a.kind is Kind.CURRENT else (b, a)
    if current.group is not None and not current.membrane:
        group = current.group.root()
        group.summands = max(group.summands, whole.reach)
    return replace(current, factor=current.factor * whole.factor)


def factors(plan: Plan, node: ir.Node) -> list[tuple[ir.Value, Flow]] | None:
    """Return both sides of a product as they are multiplied; None: as they are anyway.

    Spikes or counts times a current are a current on its own steps. Everything else is multiplied
    as integers, brought to input width where the product would be too large.
    """
    values = [value for value in node.inputs if value is not None]
    flows = [plan.flow(value) for value in values]
    if not plan.analog or len(values) != 2 or Kind.FLOAT in (flow.kind for flow in flows):
        return None
    kinds = [flow.kind for flow in flows]
    if node.op_type == "Mul" and kinds.count(Kind.CURRENT) == 1:
        at = kinds.index(Kind.CURRENT)
        ranks = [shape_of(value) for value in (values[at], node.outputs[0])]
        whole = flows[1 - at]
        known = ranks[0] is not None and ranks[1] is not None and len(ranks[0]) == len(ranks[1])
        if known and whole.reach <= MOST_COUNT:
            return list(zip(values, flows, strict=True))
    flows = [plan.integer(value) for value in values]
    inner = _inner(node)
    order = sorted((0, 1), key=lambda index: -flows[index].reach)
    for index in order:
        if inner * flows[0].reach * flows[1].reach > INT32.high:
            flows[index] = plan.narrow(values[index])
    return list(zip(values, flows, strict=True))


def _inner(node: ir.Node) -> int:
    """Return how many products are added up to one value."""
    if node.op_type != "MatMul":
        return 1
    shape = shape_of(node.inputs[0]) if node.inputs[0] is not None else None
    if shape is None or shape[-1] is None:
        raise StaysFloat("the number of its products is not known")
    return shape[-1]


def matrix_product(plan: Plan, node: ir.Node) -> Flow:
    """Return the product of two computed matrices (attention): integers with a larger bound."""
    sides = factors(plan, node)
    if sides is None:
        raise StaysFloat("it multiplies a current by computed values")
    (_, left), (_, right) = sides
    most = _inner(node) * left.reach * right.reach
    if most > INT32.high:
        raise StaysFloat("its sums can exceed 32 bits")
    low = 0 if left.low >= 0 and right.low >= 0 else -most
    return Flow(Kind.INTEGER, left.factor * right.factor, low, most)


def mean_of(plan: Plan, flow: Flow, size: int) -> Flow:
    """Return the mean over ``size`` values of one window; of currents a finer current."""
    if not plan.analog:
        return average_of(flow, size)
    if flow.kind is not Kind.CURRENT or flow.group is None:
        return average_of(flow, size, INT32.high)
    if not flow.membrane:
        group = flow.group.root()
        group.summands = max(group.summands, size)
    return replace(flow, factor=flow.factor / size)


def joined(plan: Plan, node: ir.Node) -> Flow:
    """Return values put side by side."""
    flows = [plan.flow(value) for value in node.inputs if value is not None]
    try:
        return concatenated(node.name or "Concat", flows)
    except StaysFloat as verdict:
        return _made(plan, node, flows, verdict)


def synapse_input(plan: Plan, value: ir.Value, weights: int, convolution: bool) -> Flow:
    """Return what a synapse reads: integers, of input width where its sums would be too large.

    Args:
        plan: the plan.
        value: input of the synapse.
        weights: number of weights of one output.
        convolution: sums have to be exact in float32, weight bit by weight bit.
    """
    flow = plan.integer(value)
    if not plan.analog or flow.reach <= MOST_COUNT:
        return flow
    most = INT32.high // _MOST_WEIGHT
    most = min(most, FLOAT32_EXACT - 1) if convolution else most
    return plan.narrow(value, most // max(weights, 1))


def _made(plan: Plan, node: ir.Node, flows: Sequence[Flow], verdict: StaysFloat) -> Flow:
    """Return the flow of a result on steps of its own; what is made of float values has none."""
    if any(flow.kind is Kind.FLOAT for flow in flows):
        raise verdict
    return plan.make(node.outputs[0], verdict)
