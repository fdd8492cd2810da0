"""What a model is: layers, neurons and how they were read, steps, and what would stay float."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends import NeuronOrigin, Reading
from snnquant.instrument import Layout, ModelLayout, Runner
from snnquant.lowering.plan import make_plan
from snnquant.model_file import fused_synapses, metadata, neuron_nodes, states_of
from snnquant.neurons import Reset
from snnquant.ops.equation import equation_of_node
from snnquant.ops.fused import (
    FAN_IN,
    KERNEL_SHAPE,
    WEIGHT,
    WEIGHT_BITS,
    channels_last,
    neuron_schema,
    op_schema,
)
from snnquant.ops.packing import unpack_weight
from snnquant.ops.schema import DOMAIN, OpSchema, schemas
from snnquant.passes import canonicalise
from snnquant.passes.edit import SYNAPSES, constant, shape_of, state_inputs
from snnquant.stepping import MODES, is_step_model, step_interface
from snnquant.target import load_target

#: An array of a constant of a neuron, None where it is computed.
Held = Mapping[str, "np.ndarray[Any, Any] | None"]


def inspect_model(reading: Reading) -> dict[str, Any]:
    """Return what there is to say about a float or integer model, as plain values.

    Raises:
        ModelError: the model has no neuron, or cannot be read.
    """
    if neuron_nodes(reading.model, integer=True):
        runner = Runner(reading.model, custom_ops=False)  # to look at a file, no library is needed
        return describe_integer(reading, runner.layout)
    canonical = canonicalise(reading.with_metadata())
    runner = Runner(ir.to_proto(canonical), custom_ops=False)
    return describe_float(reading, canonical, runner.layout)


def describe_float(reading: Reading, canonical: ir.Model, layout: ModelLayout) -> dict[str, Any]:
    """Return what there is to say about a float model.

    Args:
        reading: how it was read.
        canonical: its canonical graph.
        layout: the graph's axes.
    """
    plan = make_plan(canonical, load_target("generic"))
    layers = _float_layers(canonical, layout.timesteps)
    left = [vars(entry) for entry in plan.left]
    states = {value.name or "" for value in state_inputs(canonical.graph)}
    return _describe("float", reading, layout, layers, left, states)


def describe_integer(reading: Reading, layout: ModelLayout) -> dict[str, Any]:
    """Return what there is to say about an integer model; its axes are in ``layout``."""
    layers = _integer_layers(reading.model, layout.timesteps)
    states = set(states_of(reading.model))
    return _describe("integer", reading, layout, layers, [], states)


def _describe(
    kind: str,
    reading: Reading,
    layout: ModelLayout,
    layers: list[dict[str, Any]],
    left: list[dict[str, str]],
    states: set[str],
) -> dict[str, Any]:
    origins = {origin.node: origin for origin in reading.origins}
    return {
        "kind": kind,
        "timesteps": _timesteps(reading.model, layout),
        "mode": MODES[is_step_model(reading.model)],
        "inputs": [_describe_input(entry) for entry in layout.inputs],
        "outputs": [entry.name for entry in layout.outputs],
        "fixed_batch": reading.fixed_batch or layout.fixed_batch,
        "input_kind": _input_kind(layout, states),
        "layers": [
            layer | _origin(origins.get(layer["name"])) if layer["kind"] == "neuron" else layer
            for layer in layers
        ],
        "stays_float": left,
        "notes": list(reading.notes),
        "metadata": dict(sorted(metadata(reading.model).items())),
    }


def _timesteps(model: onnx.ModelProto, layout: ModelLayout) -> int | None:
    """Return the steps of a sequence; None: any number."""
    return step_interface(model).timesteps if is_step_model(model) else layout.timesteps


def _origin(origin: NeuronOrigin | None) -> dict[str, Any]:
    """Return how a neuron was read; nothing where the source holds it as it is."""
    if origin is None:
        return {}
    return {
        "framework": origin.framework,
        "found_at": list(origin.found_at),
        "read_as": origin.equation,
        "knife_edges": origin.knife_edges,
    }


def _input_kind(layout: ModelLayout, states: set[str]) -> str:
    if any(entry.time_axis is not None for entry in layout.inputs):
        return "sequence"
    if states and layout.timesteps == 1:
        return "one step, with the states that the last step gave"
    return "static, repeated over time"


def _describe_input(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "shape": list(layout.shape),
        "dtype": layout.dtype.name,
        "batch_axis": layout.batch_axis,
        "time_axis": layout.time_axis,
    }


def _span(array: Any) -> Any:
    """Return a number, or the smallest and the largest of several."""
    low, high = array.min(), array.max()
    return low.item() if low == high else [low.item(), high.item()]


def _neuron(
    name: str,
    schema: OpSchema,
    shape: tuple[int | None, ...] | None,
    held: Held,
    choices: Mapping[str, int],
    timesteps: int | None,
) -> dict[str, Any]:
    """Describe one neuron layer with the parameters and states that its structure uses."""
    spans = {key: None if array is None else _span(array) for key, array in held.items()}
    equation = equation_of_node(schema, held, choices)
    read = {
        parameter.constant_name if schema.integer else parameter.name
        for parameter in schema.neuron.parameters
        if parameter.name in equation.parameters
    }
    steps = shape[0] if shape else None
    words: dict[str, Any] = dict(choices)
    if "reset" in choices:
        words["reset"] = Reset(choices["reset"]).name.lower()
    return {
        "name": name,
        "op": schema.name,
        "kind": "neuron",
        "neurons": None if shape is None or None in shape[2:] else list(shape[2:]),
        "timesteps": steps or timesteps,
        "equation": list(equation.lines),
        "parameters": {
            key: "computed" if value is None else value
            for key, value in spans.items()
            if key in read
        },
        **words,
    }


def _float_layers(model: ir.Model, timesteps: int | None) -> list[dict[str, Any]]:
    """Describe synapses and neurons of a canonical float graph, in order."""
    layers: list[dict[str, Any]] = []
    for node in model.graph:
        if node.domain == DOMAIN:
            schema = schemas()[node.op_type]
            ports = [port.name for port in schema.inputs]
            held = {
                name: constant(node.inputs[ports.index(name)]) for name in schema.parameter_names
            }
            choices = {
                choice.name: node.attributes[choice.name].as_int()
                for choice in schema.attributes
                if choice.name in node.attributes
            }
            shape = shape_of(node.outputs[0])
            layers.append(_neuron(node.name or "", schema, shape, held, choices, timesteps))
        elif node.domain == "" and node.op_type in SYNAPSES:
            weight = constant(node.inputs[1])
            if weight is not None:
                layers.append(_synapse(node.name or "", node.op_type, weight))
    return layers


def _synapse(name: str, op: str, weight: Any) -> dict[str, Any]:
    return {
        "name": name,
        "op": op,
        "kind": "synapse",
        "weight_shape": list(weight.shape),
        "weights": int(weight.size),
        # In float64, where -128 of int8 has a magnitude.
        "largest_weight": float(np.abs(weight, dtype=np.float64).max(initial=0)),
    }


def _integer_layers(model: onnx.ModelProto, timesteps: int | None) -> list[dict[str, Any]]:
    """Describe synapses and neurons of an integer model, in order."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    cast = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    shapes = {
        value.name: tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim)
        for value in (*model.graph.value_info, *model.graph.output)
    }
    synapses = fused_synapses(model)
    layers: list[dict[str, Any]] = []
    for node in model.graph.node:
        if node.domain == DOMAIN:
            note = node.doc_string
            if channels_last(node.domain, node.op_type):
                # The synapse's note is in front of the neuron's.
                note = note.partition("\n")[2]
                layers += _fused_synapse(node, held, synapses.get(node.name))
            schema = neuron_schema(node.op_type)
            if schema is None:
                continue
            constants = {
                name: numpy_helper.to_array(held[value])
                for name, value in _ports(node).items()
                if name in schema.parameter_names and value in held
            }
            known = {choice.name for choice in schema.attributes}
            choices = {a.name: a.i for a in node.attribute if a.name in known}
            shape = shapes.get(node.output[0])
            if shape and channels_last(node.domain, node.op_type):
                shape = (*shape[:2], shape[-1], *shape[2:-1])
            described = _neuron(node.name, schema, shape, constants, choices, timesteps)
            layers.append(described | {"op": node.op_type, "note": note})
        elif node.op_type in SYNAPSES and len(node.input) > 1:
            source = cast.get(node.input[1], node.input[1])
            if source in held and held[source].data_type == onnx.TensorProto.INT8:
                weight = numpy_helper.to_array(held[source])
                layers.append(
                    {**_synapse(node.name, node.op_type, weight), "note": node.doc_string}
                )
    return layers


