"""Pooling: the average becomes an exact integer sum whose divisor moves into the scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, StaysFloat
from snnquant.lowering.inference import average_of
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, first, standard
from snnquant.passes.edit import int_attribute, ints_attribute, shape_of, string_attribute


def _window(node: ir.Node) -> tuple[int, ...]:
    """Return the pooled window, the whole map for GlobalAveragePool."""
    if node.op_type == "GlobalAveragePool":
        shape = shape_of(first(node))
        dims = () if shape is None else shape[2:]
        if not dims or None in dims:
            raise StaysFloat("the size of the pooled map is not known")
        return tuple(int(d or 1) for d in dims)
    kernel = ints_attribute(node, "kernel_shape")
    if kernel is None:
        raise StaysFloat("it has no kernel_shape")
    return kernel


def infer_average(node: ir.Node, plan: Plan) -> list[Flow]:
    """The mean over k values is their sum at a k times smaller factor."""
    flow = plan.flow(first(node))
    window = _window(node)
    shape = shape_of(first(node))
    if shape is None or shape[1] is None:
        raise StaysFloat("the number of channels is not known")
    pads = ints_attribute(node, "pads") or ()
    if string_attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        raise StaysFloat("it pads by auto_pad")
    if int_attribute(node, "ceil_mode", 0):
        raise StaysFloat("its windows overhang (ceil_mode)")
    if any(pads) and not int_attribute(node, "count_include_pad", 0):
        raise StaysFloat("its divisor changes at the border (count_include_pad=0)")
    return [average_of(flow, math.prod(window))]


def emit_average(node: ir.Node, out: Emitter) -> None:
    """Emit the sum as a depthwise convolution with ones, exact in float32."""
    source, result = first(node), node.outputs[0]
    shape = shape_of(source)
    channels = 1 if shape is None else int(shape[1] or 1)
    window = _window(node)
    ones = out.constant(np.ones((channels, 1, *window), np.float32), f"{node.name}.ones")
    attributes: dict[str, object] = {"group": channels, "kernel_shape": list(window)}
    for name in ("strides", "pads", "dilations"):
        values = ints_attribute(node, name)
        if values is not None:
            attributes[name] = list(values)
    exact = out.cast(out.carrier(source), np.float32)
    doc = f"{node.name}: sums of {math.prod(window)} values; their mean is in the scale"
    name = result.name or "sum_pool"
    summed = out.op("Conv", [exact, ones], name, np.float32, attributes, doc, node.name)
    out.set(result, summed, out.bound(source) * math.prod(window))


def infer_max(node: ir.Node, plan: Plan) -> list[Flow]:
    """The maximum of integers is an integer; of currents, a current (scales are positive)."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise StaysFloat("its indices are used")
    shape = shape_of(first(node))
    return [maximum_of(plan.flow(first(node)), 0 if shape is None else len(shape) - 2)]


def maximum_of(flow: Flow, spatial: int) -> Flow:
    """Return the maximum over windows of the last ``spatial`` axes."""
    if flow.channels is not None and flow.group is not None:
        pooled = flow.channels.shape[max(flow.channels.ndim - spatial, 0) :]
        if any(size != 1 for size in pooled):
            # Channels of different scales would be compared with each other.
            flow.group.root().per_tensor = True
            return replace(flow, channels=None)
    return flow


def emit_max(node: ir.Node, out: Emitter) -> None:
    """Emit MaxPool on uint8, int8, or exact floating carriers."""
    source, result = first(node), node.outputs[0]
    carrier = out.carrier(source)
    if carrier.dtype not in (ir.DataType.UINT8, ir.DataType.INT8):
        carrier = out.real(source)
    pooled = out.op(
        "MaxPool",
        [carrier],
        result.name or "max_pool",
        None,
        dict(node.attributes),
        node_name=node.name,
    )
    out.set(result, pooled, out.bound(source))


RULES = (
    Rule(standard("AveragePool", "GlobalAveragePool"), infer_average, emit_average),
    Rule(standard("MaxPool"), infer_max, emit_max),
)
