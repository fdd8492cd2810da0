"""Synapses: Conv, Gemm and MatMul with constant weights over integers, exact in float32."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.errors import NumericalError
from snnquant.lowering import analog, inference
from snnquant.lowering.emitter import DTypeLike, Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.integers import sum_bound, synapse_integers
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, first, operand, standard
from snnquant.numerics import (
    FLOAT32_EXACT,
    FloatArray,
    IntArray,
    require_finite,
)
from snnquant.passes.edit import SYNAPSES, constant, int_attribute, output_axis, shape_of


def _weight(node: ir.Node) -> FloatArray:
    """Return the real weights, Gemm's ``alpha`` included."""
    held = constant(operand(node, 1))
    if held is None:
        raise StaysFloat("its weights are computed, not constant")
    if held.ndim < 2:
        raise StaysFloat("its weights are a vector")
    weight = require_finite(held, f"the weight of '{node.name}'")
    if node.op_type == "Gemm":
        if int_attribute(node, "transA", 0):
            raise StaysFloat("it transposes its input")
        alpha = node.attributes.get("alpha")
        weight = weight * (1.0 if alpha is None else alpha.as_float())
    if node.op_type == "MatMul" and weight.ndim != 2:
        raise StaysFloat("its weights are a stack of matrices")
    return weight


