"""Operations that move values without changing them: the integers move alike."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering import analog
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.plan import Plan
from snnquant.lowering.requantize import part_of, requantized
from snnquant.lowering.rule import Rule, first, standard
from snnquant.numerics import IntArray
from snnquant.passes.edit import Shape, constant, int_attribute, ints_attribute, shape_of


def _moved_channels(node: ir.Node, flow: Flow) -> IntArray | None:
    """Return the channel index of a current behind a structural op; None: cannot be followed."""
    channels = flow.channels
    before, after = shape_of(first(node)), shape_of(node.outputs[0])
    if channels is None or before is None or after is None:
        return None
    if node.op_type == "Transpose":
        order = ints_attribute(node, "perm") or tuple(reversed(range(len(before))))
        return transposed_channels(channels, order)
    if node.op_type in ("Expand", "Tile", "Slice", "Gather", "Pad"):
        kept = channels.ndim
        same = before[len(before) - kept :] == after[len(after) - kept :]
        return channels if same and not _may_permute(node, len(before), kept) else None
    return reshaped_channels(channels, before, after)


def _may_permute(node: ir.Node, rank: int, kept: int) -> bool:
    """Whether the last ``kept`` axes may hold the same channels in another order."""
    if node.op_type == "Gather":
        return int_attribute(node, "axis", 0) % rank >= rank - kept
    if node.op_type == "Pad":
        # As many values cut at one end as are added at the other move all others.
        pads = constant(node.inputs[1])
        return pads is None or bool((pads < 0).any())
    if node.op_type == "Slice" and len(node.inputs) > 4 and node.inputs[4] is not None:
        steps = constant(node.inputs[4])
        return steps is None or bool((steps < 0).any())
    return False


def transposed_channels(channels: IntArray, order: tuple[int, ...]) -> IntArray:
    """Follow channels through a permutation of all axes."""
    rank = len(order)
    full = channels.reshape((1,) * (rank - channels.ndim) + channels.shape).transpose(order)
    lead = next((k for k, size in enumerate(full.shape) if size != 1), full.ndim - 1)
    return np.asarray(full.reshape(full.shape[lead:]), np.int64)


def reshaped_channels(channels: IntArray, before: Shape, after: Shape) -> IntArray | None:
    """Follow channels through a reshape of the trailing (feature) axes."""
    features = before[len(before) - channels.ndim :]
    if None in features:
        return None
    full = tuple(int(d or 0) for d in features)
    wanted = math.prod(full)
    product, cut = 1, len(after)
    while cut > 0 and product < wanted:
        dim = after[cut - 1]
        if dim is None:
            return None
        product *= dim
        cut -= 1
    if product != wanted:
        return None
    suffix = tuple(int(d or 0) for d in after[cut:])
    if suffix == full:
        return channels
    # A reshape may also put new axes of size 1 in front; they stay part of the lead.
    return np.broadcast_to(channels, full).reshape(suffix)


def infer(node: ir.Node, plan: Plan) -> list[Flow]:
    """The output is what the input is; a current whose channels get lost needs one scale."""
    flow = plan.flow(first(node))
    if flow.kind is Kind.FLOAT:
        raise StaysFloat("it moves values that are float")
    if node.op_type == "Pad":
        mode = node.attributes.get("mode")
        fill = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if (mode is not None and mode.as_string() != "constant") or (
            fill is not None and fill.size and fill.any()
        ):
            raise StaysFloat("it pads with something else than zeros")
    if flow.kind is Kind.INTEGER:
        return [flow] * len(node.outputs)
    channels = _moved_channels(node, flow)
    if channels is None and flow.group is not None and flow.channels is not None:
        flow.group.root().per_tensor = True
    return [replace(flow, channels=channels)] * len(node.outputs)


def emit(node: ir.Node, out: Emitter) -> None:
    """Emit the same op on the integers."""
    source = first(node)
    carrier = out.carrier(source)
    if node.op_type == "Transpose" and carrier.dtype in (ir.DataType.UINT8, ir.DataType.INT8):
        # ONNX Runtime (1.32 and before) crashes where it fuses Transpose, Cast and MatMul.
        carrier = out.cast(carrier, np.float32)
    inputs: list[ir.Value] = [carrier]
    for index, value in enumerate(node.inputs[1:], 1):
        if value is None:
            continue
        if node.op_type == "Pad" and index == 2:
            inputs.append(
                out.constant(
                    np.zeros((), carrier.dtype.numpy() if carrier.dtype else np.int32),
                    f"{node.name}.fill",
                )
            )
        else:
            inputs.append(out.float(value))
    result = node.outputs[0]
    if len(node.outputs) > 1:
        news = [ir.Value(name=out.fresh(o.name or "part"), type=carrier.type) for o in node.outputs]
        out.tape.op_multi_out(
            node.op_type,
            inputs,
            dict(node.attributes),
            outputs=news,
            name=out.fresh(f"{node.name}.int"),
        )
        for old, new in zip(node.outputs, news, strict=True):
            out.set(old, new, out.bound(source))
        return
    moved = out.op(node.op_type, inputs, result.name or node.op_type, None, dict(node.attributes))
    out.set(result, moved, out.bound(source))


def infer_concat(node: ir.Node, plan: Plan) -> list[Flow]:
    """Concatenated integers need one factor; concatenated currents one scale."""
    return [analog.joined(plan, node)]


def emit_concat(node: ir.Node, out: Emitter) -> None:
    """Emit Concat in the widest of the input types."""
    values = [v for v in node.inputs if v is not None]
    result = node.outputs[0]
    flow = out.flow(result)
    if result in out.plan.made:
        carriers = [requantized(out, v, flow, [part_of(out, v, flow.factor)]) for v in values]
        bound = flow.reach
    else:
        carriers, bound = [out.carrier(v) for v in values], max(out.bound(v) for v in values)
    types = {c.dtype for c in carriers}
    if len(types) > 1:
        carriers = [out.cast(c, np.int32) for c in carriers]
    attributes = {"axis": int_attribute(node, "axis", 0)}
    joined = out.op("Concat", carriers, result.name or "concat", None, attributes)
    out.set(result, joined, bound)


RULES = (
    Rule(
        standard(
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Transpose",
            "Expand",
            "Tile",
            "Slice",
            "Gather",
            "Pad",
            "Identity",
            "Split",
        ),
        infer,
        emit,
        moves=True,
    ),
    Rule(standard("Concat"), infer_concat, emit_concat),
)
