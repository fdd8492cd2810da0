"""NeuroBench's metrics of a model and of what it does with data.

By the definitions of the ``neurobench`` package 2.3 (Yik et al., The NeuroBench framework,
Nature Communications 16, 2025): zero inputs and zero weights cost no synaptic operation, biases
are none, an operation is an accumulation where all inputs of its layer are -1, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.connections import connections_of, held_constants
from snnquant.errors import UsageError
from snnquant.model_file import neuron_nodes
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.ops.attach import attach_functions, node_attributes
from snnquant.ops.fused import (
    RESIDUAL,
    TIMESTEPS,
    FusedSchema,
    fused_name,
    fused_schemas,
    named_inputs,
    neuron_schema,
    op_schema,
)
from snnquant.ops.packing import stored_bits
from snnquant.ops.schema import CURRENT, DOMAIN, RECURRENT_WEIGHT, OpSchema
from snnquant.spike_counter import LayerCounter
from snnquant.stepping import is_step_model

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NeuroBench:
    """NeuroBench's metrics; operations and updates are means over the samples.

    Attributes:
        footprint: bytes of all weights, biases and constants of neurons, as the file holds them.
        connection_sparsity: share of weights that are 0.
        activation_sparsity: share of the outputs of spiking neurons that are 0.
        effective_macs: multiplications of inputs and weights that are not 0.
        effective_acs: the same in layers whose inputs are all -1, 0 or 1: additions.
        dense: operations if nothing were 0.
        membrane_updates: neurons and steps at which the membrane that the threshold sees changed;
            at the first step all.
        weights: number of weights.
        weight_bits: bits of all weights, packed to 2, 4 or 8 each where they are that narrow.
    """

    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    membrane_updates: float
    weights: int
    weight_bits: int


@dataclass(frozen=True)
class _Neurons:
    """One neuron layer: what it computes, and the names of the values that it takes."""

    op: OpSchema
    choices: Mapping[str, int]
    ports: Mapping[str, str]
    current: str
    steps: int | None
    fused: bool
    residual: str | None


class NeuroBenchCounter:
    """Counts what a model does, batch by batch.

    Args:
        model: canonical float model, or integer model, fused or not.

    Attributes:
        model: the same with what computes the currents inside of fused ops.
        values: inner values that :meth:`add` needs.

    Raises:
        UsageError: a model of single steps.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        if is_step_model(model):
            raise UsageError(
                "--neurobench needs whole sequences; evaluate the model without --mode step"
            )
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._held = held_constants(model)
        self._connections = connections_of(model, held_constants(model, stored=True))
        self._neurons = [self._open(node) for node in neuron_nodes(model)]
        attach_functions(self.model)
        wanted = [connection.source for connection in self._connections]
        for layer in self._neurons:
            wanted += [layer.current, *([layer.residual] if layer.residual else [])]
            wanted += [name for name in layer.ports.values() if name not in self._held]
        self.values = list(dict.fromkeys(wanted))
        self._footprint = _footprint(model)
        self._samples = 0
        self._updates = 0
        self._dense = [0.0] * len(self._connections)
        self._effective = [0.0] * len(self._connections)
        self._binary = [True] * len(self._connections)

    def add(self, values: Mapping[str, Array], count: int, fixed_batch: int | None) -> None:
        """Add one batch.

        Args:
            values: arrays by name, as the model gives them.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        for index, connection in enumerate(self._connections):
            found = connection.count(values[connection.source], count, fixed_batch)
            self._dense[index] += found.dense
            self._effective[index] += found.effective
            self._binary[index] &= found.binary
        self._updates += sum(self._layer_updates(n, values, count) for n in self._neurons)
        self._samples += count

    def result(self, layers: list[LayerCounter]) -> NeuroBench:
        """Return the metrics, with the spikes that were counted per layer."""
        samples = max(self._samples, 1)
        entries = sum(layer.entries for layer in layers)
        active = sum(int(layer.active.sum()) for layer in layers if layer.active is not None)
        weights = [connection.weight for connection in self._connections]
        total = sum(weight.size for weight in weights)
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        kinds = list(zip(self._effective, self._binary, strict=True))
        return NeuroBench(
            footprint=self._footprint,
            connection_sparsity=zeros / total if total else 0.0,
            activation_sparsity=1 - active / entries if entries else 0.0,
            effective_macs=sum(n for n, binary in kinds if not binary) / samples,
            effective_acs=sum(n for n, binary in kinds if binary) / samples,
            dense=sum(self._dense) / samples,
            membrane_updates=self._updates / samples,
            weights=total,
            weight_bits=sum(_bits(weight) for weight in weights),
        )

    def _open(self, node: onnx.NodeProto) -> _Neurons:
        """Return a neuron layer; of a fused one the current becomes a value of the model."""
        op, schema = neuron_schema(node.op_type), op_schema(node.op_type)
        if op is None or schema is None:
            raise ValueError(f"{node.op_type} has no neurons")
        attributes = node_attributes(node, schema)
        named = named_inputs(node, schema)
        ports = {p.name: named[p.name] for p in op.inputs if p.name != CURRENT}
        choices = {choice.name: attributes[choice.name] for choice in op.attributes}
        if not isinstance(schema, FusedSchema):
            return _Neurons(op, choices, ports, named[CURRENT], None, False, None)
        alone = fused_schemas()[fused_name(None, schema.synapse)]
        wanted = {a.name for a in alone.attributes} | {a.name for a in alone.list_attributes}
        current = f"{node.name}.neurobench.current"
        made = helper.make_node(
            alone.name, [named[p.name] for p in alone.inputs], [current], current, domain=DOMAIN
        )
        made.attribute.extend(a for a in node.attribute if a.name in wanted)
        self.model.graph.node.append(made)
        steps = attributes[TIMESTEPS.name] if schema.static else None
        return _Neurons(op, choices, ports, current, steps, True, named.get(RESIDUAL))

    def _layer_updates(self, layer: _Neurons, values: Mapping[str, Array], count: int) -> int:
        """Return at how many neurons and steps the membrane that the threshold sees changes."""
        current = values[layer.current]
        if layer.residual is not None:
            current = current + values[layer.residual]
        if layer.steps is not None:
            current = np.broadcast_to(current, (layer.steps, *current.shape))
        if layer.fused:
            current = np.moveaxis(current, -1, 2)
        current = current[:, :count]
        given = {
            port: self._held[name] if name in self._held else values[name]
            for port, name in layer.ports.items()
        }
        op = layer.op
        states: Mapping[str, Array] | None = None
        if op.stateful:
            states = {n: self._state(layer, n, given[n], current) for n in op.state_names}
        exact = integer_arithmetic(layer.choices) if op.integer else None
        held = {p.name: p.constant_name for p in op.neuron.parameters if not op.integer}
        constants = {held.get(name, name): given[name] for name in op.parameter_names}
        _, _, membranes = simulate(
            op.neuron,
            exact or FloatArithmetic(NumpyBackend()),
            current,
            constants,
            layer.choices,
            states=states,
            recurrent_weight=given.get(RECURRENT_WEIGHT),
        )
        return int(membranes[0].size + (membranes[1:] != membranes[:-1]).sum())

    def _state(self, layer: _Neurons, name: str, value: Array, current: Array) -> Array:
        """Return a state before the first step as ``[B, C, ...]``."""
        moved = np.moveaxis(value, -1, 1) if layer.fused and value.ndim > 1 else value
        return np.broadcast_to(moved[: current.shape[1]], current.shape[1:])


def _footprint(model: onnx.ModelProto) -> int:
    """Return the bytes of all constants but int64, which only say shapes and axes."""
    return sum(
        numpy_helper.to_array(tensor).nbytes
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.INT64
    )


def _bits(weight: Array) -> int:
    """Return the bits of some weights, packed if they are narrow integers."""
    if weight.dtype.kind == "f":
        return int(weight.nbytes * 8)
    try:
        return int(weight.size * stored_bits(weight.astype(np.int64)))
    except ValueError:
        return int(weight.nbytes * 8)
