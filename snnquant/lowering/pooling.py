"""Pooling: the average becomes an exact integer sum whose divisor moves into the scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering import analog
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, StaysFloat
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, first, standard
from snnquant.numerics import FLOAT32_EXACT, INT64
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
    return [analog.mean_of(plan, flow, math.prod(window))]


def emit_average(node: ir.Node, out: Emitter) -> None:
    """Emit the sum: a depthwise convolution with ones where float32 holds it, else sums of cuts."""
    source, result = first(node), node.outputs[0]
    shape = shape_of(source)
    channels = 1 if shape is None else int(shape[1] or 1)
    window = _window(node)
    bound = out.bound(source) * math.prod(window)
    doc = f"{node.name}: sums of {math.prod(window)} values; their mean is in the scale"
    name = result.name or "sum_pool"
    if bound >= FLOAT32_EXACT:
        out.set(result, _summed(node, out, window, bound, doc), bound)
        return
    ones = out.constant(np.ones((channels, 1, *window), np.float32), f"{node.name}.ones")
    attributes: dict[str, object] = {"group": channels, "kernel_shape": list(window)}
    for key in ("strides", "pads", "dilations"):
        values = ints_attribute(node, key)
        if values is not None:
            attributes[key] = list(values)
    exact = out.cast(out.carrier(source), np.float32)
    summed = out.op("Conv", [exact, ones], name, np.float32, attributes, doc, node.name)
    out.set(result, summed, bound)


def _summed(node: ir.Node, out: Emitter, window: tuple[int, ...], bound: int, doc: str) -> ir.Value:
    """Add up the windows axis by axis, each sum of strided cuts, in integers."""
    axes = len(window)
    kind = out.sum_type(bound)
    total = out.cast(out.carrier(first(node)), kind)
    name = node.outputs[0].name or "sum_pool"
    pads = ints_attribute(node, "pads") or (0,) * (2 * axes)
    if any(pads):
        ends = [0, 0, *pads[:axes], 0, 0, *pads[axes:]]
        zero = out.constant(np.zeros((), kind), f"{name}.fill")
        around = out.constant(np.array(ends, np.int64), f"{name}.pads")
        total = out.op("Pad", [total, around, zero], f"{name}.padded", kind)
    strides = ints_attribute(node, "strides") or (1,) * axes
    dilations = ints_attribute(node, "dilations") or (1,) * axes
    for axis, (size, stride, gap) in enumerate(zip(window, strides, dilations, strict=True), 2):
        cuts = []
        for index in range(size):
            left = (size - 1 - index) * gap
            where = (index * gap, -left if left else INT64.high, axis, stride)
            ends_of = [out.constant(np.array([w], np.int64), f"{name}.cut") for w in where]
            cuts.append(out.op("Slice", [total, *ends_of], f"{name}.cut", kind))
        total = cuts[0]
        for cut in cuts[1:]:
            total = out.op("Add", [total, cut], f"{name}.window", kind, doc=doc)
    return total


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