def _ports(node: onnx.NodeProto) -> dict[str, str]:
    """Return the values that a node of the domain reads, by the names of its inputs."""
    schema = op_schema(node.op_type)
    return (
        {}
        if schema is None
        else dict(zip((p.name for p in schema.inputs), node.input, strict=True))
    )


def _fused_synapse(
    node: onnx.NodeProto,
    held: Mapping[str, onnx.TensorProto],
    known: str | None,
) -> list[dict[str, Any]]:
    """Describe the synapse of a fused node, if it has one.

    Args:
        node: the node.
        held: all initializers by name.
        known: name of the synapse, where the node has the name of its neuron.
    """
    weight = fused_weight(node, held)
    if weight is None:
        return []
    note = node.doc_string.partition("\n")[0]
    return [_synapse(known or node.name, node.op_type, weight) | {"note": note}]


def fused_weight(
    node: onnx.NodeProto, held: Mapping[str, onnx.TensorProto]
) -> np.ndarray[Any, Any] | None:
    """Return the weights of a fused node as the float model has them, ``[out, in, ...]``.

    Args:
        node: the node.
        held: all initializers by name; None is returned where they do not have the weights.

    Raises:
        ModelError: they are not as the node's attributes say.
    """
    stored = held.get(_ports(node).get(WEIGHT, ""))
    if stored is None:
        return None
    given = {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}
    kernel = next((list(a.ints) for a in node.attribute if a.name == KERNEL_SHAPE.name), [])
    packed = numpy_helper.to_array(stored)
    try:
        rows = unpack_weight(packed, given[WEIGHT_BITS.name], given[FAN_IN.name])
        # Input channels are in front of the kernel.
        return np.moveaxis(rows.reshape(len(rows), *kernel, -1), -1, 1)
    except ValueError as error:
        raise ModelError(
            f"node '{node.name}' ({node.op_type}): weights of shape {list(packed.shape)} are not "
            f"those of {given[FAN_IN.name]} inputs; convert the model again"
        ) from error
