"""Read-outs: sums, means and maxima over time or space stay integers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.inference import total_of
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, first, standard
from snnquant.passes.edit import constant, int_attribute, ints_attribute, shape_of

#: Stands in for a dynamic number of steps when a bound is worked out.
_MANY_STEPS = 2**16


def _axes(node: ir.Node, rank: int) -> tuple[int, ...]:
    """Return the reduced axes, counted from the front."""
    given = ints_attribute(node, "axes")
    if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        held = constant(node.inputs[1])
        if held is None:
            raise StaysFloat("the reduced axes are computed")
        given = tuple(int(a) for a in held)
    if not given:
        if int_attribute(node, "noop_with_empty_axes", 0):
            raise StaysFloat("it reduces no axis")
        return tuple(range(rank))
    return tuple(a % rank for a in given)


def _count(node: ir.Node) -> tuple[int, bool]:
    """Return how many values are reduced to one, and whether that number is fixed."""
    shape = shape_of(first(node))
    if shape is None:
        raise StaysFloat("the rank of its input is not known")
    dims = [shape[a] for a in _axes(node, len(shape))]
    known = [d for d in dims if d is not None]
    return math.prod(known) * (1 if len(known) == len(dims) else _MANY_STEPS), (
        len(known) == len(dims)
    )


def infer(node: ir.Node, plan: Plan) -> list[Flow]:
    """A sum keeps the scale, a mean divides it, a maximum keeps everything."""
    flow = plan.flow(first(node))
    count, fixed = _count(node)
    mean = node.op_type == "ReduceMean"
    if mean and not fixed:
        raise StaysFloat("it averages over a dynamic number of values")
    if flow.kind is Kind.INTEGER:
        if node.op_type == "ReduceMax":
            return [flow]
        return [total_of(flow, count, mean=mean)]
    shape = shape_of(first(node))
    rank = 0 if shape is None else len(shape)
    axes = _axes(node, rank)
    kept = 0 if flow.channels is None else flow.channels.ndim
    factor = flow.factor / count if mean else flow.factor
    if max(axes) >= rank - kept and flow.group is not None:
        flow.group.root().per_tensor = True
        return [replace(flow, factor=factor, channels=None)]
    return [replace(flow, factor=factor)]


def emit(node: ir.Node, out: Emitter) -> None:
    """Emit the reduction in the type that holds it; a mean is its sum."""
    source, result = first(node), node.outputs[0]
    shape = shape_of(source)
    axes = _axes(node, 0 if shape is None else len(shape))
    keep = int_attribute(node, "keepdims", 1)
    count, _ = _count(node)
    bound = out.bound(source) * (1 if node.op_type == "ReduceMax" else count)
    kind = out.sum_type(bound)
    carrier = out.cast(out.carrier(source), kind)
    name = result.name or node.op_type
    if node.op_type == "ReduceMax":
        # Axes are an input from opset 18 on, an attribute before.
        if out.source.opset_imports.get("", 17) >= 18:
            inputs = [carrier, out.constant(np.array(axes, np.int64), f"{name}.axes")]
            reduced = out.op("ReduceMax", inputs, name, kind, {"keepdims": keep})
        else:
            attributes = {"keepdims": keep, "axes": list(axes)}
            reduced = out.op("ReduceMax", [carrier], name, kind, attributes)
        state = "max"
    else:
        inputs = [carrier, out.constant(np.array(axes, np.int64), f"{name}.axes")]
        reduced = out.op("ReduceSum", inputs, name, kind, {"keepdims": keep})
        state = "sum"
    out.set(result, reduced, bound)
    # The node has the name that its output has now.
    out.state_scales[f"{reduced.name}.{state}"] = out.flow(result).scale()


RULES = (Rule(standard("ReduceSum", "ReduceMean", "ReduceMax"), infer, emit),)
