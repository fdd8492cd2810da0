"""Writes synapses without neurons, and sums of their currents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from snnquant.fusion.spikes import out_dims
from snnquant.fusion.view import Current, Dim, Pending, View
from snnquant.fusion.writer import Writer, shape
from snnquant.ops.fused import (
    FAN_IN,
    GAIN_SHIFT,
    GROUP,
    WEIGHT_BITS,
    ZERO_POINT,
    Synapse,
    fused_name,
)
from snnquant.ops.packing import pack_weight, stored_bits


def synapse_inputs(synapse: Pending, out: Writer) -> list[ir.Value]:
    """Return input, packed weights and bias."""
    value = synapse.view.value
    if synapse.kind is Synapse.LINEAR:
        size = math.prod((synapse.view.channels, *synapse.view.space))
        value = out.features(value, synapse.view.lead, (size,))
    packed = pack_weight(synapse.weight, stored_bits(synapse.weight))
    weight = out.constant(packed, f"{synapse.name}.weight")
    bias = out.constant(synapse.bias.astype(np.int32), f"{synapse.name}.bias")
    return [value, weight, bias]


def synapse_attributes(synapse: Pending) -> dict[str, Any]:
    """Return what a fused op says of its synapse."""
    found: dict[str, Any] = {
        GAIN_SHIFT.name: synapse.gain.bit_length() - 1,
        ZERO_POINT.name: synapse.view.zero,
        WEIGHT_BITS.name: stored_bits(synapse.weight),
        FAN_IN.name: synapse.weight.shape[1],
    }
    if synapse.kind is Synapse.CONV:
        found |= synapse.window | {GROUP.name: synapse.group}
    return found


def summed(current: Current, out: Writer, layers: dict[str, str]) -> ir.Value:
    """Write a current without neurons.

    Args:
        current: what is written.
        out: where to.
        layers: gets the fused op of each synapse, by its name.

    Returns:
        int32, with a time axis if the current is timed: what has none is added to every step.
    """
    parts = [*current.extras, *(_alone(s, current, out, layers) for s in current.synapses)]
    # A sum of what is the same at every step is computed once.
    parts.sort(key=lambda value: len(shape(value)))
    total = parts[0]
    for value in parts[1:]:
        total = out.standard("Add", [total, value], f"{total.name}.sum", shape(value))
    return total


def repeated(value: ir.Value, current: Current, out: Writer) -> ir.Value:
    """Return an int32 value at every step of a current."""
    dims = shape(value)
    steps = current.lead.steps
    if len(dims) == 2 + len(current.features):
        return value
    times = [steps if isinstance(steps, int) else 1] + [1] * len(dims)
    wanted = out.constant(np.array(times, np.int64), "fused.repeats")
    return out.standard("Expand", [value, wanted], f"{value.name}.repeated", (times[0], *dims))


def _alone(synapse: Pending, current: Current, out: Writer, layers: dict[str, str]) -> ir.Value:
    """Write one synapse of a current."""
    op = fused_name(None, synapse.kind)
    dims = _view_dims(synapse.view, current)
    result = (f"{synapse.name}.current", int(ir.DataType.INT32), dims)
    made = out.node(
        op,
        synapse_inputs(synapse, out),
        [result],
        synapse_attributes(synapse),
        name=synapse.name,
        doc=synapse.note,
    )
    layers[synapse.name] = op
    return made[0]


def _view_dims(view: View, current: Current) -> Sequence[Dim]:
    """Return the shape of a synapse's current, given what it reads."""
    return (*out_dims(view)[: view.lead.rank], *current.space, current.channels)
