"""The constant weights of a model, and how many of them each input reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.model_file import fused_synapses, neuron_nodes
from snnquant.ops.attach import node_attributes, node_lists
from snnquant.ops.fused import (
    DILATIONS,
    FAN_IN,
    GROUP,
    INPUT,
    KERNEL_SHAPE,
    PADS,
    STRIDES,
    WEIGHT,
    WEIGHT_BITS,
    ZERO_POINT,
    Synapse,
    channels_third,
    fused_schemas,
    named_inputs,
    neuron_schema,
    op_schema,
)
from snnquant.ops.packing import unpack_weight
from snnquant.ops.schema import DOMAIN, RECURRENT_WEIGHT

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Counted:
    """Synaptic operations of one batch: if nothing were 0, without zeros; inputs all -1, 0, 1."""

    dense: float
    effective: float
    binary: bool


@dataclass
class Connection:
    """One set of weights, ``[out, in, *kernel]``, and the value that it multiplies.

    Attributes:
        source: name of the value.
        weight: the weights; integers where the model has such.
        name: of the synapse, the same in a float model and in the integer model made from it; of
            recurrent weights that of the neurons.
        zero: the input that counts as 0.
        channels_last: whether the input has its channels behind the axes of the map.
        recurrent: the neuron that feeds itself; the source is its spikes, a step later.
        strides, dilations, pads, group: as in ONNX's Conv; empty for a linear synapse.
    """

    source: str
    weight: Array
    name: str = ""
    zero: int = 0
    channels_last: bool = False
    recurrent: onnx.NodeProto | None = None
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    group: int = 1
    _reach: dict[tuple[int, ...], tuple[Array, Array]] = field(default_factory=dict, repr=False)

    def count(self, seen: Array, count: int, fixed_batch: int | None) -> Counted:
        """Return the synaptic operations of one batch.

        Args:
            seen: the source, ``[lead..., features]`` or a map.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        axes = len(self.strides)
        if self.recurrent is not None:
            spikes = channels_third(seen, self.recurrent)
            seen = np.zeros_like(spikes)
            seen[1:] = spikes[:-1]  # the first step sees none
            seen = seen.reshape(*seen.shape[:2], -1)
        elif self.channels_last and axes:
            seen = np.moveaxis(seen, -1, seen.ndim - 1 - axes)
        lead = seen.shape[: seen.ndim - 1 - axes]
        rows = seen.reshape(math.prod(lead), *seen.shape[len(lead) :])
        if fixed_batch is not None and count < fixed_batch:
            rows = _only(rows, lead, count, fixed_batch)
        features = rows.shape[1:]
        if features not in self._reach:
            every = np.ones(self.weight.shape, bool)
            self._reach[features] = self._fan_out(every), self._fan_out(self.weight != 0)
            if axes:
                reach = self._reach[features]
                self._reach[features] = (
                    self._over_map(reach[0], features[1:]),
                    self._over_map(reach[1], features[1:]),
                )
        dense, effective = self._reach[features]
        away = rows.astype(np.int32) - self.zero if self.zero else rows
        active = np.count_nonzero(away, axis=0)
        binary = bool(((away == 0) | (away == 1) | (away == -1)).all())
        return Counted(
            float(dense.sum()) * len(rows),
            float((active * effective).sum(dtype=np.float64)),
            binary,
        )

    def _fan_out(self, used: Array) -> Array:
        """Return how many used weights there are per input channel and place in the kernel."""
        grouped = used.reshape(self.group, -1, *used.shape[1:]).sum(axis=1, dtype=np.int64)
        return np.asarray(grouped.reshape(-1, *used.shape[2:]))

    def _over_map(self, reach: Array, sizes: tuple[int, ...]) -> Array:
        """Return the fan-out ``[channels, *sizes]``; at the border a part of the kernel is out."""
        axes = len(sizes)
        for axis, size in enumerate(sizes):
            kernel, step, apart = (
                self.weight.shape[2 + axis],
                self.strides[axis],
                self.dilations[axis],
            )
            front, behind = self.pads[axis], self.pads[axes + axis]
            outputs = (size + front + behind - apart * (kernel - 1) - 1) // step + 1
            hits = np.zeros((kernel, size), np.int64)
            for place in range(kernel):
                at = np.arange(outputs) * step - front + place * apart
                hits[place, at[(at >= 0) & (at < size)]] = 1
            reach = np.tensordot(reach, hits, axes=([1], [0]))
        return reach


