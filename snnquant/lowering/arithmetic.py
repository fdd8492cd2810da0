"""Sums and products: several synapses into one neuron, residual spikes, biases, factors."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.lowering import analog
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.plan import Plan
from snnquant.lowering.requantize import Part, part_of, reach_of, requantized, rescaled
from snnquant.lowering.rule import Rule, operand, standard
from snnquant.numerics import INT32, FloatArray, require_finite, round_to_int
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
        return [analog.sum_with_constant(plan, node, plan.flow(data), offset, sign, negated)]
    return [analog.sum_in_steps(plan, node, [operand(node, 0), operand(node, 1)], sign)]


def emit_sum(node: ir.Node, out: Emitter) -> None:
    """Emit the sum in the integer type that holds it."""
    result = node.outputs[0]
    flow = out.flow(result)
    name = result.name or node.op_type
    sign = -1 if node.op_type == "Sub" else 1
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, offset, index = constant_side
        if result in out.plan.made:
            signs = (1, sign) if index == 1 else (sign, 1)
            parts = [part_of(out, data, flow.factor, signs[0])]
            _set_made(out, result, parts, signs[1] * offset / flow.factor)
            return
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
    if result in out.plan.made:
        signs = (1, sign)
        parts = [part_of(out, v, flow.factor, s) for v, s in zip(values, signs, strict=True)]
        _set_made(out, result, parts)
        return
    carriers, bounds = zip(*(_on_steps_of(value, flow, out, name) for value in values), strict=True)
    kind = out.sum_type(sum(bounds))
    operands = [out.cast(carrier, kind) for carrier in carriers]
    out.set(result, out.op(node.op_type, operands, name, kind, node_name=node.name), sum(bounds))


def _set_made(
    out: Emitter, result: ir.Value, parts: list[Part], offset: FloatArray | None = None
) -> None:
    """Emit a value on steps of its own."""
    flow = out.flow(result)
    out.set(result, requantized(out, result, flow, parts, offset), flow.reach)


def _on_steps_of(value: ir.Value, flow: Flow, out: Emitter, name: str) -> tuple[ir.Value, int]:
    """Return the integers of a value on the steps of a sum, and their bound."""
    own = out.flow(value)
    carrier, bound = out.carrier(value), out.bound(value)
    if own.kind is flow.kind is Kind.CURRENT and own.membrane == flow.membrane:
        ratio = np.array([own.factor / flow.factor])
    else:
        ratio = own.scale() / flow.scale()
    gain = INT32.saturate(round_to_int(ratio))
    real = out.plan.rescales(own) or (out.plan.analog and own.kind is Kind.CURRENT)
    if real and (gain != ratio).any():
        part = Part(carrier, ratio, bound)
        limits = reach_of([part])
        moved, _ = rescaled(out, [part], limits, f"{name}.{value.name}.rescaled")
        return moved, limits.high
    if (gain == 1).all():
        return carrier, bound
    bound *= int(np.abs(gain).max(initial=0))
    kind = out.sum_type(bound)
    factor = out.constant(gain.astype(kind), f"{name}.{value.name}.steps")
    return out.op("Mul", [out.cast(carrier, kind), factor], f"{name}.current", kind), bound


def infer_product(node: ir.Node, plan: Plan) -> list[Flow]:
    """A constant factor changes the scale; two integers multiply (spikes: a logical AND)."""
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, factor, index = constant_side
        divides = node.op_type == "Div"
        if divides and index == 0:
            raise StaysFloat("it divides a constant by values")
        if data.shape is None or factor.ndim > data.shape.rank():
            raise StaysFloat("its factor adds axes")
        return [analog.product_with_constant(plan, node, plan.flow(data), factor, divides)]
    if node.op_type == "Div":
        raise StaysFloat("it divides by computed values")
    return [analog.product_in_steps(plan, node)]


def emit_product(node: ir.Node, out: Emitter) -> None:
    """Emit a product of integers; for one positive constant only the scale changes."""
    result = node.outputs[0]
    name = result.name or "product"
    constant_side = _constant_side(node)
    if constant_side is not None:
        data, factor, _ = constant_side
        _emit_factor(node, out, data, analog.factor_of(factor, node.op_type == "Div"))
        return
    sides = analog.factors(out.plan, node)
    if sides is None:
        whole = [out.cast(out.carrier(v), np.int32) for v in node.inputs if v is not None]
        out.set(result, out.op("Mul", whole, name, np.int32))
        return
    bounds = [flow.reach if flow.kind is Kind.INTEGER else out.bound(v) for v, flow in sides]
    bound = bounds[0] * bounds[1]
    kind = out.sum_type(bound)
    carriers = [
        out.narrowed(v, flow) if flow.kind is Kind.INTEGER else out.carrier(v) for v, flow in sides
    ]
    product = out.op("Mul", [out.cast(carrier, kind) for carrier in carriers], name, kind)
    out.set(result, product, bound)


def _emit_factor(node: ir.Node, out: Emitter, data: ir.Value, factor: FloatArray) -> None:
    """Emit nothing for one positive factor, the opposite for one negative, else real factors."""
    result = node.outputs[0]
    name = result.name or "product"
    flow, carrier, bound = out.flow(result), out.carrier(data), out.bound(data)
    if result in out.plan.made:
        part = part_of(out, data, flow.factor)
        _set_made(out, result, [Part(carrier, part.factor * factor, bound)])
    elif factor.size > 1:
        part = Part(carrier, factor * (out.flow(data).factor / flow.factor), bound)
        limits = reach_of([part])
        moved, _ = rescaled(out, [part], limits, f"{name}.rescaled")
        out.set(result, moved, limits.high)
    elif float(factor.reshape(-1)[0]) < 0:
        kind = out.sum_type(bound)
        out.set(result, out.op("Neg", [out.cast(carrier, kind)], name, kind), bound)
    else:
        out.set(result, carrier, bound)


RULES = (
    Rule(standard("Add", "Sub"), infer_sum, emit_sum),
    Rule(standard("Mul", "Div"), infer_product, emit_product),
)