def _bias(node: ir.Node) -> FloatArray | None:
    """Return the bias that the node itself adds."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return None
    held = constant(node.inputs[2])
    if held is None:
        raise StaysFloat("its bias is computed, not constant")
    beta = node.attributes.get("beta") if node.op_type == "Gemm" else None
    bias = require_finite(held, f"the bias of '{node.name}'")
    return bias * (1.0 if beta is None else beta.as_float())


def infer(node: ir.Node, plan: Plan) -> list[Flow]:
    """A synapse turns integers into a current of a new group."""
    source = first(node)
    if node.op_type == "MatMul" and plan.flow(operand(node, 1)).kind is not Kind.FLOAT:
        return [analog.matrix_product(plan, node) if plan.analog else _product(node, plan)]
    weight, bias = _weight(node), _bias(node)
    if source.dtype is not None and not source.dtype.is_floating_point():
        raise StaysFloat("its input is not floating point")
    spatial = weight.ndim - 2 if node.op_type == "Conv" else 0
    axis = output_axis(node, weight.ndim)
    read = _input(node, plan, weight, axis)
    return [inference.synapse(plan, node, read, weight, bias, axis, spatial)]


def _input(node: ir.Node, plan: Plan, weight: FloatArray, axis: int) -> Flow:
    """Return the integers that the synapse reads."""
    weights = weight.size // max(weight.shape[axis], 1)
    return analog.synapse_input(plan, first(node), weights, node.op_type == "Conv")


def emit(node: ir.Node, out: Emitter) -> None:
    """Emit the synapse on float32 carriers, in as many exact parts as its sums need."""
    if node.op_type == "MatMul" and constant(operand(node, 1)) is None:
        _emit_product(node, out)
        return
    result = node.outputs[0]
    weight, bias = _weight(node), _bias(node)
    axis = output_axis(node, weight.ndim)
    flow_in = _input(node, out.plan, weight, axis)
    source = out.narrowed(first(node), flow_in)
    flow = out.flow(result)
    term = out.plan.terms[node]
    gain = term.gain
    made = synapse_integers(
        node.name or node.op_type,
        weight,
        bias,
        flow_in,
        flow.scale(),
        gain,
        axis=axis,
        bits=term.bits,
        decided=term,
    )
    integers, scale, bound = made.weight, made.scale, made.bound
    _warn_of_lost_weights(node, out, weight, integers, axis)
    low, high = float(scale.min(initial=np.inf)), float(scale.max(initial=0.0))
    out.layers.append(
        {
            "name": node.name,
            "op": node.op_type,
            "kind": "encoder" if _is_analog(node, out) else "synapse",
            "weight_bits": term.bits,
            "weights": int(weight.size),
            "channels": int(weight.shape[axis]),
            "per_channel": flow.scale().size > 1,
            "input_scale": float(flow_in.factor),
            "current_scale_min": low,
            "current_scale_max": high,
            "weight_gain": gain,
            "zero_weights": float((integers == 0).mean()) if integers.size else 0.0,
            "current_bound": bound,
        }
    )
    doc = (
        f"{node.name}: {term.bits}-bit weights times {gain}, "
        f"one integer step of the current is worth {low:.6g} to {high:.6g}"
    )
    current = _current(node, out, source, integers, made.bias, axis, flow_in.reach, doc)
    out.set(result, current, bound)


def _warn_of_lost_weights(
    node: ir.Node, out: Emitter, weight: FloatArray, integers: IntArray, axis: int
) -> None:
    """Warn where a scale that weights share leaves some of them few bits, or none."""
    rest = tuple(k for k in range(weight.ndim) if k != axis)
    used = np.abs(weight).max(axis=rest, initial=0.0) > 0
    peaks = np.abs(integers).max(axis=rest, initial=0)
    dead = int((used & (peaks == 0)).sum())
    bits = out.plan.terms[node].bits
    coarse = int((used & (peaks < 2 ** (bits - 5))).sum())
    if dead:
        out.warn(
            "lost_weights",
            f"'{node.name}': the weights of {dead} of {len(peaks)} output channels became 0 beside "
            "larger ones, or constants of their neurons, on the same scale",
        )
    elif 4 * coarse > len(peaks):
        out.warn(
            "coarse_weights",
            f"'{node.name}': {coarse} of {len(peaks)} output channels keep less than "
            f"{bits - 3} bits beside larger weights on the same scale",
        )


def _is_analog(node: ir.Node, out: Emitter) -> bool:
    """Whether the synapse is an encoder: its input was analog and has a calibrated scale."""
    entry = out.plan.scales.get(out.plan.scale_name(first(node)))
    return first(node) in out.plan.points and (entry is None or not entry.spikes)


def _current(
    node: ir.Node,
    out: Emitter,
    source: ir.Value,
    integers: IntArray,
    bias: IntArray,
    axis: int,
    reach: int,
    doc: str,
) -> ir.Value:
    """Write ``gain * (integers applied to source) + bias``, each sum exact in float32."""
    name = node.outputs[0].name or node.op_type
    label = operand(node, 1).name or f"{node.name}.weight"
    gain = out.plan.terms[node].gain
    # One part without a gain can take the bias along; otherwise it is added as an integer.
    parts = _exact_parts(integers, axis, reach, np.abs(bias))
    real: DTypeLike = np.float32
    if parts is None:
        if node.op_type == "Conv":
            raise NumericalError(
                f"'{node.name}' sums more than 2**24 steps even bit by bit; "
                "use fewer input or weight bits"
            )
        # ONNX Runtime multiplies matrices in float64 too, which holds every sum below 2**53.
        parts, real = [(integers, 1)], np.float64
    fused = len(parts) == 1 and gain == 1 and node.op_type != "MatMul" and real is np.float32
    attributes = {k: v for k, v in node.attributes.items() if k not in ("alpha", "beta")}
    exact = out.cast(source, real)
    total: ir.Value | None = None
    for index, (part, weight_of_digit) in enumerate(parts):
        stored = out.constant(part.astype(np.int8), f"{label}.q{index or ''}")
        operands = [exact, out.cast(stored, real)]
        if fused and bias.any():
            operands.append(out.constant(bias.astype(np.float32), f"{label}.bias"))
        node_name = node.name if index == 0 else None
        summed = out.op(node.op_type, operands, name, real, attributes, doc, node_name)
        if not fused:
            summed = out.cast(summed, np.int32)
        if weight_of_digit * gain != 1:
            factor = out.constant(np.array(weight_of_digit * gain, np.int32), f"{label}.gain")
            summed = out.op("Mul", [summed, factor], f"{name}.scaled", np.int32)
        total = summed if total is None else out.op("Add", [total, summed], f"{name}.sum", np.int32)
    if total is None:
        raise RuntimeError(f"synapse '{node.name}' has no parts")
    if bias.any() and not fused:
        spatial = integers.ndim - 2 if node.op_type == "Conv" else 0
        along = bias.astype(np.int32).reshape(-1, *([1] * spatial))
        added = out.constant(along, f"{label}.bias")
        total = out.op("Add", [total, added], f"{name}.biased", np.int32)
    return total


def _exact_parts(
    integers: IntArray, axis: int, reach: int, bias: IntArray
) -> list[tuple[IntArray, int]] | None:
    """Split weights into digits until every sum is exact in float32: ``w = sum(part * gain)``."""
    for digit_bits in (8, 4, 2, 1):
        base = 2**digit_bits
        parts: list[tuple[IntArray, int]] = []
        rest, gain = integers, 1
        while True:
            remaining = 8 - digit_bits * (len(parts) + 1)
            if remaining <= 0:
                parts.append((rest, gain))
                break
            digit = np.mod(rest, base)
            parts.append((digit, gain))
            rest, gain = (rest - digit) // base, gain * base
        if all(
            (sum_bound(part, axis, reach) + (bias if g == 1 else 0)).max(initial=0) < FLOAT32_EXACT
            for part, g in parts
        ):
            return parts
    return None


def _product(node: ir.Node, plan: Plan) -> Flow:
    """A product of two integer tensors (attention) is an integer tensor with a larger bound."""
    left, right = plan.flow(first(node)), plan.flow(operand(node, 1))
    if left.kind is not Kind.INTEGER or right.kind is not Kind.INTEGER:
        raise StaysFloat("it multiplies a current by computed values")
    shape = shape_of(first(node))
    inner = None if shape is None else shape[-1]
    reach = left.reach * right.reach
    if inner is None or inner * reach >= FLOAT32_EXACT:
        raise StaysFloat("its sums can exceed 2**24")
    low = 0 if left.low >= 0 and right.low >= 0 else -inner * reach
    return Flow(Kind.INTEGER, left.factor * right.factor, low, inner * reach)


def _emit_product(node: ir.Node, out: Emitter) -> None:
    """Emit a matrix product in the floating-point type in which it is exact."""
    result = node.outputs[0]
    real = np.float32 if out.flow(result).reach < FLOAT32_EXACT else np.float64
    sides = analog.factors(out.plan, node)
    carriers = (
        [out.narrowed(value, flow) for value, flow in sides]
        if sides is not None
        else [out.carrier(value) for value in node.inputs if value is not None]
    )
    operands = [out.cast(carrier, real) for carrier in carriers]
    out.set(result, out.op("MatMul", operands, result.name or "product", real))


RULES = (Rule(standard(*sorted(SYNAPSES)), infer, emit, enters=True),)
