"""Fold BatchNormalization and constant Mul/Div behind a synapse into its weights.

Time folded into batch puts Reshape nodes between the synapse and the normalization; they are
passed as long as they leave the channel axis, counted from the end, where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.passes.edit import (
    SYNAPSES,
    constant,
    insert_before,
    int_attribute,
    new_initializer,
    only_use,
    output_axis,
    replace_value,
    shape_of,
    suffix_kept,
)

Array = npt.NDArray[Any]


@dataclass
class _Synapse:
    """A synapse node, its constant weight, and the Add that holds its bias, if any."""

    node: ir.Node
    weight: Array
    add: ir.Node | None
    bias_index: int


def run(model: ir.Model) -> int:
    """Fold every affine map that follows a synapse; return how many were folded."""
    changed = 0
    for node in list(model.graph):
        affine = _affine_of(node)
        if affine is None:
            continue
        index, gain, shift, trailing = affine
        data = node.inputs[index]
        synapse = None if data is None else _synapse_behind(data, trailing)
        if synapse is None or not _fold(model.graph, synapse, gain, shift):
            continue
        # The fold may have put a bias between the synapse and the node.
        folded = node.inputs[index]
        if folded is not None:
            replace_value(node.outputs[0], folded)
        model.graph.remove(node, safe=True)
        changed += 1
    return changed


def _affine_of(node: ir.Node) -> tuple[int, Array, Array, int] | None:
    """Return (index of the data, gain and shift per channel, axes from the channel to the end)."""
    if node.domain != "" or not node.inputs or node.inputs[0] is None:
        return None
    if node.op_type == "BatchNormalization":
        data = node.inputs[0]
        shape = shape_of(data)
        arrays = [constant(value) for value in node.inputs[1:5]]
        training = int_attribute(node, "training_mode", 0)
        if shape is None or len(shape) < 2 or training or any(a is None for a in arrays):
            return None
        scale, bias, mean, variance = (np.asarray(a, np.float64) for a in arrays)
        epsilon = node.attributes.get("epsilon")
        offset = 1e-5 if epsilon is None else epsilon.as_float()
        gain = scale / np.sqrt(variance + offset)
        return 0, gain, bias - mean * gain, len(shape) - 1
    if node.op_type in ("Mul", "Div"):
        held = [constant(value) for value in node.inputs]
        index = 1 if held[1] is not None else 0
        factor, other = held[index], node.inputs[1 - index]
        if factor is None or other is None or (node.op_type == "Div" and index == 0):
            return None
        rank = None if other.shape is None else other.shape.rank()
        if factor.size != 1 or held[1 - index] is not None or rank is None or factor.ndim > rank:
            return None
        gain = np.asarray(factor, np.float64).reshape(1)
        if not np.isfinite(gain).all() or (gain == 0).any():
            return None
        return 1 - index, gain if node.op_type == "Mul" else 1 / gain, np.zeros(1), 0
    return None


def _synapse_behind(value: ir.Value, trailing: int) -> _Synapse | None:
    """Find the synapse whose output reaches ``value`` through reshapes and at most one bias Add."""
    add: ir.Node | None = None
    bias_index = 0
    while True:
        node = value.producer()
        if node is None or node.domain != "" or only_use(value) is None:
            return None
        source = node.inputs[0]
        if node.op_type == "Reshape" and source is not None:
            before, after = shape_of(source), shape_of(value)
            if trailing and not suffix_kept(before, after, trailing):
                return None
            value = source
        elif node.op_type == "Add" and add is None:
            held = [constant(v) for v in node.inputs]
            bias_index = 1 if held[1] is not None else 0
            if held[bias_index] is None:
                return None
            add = node
            other = node.inputs[1 - bias_index]
            if other is None:
                return None
            value = other
        elif node.op_type in SYNAPSES:
            weight = constant(node.inputs[1])
            channels_last = node.op_type != "Conv"
            if weight is None or (trailing and channels_last and trailing != 1):
                return None
            shape = shape_of(value)
            if trailing and not channels_last and (shape is None or len(shape) - 1 != trailing):
                return None
            return _Synapse(node, weight, add, bias_index)
        else:
            return None


def _fold(graph: ir.Graph, synapse: _Synapse, gain: Array, shift: Array) -> bool:
    """Rewrite weights and bias so that the synapse gives ``gain * y + shift``."""
    node, weight = synapse.node, np.asarray(synapse.weight, np.float64)
    out_axis = output_axis(node, weight.ndim)
    channels = weight.shape[out_axis]
    if gain.size not in (1, channels) or shift.size not in (1, channels):
        return False
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        if bias is None or (bias.size > 1 and bias.shape[-1] != bias.size):
            return False
        bias = bias.reshape(-1)
    beta = node.attributes.get("beta")
    if beta is not None and beta.as_float() == 0:
        return False
    if synapse.add is not None and not _fold_add(graph, synapse, channels, gain, shift):
        return False
    along = [1] * weight.ndim
    along[out_axis] = -1
    dtype = synapse.weight.dtype
    name = node.inputs[1].name if node.inputs[1] else "weight"
    folded = (weight * gain.reshape(along if gain.size > 1 else [1] * weight.ndim)).astype(dtype)
    node.replace_input_with(1, new_initializer(graph, f"{name}.folded", folded))
    if synapse.add is not None and bias is None:
        return True
    total = np.zeros(channels) if bias is None else np.asarray(bias, np.float64) * gain
    if synapse.add is None:
        total = total + shift / (1.0 if beta is None else beta.as_float())
    if not total.any() and bias is None:
        return True
    value = new_initializer(
        graph, f"{name}.bias", np.broadcast_to(total, (channels,)).astype(dtype)
    )
    if node.op_type == "MatMul":
        users = list(node.outputs[0].uses())
        added = insert_before(users[0].node, "Add", [node.outputs[0], value], f"{node.name}.bias")
        added.shape = node.outputs[0].shape
        users[0].node.replace_input_with(users[0].idx, added)
    elif len(node.inputs) > 2:
        node.replace_input_with(2, value)
    else:
        node.resize_inputs(3)
        node.replace_input_with(2, value)
    return True


def _fold_add(graph: ir.Graph, synapse: _Synapse, channels: int, gain: Array, shift: Array) -> bool:
    """Rewrite the constant of the bias Add; only a per-channel or scalar constant can be folded."""
    add = synapse.add
    held = None if add is None else constant(add.inputs[synapse.bias_index])
    if add is None or held is None:
        return False
    conv = synapse.node.op_type == "Conv"
    spatial = synapse.node.outputs[0].shape
    trailing = 1 if not conv or spatial is None else spatial.rank() - 1
    flat = np.asarray(held, np.float64)
    per_channel = (channels,) + (1,) * (trailing - 1)
    if flat.size == 1 and gain.size == 1 and shift.size == 1:
        per_channel = flat.shape
    elif flat.size == 1:
        flat = np.full(channels, flat.reshape(-1)[0])
    elif flat.size != channels or flat.shape[flat.ndim - min(trailing, flat.ndim) :] not in (
        per_channel,
        per_channel[:1] if trailing == 1 else per_channel,
    ):
        return False
    total = (flat.reshape(-1) * gain + shift).reshape(per_channel).astype(held.dtype)
    name = add.inputs[synapse.bias_index]
    hint = f"{name.name if name else 'bias'}.folded"
    add.replace_input_with(synapse.bias_index, new_initializer(graph, hint, total))
    return True
