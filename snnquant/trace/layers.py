"""What happens inside every integer layer, by the numpy reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from snnquant import runtime
from snnquant.data import Batch
from snnquant.errors import ModelError, SelfCheckError
from snnquant.fusion import fuse_model
from snnquant.instrument import Runner, with_outputs
from snnquant.model_file import fused_synapses, neuron_nodes
from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.ops.attach import node_attributes, node_lists
from snnquant.ops.equation import equation_of_node
from snnquant.ops.fused import (
    BIAS,
    FAN_IN,
    INPUT,
    KERNEL_SHAPE,
    RESIDUAL,
    TIMESTEPS,
    WEIGHT,
    WEIGHT_BITS,
    FusedSchema,
    Synapse,
    channels_third,
    fused_schemas,
    named_inputs,
    op_schema,
)
from snnquant.ops.packing import unpack_weight
from snnquant.ops.schema import CURRENT, DOMAIN, RECURRENT_WEIGHT, OpSchema
from snnquant.reference import Reference, float_entries, synapse_current
from snnquant.stepping import StepRunner, is_step_model, step_interface

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LayerTrace:
    """One layer: a synapse, neurons, or both.

    Attributes:
        name: of the neurons, else of the synapse.
        synapse: name of the synapse, where one is part of the layer.
        op: its op.
        equation: what a neuron does in a step; "" where there are none.
        note: what the model says of its scales.
        attributes: of the op.
        signals: per-step integers ``[sample, step, channel, ...]``: "input", "residual",
            "current", "membrane" (after integration, before the comparison with the threshold) and
            "spikes"; a static input has one step.
        constants: what stays: "weight" ``[channel, fan_in]``, "bias", "recurrent_weight" and the
            neuron's constants.
        weight_bits: width of the weights.
    """

    name: str
    synapse: str
    op: str
    equation: str
    note: str
    attributes: dict[str, Any]
    signals: dict[str, Array]
    constants: dict[str, Array]
    weight_bits: int = 8


@dataclass(frozen=True)
class Trace:
    """All layers in the order of computation, and the outputs of the model, samples first."""

    samples: int
    layers: tuple[LayerTrace, ...]
    outputs: dict[str, Array] = field(default_factory=dict)


def trace_model(model: onnx.ModelProto, samples: Batch) -> Trace:
    """Run a model on samples with the reference and keep every integer of every layer.

    Args:
        model: integer model, fused or not, of sequences or of single steps; synapses and neurons
            that can be fused are shown as one layer.
        samples: batch-first.

    Raises:
        ModelError: the model has no integer neurons.
        DataError: the samples do not fit it.
        SelfCheckError: the inside of a layer does not give what the layer gives.
    """
    if not neuron_nodes(model, integer=True):
        raise ModelError("the model has no integer neurons; trace what 'snnquant convert' writes")
    fused = fused_schemas()
    whole = any(node.domain == DOMAIN and node.op_type in fused for node in model.graph.node)
    shown = model if whole else fuse_model(model).model
    nodes = [(node, schema) for node, schema in _layers(shown)]
    held = {t.name: numpy_helper.to_array(t) for t in shown.graph.initializer}
    wanted = [n for node, _ in nodes for n in (*node.input, *node.output) if n and n not in held]
    wanted = list(dict.fromkeys(wanted))
    parts = [
        {name: array[k : k + 1] for name, array in samples.inputs.items()}
        for k in range(len(samples))
    ]
    synapses = fused_synapses(shown)
    neurons = [node.output[0] for node in neuron_nodes(shown, integer=True)]
    run = _Run(shown, wanted)
    found: list[list[LayerTrace]] = []
    outputs: list[dict[str, Array]] = []
    for part in parts:
        steps = list(run(part))
        leads = {call[name].shape[:2] for call in steps for name in neurons}
        calls = [_look(node, schema, held, steps, synapses, leads) for node, schema in nodes]
        found.append(calls)
        outputs.append({v.name: steps[-1][v.name] for v in model.graph.output})
    layers = tuple(_joined([sample[index] for sample in found]) for index in range(len(nodes)))
    ends = {v.name: np.stack([o[v.name] for o in outputs]) for v in model.graph.output}
    return Trace(len(samples), layers, ends)


class _Run:
    """Runs one sample with the reference; yields values of every call: one, or one per step."""

    def __init__(self, model: onnx.ModelProto, wanted: Sequence[str]) -> None:
        self._interface = step_interface(model) if is_step_model(model) else None
        given = {value.name for value in model.graph.input}
        names = [*(v.name for v in model.graph.output), *(n for n in wanted if n not in given)]
        names = list(dict.fromkeys(names))
        self._entries = float_entries(model)
        self._reference = Reference(model, names, self._entries)
        self._runner = (StepRunner if self._interface else Runner)(model, custom_ops=False)
        data = with_outputs(model, self._entries).SerializeToString()
        self._session = runtime.load_session(data, custom_ops=False)

    def __call__(self, part: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """Yield all values of each call, inputs among them."""
        if isinstance(self._runner, Runner):
            yield self._values(self._runner.feeds(part))
            return
        states: dict[str, Array] = {}
        for feeds in self._runner.step_feeds(part)[0]:
            found = self._values(feeds | states)
            interface = self._interface
            if interface is not None:
                states = {name: found[state.next] for name, state in interface.states.items()}
            yield found

    def _values(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        entries = {}
        if self._entries:
            found = self._session.run(self._entries, dict(feeds))
            entries = dict(zip(self._entries, found, strict=True))
        return {**feeds, **entries, **self._reference.run({**feeds, **entries})}


def _layers(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, OpSchema | FusedSchema]]:
    """Yield the integer nodes that have neurons or a synapse."""
    for node in model.graph.node:
        schema = op_schema(node.op_type) if node.domain == DOMAIN else None
        if isinstance(schema, FusedSchema):
            if schema.synapse is not Synapse.NONE:
                yield node, schema
        elif schema is not None and schema.integer:
            yield node, schema


def _look(
    node: onnx.NodeProto,
    schema: OpSchema | FusedSchema,
    held: Mapping[str, Array],
    calls: Sequence[Mapping[str, Array]],
    synapses: Mapping[str, str],
    leads: Collection[tuple[int, ...]],
) -> LayerTrace:
    """Return one layer on one sample, all steps; what is computed once for all of them has one.

    ``leads`` are the steps and samples that neurons have.
    """
    fused = isinstance(schema, FusedSchema)
    inner = schema.neuron_op if isinstance(schema, FusedSchema) else schema
    attributes: dict[str, Any] = dict(node_attributes(node, schema))
    if isinstance(schema, FusedSchema):
        attributes |= node_lists(node, schema)
    names = named_inputs(node, schema)
    seen: dict[str, list[Array]] = {}
    inputs: dict[str, Array] = {}
    for call in calls:
        inputs = {port: held[n] if n in held else call[n] for port, n in names.items()}
        current = inputs.get(CURRENT)
        given = call[node.output[0]]
        if isinstance(schema, FusedSchema):
            once = inner is None and not _has_steps(inputs[INPUT], attributes, leads)
            shown = inputs[INPUT][None] if schema.static or once else inputs[INPUT]
            seen.setdefault("input", []).append(np.moveaxis(shown, -1, 2))
            if schema.residual:
                seen.setdefault("residual", []).append(np.moveaxis(inputs[RESIDUAL], -1, 2))
            current = synapse_current(schema, inputs, attributes)
            if schema.static:
                current = np.broadcast_to(current, (attributes[TIMESTEPS.name], *current.shape))
            elif once:
                current, given = current[None], given[None]
            current = np.moveaxis(current, -1, 2)
        if current is None:
            raise ModelError(f"'{node.name}' has no current; convert again")
        seen.setdefault("current", []).append(current)
        given = channels_third(given, node)
        result = current
        if inner is not None:
            result, membrane = _neurons(inner, inputs, attributes, current, fused)
            seen.setdefault("membrane", []).append(membrane)
            if inner.neuron.spiking:
                seen.setdefault("spikes", []).append(result)
        if not np.array_equal(result, given):
            raise SelfCheckError(f"the inside of '{node.name}' differs; please report this")
    signals = {name: np.concatenate(parts)[:, 0] for name, parts in seen.items()}
    bits = attributes.get(WEIGHT_BITS.name, 8)
    constants: dict[str, Array] = {}
    if fused:
        constants["weight"] = unpack_weight(inputs[WEIGHT], bits, attributes[FAN_IN.name])
        constants["bias"] = inputs[BIAS]
    equation = ""
    if inner is not None:
        kept = (RECURRENT_WEIGHT, *inner.parameter_names)
        constants |= {name: inputs[name] for name in kept if name in inputs}
        equation = equation_of_node(inner, {n: inputs.get(n) for n in kept}, attributes).text
    synapse = synapses.get(node.name, "") if inner is not None else node.name
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in attributes.items()}
    return LayerTrace(
        node.name,
        synapse,
        node.op_type,
        equation,
        node.doc_string,
        plain,
        signals,
        constants,
        bits,
    )


def _has_steps(
    values: Array, attributes: Mapping[str, Any], leads: Collection[tuple[int, ...]]
) -> bool:
    """Return whether what a synapse reads, ``[T, B, ...]`` or ``[B, ...]``, has a time axis."""
    features = 1 + len(attributes.get(KERNEL_SHAPE.name, ()))
    return values.ndim >= 2 + features and values.shape[:2] in leads


def _neurons(
    schema: OpSchema,
    inputs: Mapping[str, Array],
    attributes: Mapping[str, int],
    current: Array,
    fused: bool,
) -> tuple[Array, Array]:
    """Return outputs and membranes ``[T, B, channels, ...]``."""
    states = None
    if schema.stateful:
        states = {
            name: np.moveaxis(inputs[name], -1, 1) if fused else inputs[name]
            for name in schema.state_names
        }
    output, _, membrane = simulate(
        schema.neuron,
        integer_arithmetic(attributes),
        current,
        {name: inputs[name] for name in schema.parameter_names},
        attributes,
        states=states,
        recurrent_weight=inputs.get(RECURRENT_WEIGHT),
    )
    return output, membrane


def _joined(parts: Sequence[LayerTrace]) -> LayerTrace:
    """Return a layer of all samples from those of each."""
    first = parts[0]
    signals = {name: np.stack([p.signals[name] for p in parts]) for name in first.signals}
    return replace(first, signals=signals)