def held_constants(model: onnx.ModelProto, *, stored: bool = False) -> dict[str, Array]:
    """Return every constant of the main graph by name, casts and multiples of such included.

    Args:
        model: canonical float model, or integer model.
        stored: give multiples as what is multiplied: the integers that the file holds.
    """
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.domain or not all(name in held for name in node.input):
            continue
        count = len(node.input)  # a damaged file may have fewer; ONNX Runtime refuses it
        if node.op_type in ("Cast", "Identity") and count == 1:
            held[node.output[0]] = held[node.input[0]]  # in the type that is stored
        elif node.op_type == "Mul" and count == 2:
            first, second = (held[name] for name in node.input)
            held[node.output[0]] = first if stored else first * second
        elif node.op_type == "Constant":
            for entry in node.attribute:
                if entry.name == "value":
                    held[node.output[0]] = numpy_helper.to_array(entry.t)
    return held


def connections_of(model: onnx.ModelProto, held: Mapping[str, Array]) -> list[Connection]:
    """Return all constant weights of a model: synapses, alone or fused, and recurrent ones.

    Args:
        model: canonical float model, or integer model, fused or not.
        held: its constants, as they are stored.
    """
    found = []
    synapses = fused_synapses(model)
    for node in model.graph.node:
        name = synapses.get(node.name, node.name)
        made = _fused(node, held, name) if node.domain == DOMAIN else _standard(node, held)
        if made is not None:
            found.append(made)
    for node in neuron_nodes(model):
        op, schema = neuron_schema(node.op_type), op_schema(node.op_type)
        if op is None or schema is None or not op.recurrent:
            continue
        name = node.input[[port.name for port in schema.inputs].index(RECURRENT_WEIGHT)]
        if name in held:
            found.append(Connection(node.output[0], held[name].T, node.name, recurrent=node))
    return found


def _standard(node: onnx.NodeProto, held: Mapping[str, Array]) -> Connection | None:
    """Return the weights of a standard op, None if it has no constant ones or is a pool."""
    if node.domain or node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in held:
        return None
    weight = held[node.input[1]]
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type != "Conv":
        if weight.ndim != 2 or given.get("transA"):
            return None
        return Connection(node.input[0], weight if given.get("transB") else weight.T, node.name)
    axes = weight.ndim - 2
    group = given.get("group", 1)
    if group == len(weight) > 1 and (weight == 1).all() and len(node.input) < 3:
        return None  # how the integer graph writes a pool
    return Connection(
        node.input[0],
        weight,
        node.name,
        strides=tuple(given.get("strides", (1,) * axes)),
        dilations=tuple(given.get("dilations", (1,) * axes)),
        pads=tuple(given.get("pads", (0,) * 2 * axes)),
        group=group,
    )


def _fused(node: onnx.NodeProto, held: Mapping[str, Array], name: str) -> Connection | None:
    """Return the weights of a fused op, None if it has none."""
    schema = fused_schemas().get(node.op_type)
    if schema is None or schema.synapse is Synapse.NONE:
        return None
    attributes = node_attributes(node, schema)
    named = named_inputs(node, schema)
    fan_in = attributes[FAN_IN.name]
    stored = unpack_weight(held[named[WEIGHT]], attributes[WEIGHT_BITS.name], fan_in)
    weight = stored.astype(np.int8)
    zero = attributes[ZERO_POINT.name]
    if schema.synapse is Synapse.LINEAR:
        return Connection(named[INPUT], weight, name, zero, True)
    lists = node_lists(node, schema)
    kernel = lists[KERNEL_SHAPE.name]
    shaped = weight.reshape(len(weight), *kernel, fan_in // math.prod(kernel))
    return Connection(
        named[INPUT],
        np.moveaxis(shaped, -1, 1),
        name,
        zero,
        True,
        strides=lists[STRIDES.name],
        dilations=lists[DILATIONS.name],
        pads=lists[PADS.name],
        group=attributes[GROUP.name],
    )


def _only(rows: Array, lead: tuple[int, ...], count: int, batch: int) -> Array:
    """Return the rows of the first samples; a batch that was folded is inside of time."""
    first = len(lead) > 1 and lead[0] == batch and lead[1] != batch
    apart = rows.reshape(*((batch, -1) if first else (-1, batch)), *rows.shape[1:])
    kept = apart[:count] if first else apart[:, :count]
    return kept.reshape(-1, *rows.shape[1:])
