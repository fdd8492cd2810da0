"""Sums and products: several synapses into one neuron, residual spikes, biases, factors."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.inference import product_of, sum_of, times_constant, with_constant
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
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, offset, index = constant_side
        negated = sign < 0 and index == 0
        return [with_constant(plan.flow(data), offset, sign, negated)]
    a, b = plan.flow(operand(node, 0)), plan.flow(operand(node, 1))
    return [sum_of(node.name or "Add", a, b, sign)]


def emit_sum(node: ir.Node, out: Emitter) -> None:
    """Emit the sum in the integer type that holds it."""
    result = node.outputs[0]
    flow = out.flow(result)
    name = result.name or node.op_type
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, offset, index = constant_side
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
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, factor, index = constant_side
        divides = node.op_type == "Div"
        if divides and index == 0:
            raise StaysFloat("it divides a constant by values")
        if factor.size != 1:
            raise StaysFloat("its factor is not one positive constant on integers")
        if data.shape is None or factor.ndim > data.shape.rank():
            raise StaysFloat("its factor adds axes")
        return [times_constant(plan.flow(data), float(factor.reshape(-1)[0]), divides)]
    if node.op_type == "Div":
        raise StaysFloat("it divides by computed values")
    return [product_of(plan.flow(operand(node, 0)), plan.flow(operand(node, 1)))]


def emit_product(node: ir.Node, out: Emitter) -> None:
    """Emit nothing for a constant factor (only the scale changes), else an int32 product."""
    result = node.outputs[0]
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, _, _ = constant_side
        out.set(result, out.carrier(data), out.bound(data))
        return
    sides = [out.cast(out.carrier(v), np.int32) for v in node.inputs if v is not None]
    out.set(result, out.op("Mul", sides, result.name or "product", np.int32))


RULES = (
    Rule(standard("Add", "Sub"), infer_sum, emit_sum),
    Rule(standard("Mul", "Div"), infer_product, emit_product),
)
