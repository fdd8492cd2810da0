"""Convolutions and matrix products of the integer graph, with weights as fused ops want them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.fusion.dims import dims_of, window_of, window_space
from snnquant.fusion.spikes import Spikes
from snnquant.fusion.view import Current, Lead, NotFusedError, Pending
from snnquant.fusion.writer import within
from snnquant.numerics import IntArray
from snnquant.ops.fused import MAX_AXES, Synapse
from snnquant.passes.edit import SYNAPSES, constant, int_attribute


def int8_weight(node: ir.Node) -> npt.NDArray[np.int8] | None:
    """Return the stored weights of an emitted synapse, else None."""
    if node.domain != "" or node.op_type not in SYNAPSES:
        return None
    cast = node.inputs[1].producer() if node.inputs[1] is not None else None
    if cast is None or cast.op_type != "Cast":
        return None
    held = constant(cast.inputs[0])
    return held if held is not None and held.dtype == np.int8 else None


def _weight(node: ir.Node) -> tuple[IntArray, IntArray]:
    """Return weights and bias; the output channels of both come first."""
    held = int8_weight(node)
    if held is None:
        raise NotFusedError("its weights are not stored as 8-bit integers")
    if node.inputs[1] is None or node.inputs[1].dtype != ir.DataType.FLOAT:
        raise NotFusedError("its sums can reach 2**24")
    weight = held.astype(np.int64)
    if node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not int_attribute(node, "transB", 0)
    ):
        weight = weight.T
    if node.op_type == "Gemm" and (
        int_attribute(node, "transA", 0) or {"alpha", "beta"} & set(node.attributes)
    ):
        raise NotFusedError("it transposes or scales its input")
    bias = np.zeros(len(weight), np.int64)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        stored = constant(node.inputs[2])
        if stored is None or (stored != np.rint(stored)).any():
            raise NotFusedError("its bias is no constant integer")
        bias = np.broadcast_to(stored.reshape(-1), bias.shape).astype(np.int64)
    return weight, bias


def _pending(node: ir.Node, synapse: Pending, lead: Lead, space: tuple[int, ...]) -> Current:
    sums = np.abs(synapse.weight).sum(axis=1) * synapse.view.reach
    if not within(sums, synapse.bias, synapse.gain):
        raise NotFusedError("its sums can reach 2**24")
    return Current(lead, space, len(synapse.bias), (synapse,))


def convolution(spikes: Spikes, node: ir.Node, axes: int) -> Current:
    """Return a convolution of spikes that has not been written yet."""
    weight, bias = _weight(node)
    if axes != 1:
        raise NotFusedError("its map has other axes")
    kernel = weight.shape[2:]
    if len(kernel) > MAX_AXES:
        raise NotFusedError(f"it has {len(kernel)} spatial axes, fused ops have 1 or 2")
    view = spikes.view(node.inputs[0], 1)
    group = int_attribute(node, "group", 1)
    if view.flat or view.channels != group * weight.shape[1]:
        raise NotFusedError("its map has no channels")
    window = window_of(node, kernel, view.space)
    rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    synapse = Pending(
        node.name or "", node.doc_string or "", view, Synapse.CONV, rows, bias, 1, window, group
    )
    return _pending(node, synapse, view.lead, window_space(window, view.space))


def matrix(spikes: Spikes, node: ir.Node, axes: int) -> Current:
    """Return a matrix product of spikes that has not been written yet."""
    weight, bias = _weight(node)
    source = node.inputs[0]
    if source is None or len(dims_of(source)) != axes + 1:
        raise NotFusedError("its features have several axes")
    view = spikes.view(source, axes)
    if view.features != (weight.shape[1],):
        raise NotFusedError("its input is of unknown size")
    if view.space:
        # Columns in the order in which the channels-last map lies in memory.
        mapped = weight.reshape(len(weight), view.channels, *view.space)
        weight = np.moveaxis(mapped, 1, -1).reshape(len(weight), -1)
    synapse = Pending(
        node.name or "", node.doc_string or "", view, Synapse.LINEAR, weight, bias, 1, {}
    )
    return _pending(node, synapse, view.lead, ())
