"""NIR nodes of the standard operations of a canonical graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from snnquant.frontends.nir.tree import RawNode
from snnquant.passes.edit import (
    Shape,
    constant,
    int_attribute,
    ints_attribute,
    output_axis,
    shape_of,
    string_attribute,
)


@dataclass(frozen=True)
class Current:
    """A value of the graph as NIR sees it.

    Attributes:
        sources: NIR nodes whose outputs add up to it.
        features: shape of one step.
        lead: axes in front of the features: 2 for time and batch, 1 where they are one or where
            there is no time.
        timed: whether it differs from step to step.
    """

    sources: tuple[str, ...]
    features: tuple[int, ...]
    lead: int
    timed: bool


def target_shape(node: ir.Node) -> Shape | None:
    """Return the shape that a Reshape or Flatten gives, None for what depends on time or batch."""
    shape = shape_of(node.outputs[0])
    if shape is not None and None not in shape[2:]:
        return shape
    # Shape inference does not follow a target that is put together from computed sizes.
    target = node.inputs[1] if len(node.inputs) > 1 else None
    maker = None if target is None else target.producer()
    if maker is None or maker.op_type != "Concat":
        return shape
    sizes: list[int | None] = []
    for part in maker.inputs:
        held = None if part is None else constant(part)
        known = None if part is None else shape_of(part)
        if held is not None:
            sizes += [int(size) for size in held.reshape(-1)]
        elif known is not None and known[0] is not None:
            sizes += [None] * known[0]
    return tuple(sizes)


def gemm(node: ir.Node, source: Current) -> RawNode | None:
    """Return a Linear or Affine node; None: it is not one matrix times the features."""
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or len(source.features) != 1:
        return None
    if node.op_type == "Gemm" and int_attribute(node, "transA", 0):
        return None
    matrix = weight if output_axis(node, 2) == 0 else weight.T
    factors = [node.attributes.get(name) for name in ("alpha", "beta")]
    alpha, beta = (1.0 if held is None else held.as_float() for held in factors)
    matrix = (np.asarray(matrix, np.float64) * alpha).astype(np.float32)
    addend = node.inputs[2] if len(node.inputs) > 2 else None
    if addend is None:
        return RawNode("Linear", {"weight": matrix})
    bias = constant(addend)
    if bias is None or bias.size not in (1, len(matrix)):
        return None
    whole = np.broadcast_to(np.asarray(bias, np.float64).reshape(-1) * beta, (len(matrix),))
    return RawNode("Affine", {"weight": matrix, "bias": whole.astype(np.float32)})


def convolution(node: ir.Node, source: Current) -> RawNode | None:
    """Return a Conv1d or Conv2d node; None: NIR has no such convolution."""
    weight = constant(node.inputs[1])
    if weight is None or source.lead != 1 or weight.ndim not in (3, 4):
        return None
    spatial = weight.ndim - 2
    padding = _padding(node, spatial)
    addend = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(len(weight), np.float32) if addend is None else constant(addend)
    if padding is None or bias is None or len(source.features) != spatial + 1:
        return None
    sizes = {
        "stride": ints_attribute(node, "strides") or (1,) * spatial,
        "padding": padding,
        "dilation": ints_attribute(node, "dilations") or (1,) * spatial,
        "input_shape": source.features[1:],
    }
    shaped = {k: np.array(v if spatial == 2 else v[0]) for k, v in sizes.items()}
    group = np.array(int_attribute(node, "group", 1))
    fields = {"weight": np.asarray(weight), "bias": np.asarray(bias), "groups": group}
    return RawNode(f"Conv{spatial}d", dict(fields | shaped))


def pooling(node: ir.Node, source: Current) -> RawNode | None:
    """Return an AvgPool2d node; None: NIR has no such pooling."""
    if source.lead != 1 or len(source.features) != 3:
        return None
    window: tuple[int, ...] = source.features[1:]
    strides = window
    padding: tuple[int, ...] = (0, 0)
    if node.op_type == "AveragePool":
        window = ints_attribute(node, "kernel_shape") or ()
        strides = ints_attribute(node, "strides") or (1, 1)
        found = _padding(node, 2)
        if found is None or int_attribute(node, "ceil_mode", 0):
            return None
        if any(found) and not int_attribute(node, "count_include_pad", 0):
            return None
        if set(ints_attribute(node, "dilations") or (1,)) != {1}:
            return None
        padding = found
    sizes = {"kernel_size": window, "stride": strides, "padding": padding}
    return RawNode("AvgPool2d", {name: np.array(size) for name, size in sizes.items()})


def _padding(node: ir.Node, spatial: int) -> tuple[int, ...] | None:
    """Return the padding at both ends of each axis; None: the ends differ, or words say it."""
    if string_attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    pads = ints_attribute(node, "pads") or (0,) * 2 * spatial
    return pads[:spatial] if pads[:spatial] == pads[spatial:] else None
