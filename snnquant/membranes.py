"""The membranes inside a model, from what a run of it gives: no kernel has to show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant.connections import held_constants
from snnquant.model_file import neuron_nodes, states_of
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
from snnquant.ops.schema import CURRENT, DOMAIN, RECURRENT_WEIGHT, OpSchema
from snnquant.stepping import initial_states, is_step_model

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NeuronLayer:
    """One neuron layer: what it computes, and the names of the values that it takes.

    Attributes:
        name: of the layer.
        op: its neurons' op.
        choices: attributes of that op.
        ports: names of constants and states, by port.
        current: name of the current.
        steps: steps that see a static current; None: the current has a time axis.
        fused: the channels of the current come last.
        residual: name of one more current.
    """

    name: str
    op: OpSchema
    choices: Mapping[str, int]
    ports: Mapping[str, str]
    current: str
    steps: int | None
    fused: bool
    residual: str | None


class MembraneProbe:
    """Computes the membrane of every neuron at every step, as the threshold sees it.

    Args:
        model: canonical float model, or integer model, fused or not.

    Attributes:
        model: the same with what computes the currents inside of fused ops.
        layers: its neuron layers, in order.
        values: inner values that :meth:`membranes` needs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._held = held_constants(model)
        self.layers = tuple(self._open(node) for node in neuron_nodes(model))
        attach_functions(self.model)
        wanted: list[str] = []
        for layer in self.layers:
            wanted += [layer.current, *([layer.residual] if layer.residual else [])]
            wanted += [name for name in layer.ports.values() if name not in self._held]
        #: States that a model of single steps takes; those before the first are known.
        self._started = frozenset(states_of(model) if is_step_model(model) else ())
        self.values = [name for name in dict.fromkeys(wanted) if name not in self._started]

    def constants(self, layer: NeuronLayer) -> dict[str, Array]:
        """Return the constants of a layer that the model holds, by the names that a step reads."""
        held = {p.name: p.constant_name for p in layer.op.neuron.parameters if not layer.op.integer}
        return {
            held.get(name, name): self._held[layer.ports[name]]
            for name in layer.op.parameter_names
            if layer.ports[name] in self._held
        }

    def started(
        self, values: Mapping[str, Array], count: int, fixed_batch: int | None = None
    ) -> Mapping[str, Array]:
        """Return values of a batch with the states before the first step where these are inputs.

        Args:
            values: what the model gives, by name.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        if not self._started:
            return values
        return {**values, **initial_states(self.model, fixed_batch or count)}

    def membranes(
        self,
        layer: NeuronLayer,
        values: Mapping[str, Array],
        count: int,
        fixed_batch: int | None = None,
    ) -> Array:
        """Return the membranes of a layer after integration, ``[T, B, channels, ...]``.

        Args:
            layer: one of the layers.
            values: what the model gives, by name; of a model of single steps the steps joined
                along the first axis, and :meth:`started`.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        current = values[layer.current]
        if layer.residual is not None:
            current = current + values[layer.residual]
        if layer.steps is not None:
            # One current per call: a model of single steps makes as many calls as steps.
            calls = current.reshape(-1, fixed_batch or count, *current.shape[1:])
            current = np.repeat(calls, layer.steps, axis=0)
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
            states = {name: self._state(layer, given[name], current) for name in op.state_names}
        exact = integer_arithmetic(layer.choices) if op.integer else None
        held = {p.name: p.constant_name for p in op.neuron.parameters if not op.integer}
        constants = {held.get(name, name): given[name] for name in op.parameter_names}
        return simulate(
            op.neuron,
            exact or FloatArithmetic(NumpyBackend()),
            current,
            constants,
            layer.choices,
            states=states,
            recurrent_weight=given.get(RECURRENT_WEIGHT),
        )[2]

    def _open(self, node: onnx.NodeProto) -> NeuronLayer:
        """Return a neuron layer; of a fused one the current becomes a value of the model."""
        op, schema = neuron_schema(node.op_type), op_schema(node.op_type)
        if op is None or schema is None:
            raise ValueError(f"{node.op_type} has no neurons")
        attributes = node_attributes(node, schema)
        named = named_inputs(node, schema)
        ports = {p.name: named[p.name] for p in op.inputs if p.name != CURRENT}
        choices = {choice.name: attributes[choice.name] for choice in op.attributes}
        if not isinstance(schema, FusedSchema):
            return NeuronLayer(node.name, op, choices, ports, named[CURRENT], None, False, None)
        alone = fused_schemas()[fused_name(None, schema.synapse)]
        wanted = {a.name for a in alone.attributes} | {a.name for a in alone.list_attributes}
        current = f"{node.name}.probe.current"
        made = helper.make_node(
            alone.name, [named[p.name] for p in alone.inputs], [current], current, domain=DOMAIN
        )
        made.attribute.extend(a for a in node.attribute if a.name in wanted)
        self.model.graph.node.append(made)
        steps = attributes[TIMESTEPS.name] if schema.static else None
        residual = named.get(RESIDUAL)
        return NeuronLayer(node.name, op, choices, ports, current, steps, True, residual)

    def _state(self, layer: NeuronLayer, value: Array, current: Array) -> Array:
        """Return a state before the first step as ``[B, C, ...]``."""
        moved = np.moveaxis(value, -1, 1) if layer.fused and value.ndim > 1 else value
        return np.broadcast_to(moved[: current.shape[1]], current.shape[1:])
