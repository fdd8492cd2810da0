"""Pooling: the average becomes an exact integer sum whose divisor moves into the scale."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import Rule, first, standard
from snnquant.numerics import FLOAT32_EXACT
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
    size = math.prod(window)
    if flow.kind is not Kind.INTEGER:
        raise StaysFloat("it averages currents; average the spikes in front of the synapse")
    low, high = flow.low * size, flow.high * size
    if max(abs(low), abs(high)) >= FLOAT32_EXACT:
        raise StaysFloat("its sums can exceed 2**24")
    # Sums of size independent values: the mean grows as size, the deviation as its root.
    coherence = flow.coherence * size
    return [Flow(Kind.INTEGER, flow.factor / size, min(low, 0), max(high, 0), coherence=coherence)]


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
    summed = out.op("Conv", [exact, ones], result.name or "sum_pool", np.float32, attributes)
    out.set(result, summed, out.bound(source) * math.prod(window))


def infer_max(node: ir.Node, plan: Plan) -> list[Flow]:
    """The maximum of integers is an integer; of currents, a current (scales are positive)."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise StaysFloat("its indices are used")
    flow = plan.flow(first(node))
    return [flow]


def emit_max(node: ir.Node, out: Emitter) -> None:
    """Emit MaxPool on uint8, int8 or exact float32 carriers."""
    source, result = first(node), node.outputs[0]
    carrier = out.carrier(source)
    if carrier.dtype not in (ir.DataType.UINT8, ir.DataType.INT8):
        exact = out.exact(source)
        if exact is None:
            raise RuntimeError(f"'{source.name}' exceeds 2**24 in front of a MaxPool")
        carrier = exact
    pooled = out.op("MaxPool", [carrier], result.name or "max_pool", None, dict(node.attributes))
    out.set(result, pooled, out.bound(source))


RULES = (
    Rule(standard("AveragePool", "GlobalAveragePool"), infer_average, emit_average),
    Rule(standard("MaxPool"), infer_max, emit_max),
)
