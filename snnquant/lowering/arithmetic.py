"""Sums and products: several synapses into one neuron, residual spikes, biases, factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Constant, Flow, Kind, StaysFloat, Term, join
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, operand, standard
from snnquant.numerics import INT32, FloatArray, IntArray, require_finite, round_to_int
from snnquant.passes.edit import constant


def _constant_side(node: ir.Node) -> tuple[ir.Value, FloatArray, int] | None:
    """Return (data, constant, index of the constant) if exactly one operand is constant."""
    held = [constant(value) for value in node.inputs]
    for index in (1, 0):
        array = held[index]
        if array is not None and held[1 - index] is None:
            finite = require_finite(array, f"the constant of '{node.name}'")
            return operand(node, 1 - index), finite, index
    return None


def infer_sum(node: ir.Node, plan: Plan) -> list[Flow]:
    """Add or subtract: integers of one factor, currents of one group, or a constant."""
    sign = -1 if node.op_type == "Sub" else 1
    with_constant = _constant_side(node)
    if with_constant is not None:
        data, offset, index = with_constant
        return [_shifted(node, plan, plan.flow(data), offset, index, sign)]
    left, right = operand(node, 0), operand(node, 1)
    a, b = plan.flow(left), plan.flow(right)
    if Kind.FLOAT in (a.kind, b.kind):
        raise StaysFloat("one side is float")
    if a.kind is Kind.INTEGER and b.kind is Kind.INTEGER:
        factor = min(a.factor, b.factor)
        a, b = _in_steps_of(factor, a), _in_steps_of(factor, b)
        low, high = (
            (a.low + b.low, a.high + b.high) if sign > 0 else (a.low - b.high, a.high - b.low)
        )
        return [Flow(Kind.INTEGER, factor, low, high)]
    if a.kind is Kind.CURRENT and b.kind is Kind.CURRENT:
        if a.factor != b.factor:
            raise StaysFloat("its sides are currents of different scales")
        group = join(node.name or "Add", [a, b])
        channels = _wider(a.channels, b.channels)
        membrane = a.membrane or b.membrane
        return [Flow(Kind.CURRENT, a.factor, group=group, channels=channels, membrane=membrane)]
    current, spikes = (a, b) if a.kind is Kind.CURRENT else (b, a)
    if current.group is None:
        raise StaysFloat("its current has no scale")
    shortcut = Term(np.array([[spikes.factor]]), every_channel=True, reach=spikes.reach)
    current.group.root().terms.append(shortcut)
    return [current]


def _in_steps_of(factor: float, flow: Flow) -> Flow:
    """Return an integer flow counted in finer steps; only a whole number of them will do."""
    ratio = flow.factor / factor
    if ratio != round(ratio) or ratio > 2**16:
        raise StaysFloat("its sides are integers of different scales")
    return replace(flow, factor=factor, low=flow.low * int(ratio), high=flow.high * int(ratio))


def _wider(a: IntArray | None, b: IntArray | None) -> IntArray | None:
    if a is None or b is None:
        return None
    return a if a.ndim >= b.ndim else b


def _shifted(
    node: ir.Node, plan: Plan, flow: Flow, offset: FloatArray, index: int, sign: int
) -> Flow:
    """A constant in a sum: a bias on a current, or a whole number of steps on an integer."""
    if flow.kind is Kind.CURRENT and flow.group is not None:
        if sign < 0 and index == 0:
            raise StaysFloat("it subtracts a current from a constant")
        flow.group.root().constants.append(Constant(offset / flow.factor, flow.channels))
        if offset.ndim > (0 if flow.channels is None else flow.channels.ndim) and offset.size > 1:
            channels = flow.channels
            full = np.broadcast_shapes(offset.shape, () if channels is None else channels.shape)
            channels = None if channels is None else np.broadcast_to(channels, full)
            return replace(flow, channels=channels)
        return flow
    if flow.kind is not Kind.INTEGER or offset.size != 1:
        raise StaysFloat("it adds a constant to values that are no currents")
    steps = float(offset.reshape(-1)[0]) / flow.factor
    if steps != round(steps) or abs(steps) > 2**20:
        raise StaysFloat("its constant is not a whole number of steps")
    whole = int(steps)
    if sign < 0 and index == 0:
        return Flow(Kind.INTEGER, flow.factor, whole - flow.high, whole - flow.low)
    whole *= sign
    return replace(flow, low=flow.low + whole, high=flow.high + whole)


def emit_sum(node: ir.Node, out: Emitter) -> None:
    """Emit the sum in the integer type that holds it."""
    result = node.outputs[0]
    flow = out.flow(result)
    name = result.name or node.op_type
    with_constant = _constant_side(node)
    if with_constant is not None:
        data, offset, index = with_constant
        steps = INT32.saturate(round_to_int(offset / flow.scale()))
        bound = out.bound(data) + int(np.abs(steps).max(initial=0))
        kind = out.sum_type(bound)
        sides = [
            out.cast(out.carrier(data), kind),
            out.constant(steps.astype(kind), f"{name}.offset"),
        ]
        ordered = sides if index == 1 else sides[::-1]
        out.set(result, out.op(node.op_type, ordered, name, kind), bound)
        return
    values = [v for v in node.inputs if v is not None]
    gains = [_steps_of(value, flow, out) for value in values]
    bounds = [
        out.bound(value) * int(np.abs(gain).max(initial=0))
        for value, gain in zip(values, gains, strict=True)
    ]
    kind = out.sum_type(sum(bounds))
    operands = []
    for index, (value, gain) in enumerate(zip(values, gains, strict=True)):
        carried = out.cast(out.carrier(value), kind)
        if (gain != 1).any():
            factor = out.constant(gain.astype(kind), f"{name}.{index}.steps")
            carried = out.op("Mul", [carried, factor], f"{name}.{index}.current", kind)
        operands.append(carried)
    out.set(result, out.op(node.op_type, operands, name, kind, node_name=node.name), sum(bounds))


def _steps_of(value: ir.Value, flow: Flow, out: Emitter) -> IntArray:
    """Return by what the integers of a value are multiplied to lie on the scale of a sum."""
    own = out.flow(value)
    if own.kind is flow.kind is Kind.CURRENT and own.membrane == flow.membrane:
        return np.ones(1, np.int64)
    return INT32.saturate(round_to_int(own.scale() / flow.scale()))


def infer_product(node: ir.Node, plan: Plan) -> list[Flow]:
    """A constant factor changes the scale; two integers multiply (spikes: a logical AND)."""
    with_constant = _constant_side(node)
    if with_constant is not None:
        data, factor, index = with_constant
        flow = plan.flow(data)
        if node.op_type == "Div" and index == 0:
            raise StaysFloat("it divides a constant by values")
        if flow.kind is not Kind.INTEGER or factor.size != 1 or factor.reshape(-1)[0] <= 0:
            raise StaysFloat("its factor is not one positive constant on integers")
        if data.shape is None or factor.ndim > data.shape.rank():
            raise StaysFloat("its factor adds axes")
        gain = float(factor.reshape(-1)[0])
        new = flow.factor * gain if node.op_type == "Mul" else flow.factor / gain
        return [replace(flow, factor=new)]
    if node.op_type == "Div":
        raise StaysFloat("it divides by computed values")
    a, b = plan.flow(operand(node, 0)), plan.flow(operand(node, 1))
    if a.kind is not Kind.INTEGER or b.kind is not Kind.INTEGER:
        raise StaysFloat("it multiplies values that are no integers")
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    if max(map(abs, corners)) > INT32.high:
        raise StaysFloat("its product can exceed 32 bits")
    return [Flow(Kind.INTEGER, a.factor * b.factor, min(corners), max(corners))]


def emit_product(node: ir.Node, out: Emitter) -> None:
    """Emit nothing for a constant factor (only the scale changes), else an int32 product."""
    result = node.outputs[0]
    with_constant = _constant_side(node)
    if with_constant is not None:
        data, _, _ = with_constant
        out.set(result, out.carrier(data), out.bound(data))
        return
    sides = [out.cast(out.carrier(v), np.int32) for v in node.inputs if v is not None]
    out.set(result, out.op("Mul", sides, result.name or "product", np.int32))


RULES = (
    Rule(standard("Add", "Sub"), infer_sum, emit_sum),
    Rule(standard("Mul", "Div"), infer_product, emit_product),
)
