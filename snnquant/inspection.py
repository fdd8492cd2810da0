"""What a model is, without running data: layers, neurons, steps, and what would stay float."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from snnquant.instrument import Layout, ModelLayout, Runner
from snnquant.lowering.plan import make_plan
from snnquant.model_file import metadata, neuron_nodes
from snnquant.neurons import Reset
from snnquant.ops.schema import DOMAIN, schemas
from snnquant.passes import canonicalise
from snnquant.passes.edit import SYNAPSES, constant, shape_of
from snnquant.target import load_target


def inspect_model(model: onnx.ModelProto) -> dict[str, Any]:
    """Return what there is to say about a float or integer model, as plain values.

    Raises:
        ModelError: the model has no neuron, or cannot be read.
    """
    integer = bool(neuron_nodes(model, integer=True))
    if integer:
        runner = Runner(model, custom_ops=False)  # to look at a file, no library is needed
        layers = _integer_layers(model)
        left: list[dict[str, str]] = []
    else:
        canonical = canonicalise(model)
        runner = Runner(ir.to_proto(canonical), custom_ops=False)
        layers = _float_layers(canonical)
        target = load_target("generic")
        plan = make_plan(canonical, target)
        left = [vars(entry) for entry in plan.left]
    layout = runner.layout
    return {
        "kind": "integer" if integer else "float",
        "timesteps": layout.timesteps,
        "inputs": [_describe_input(entry) for entry in layout.inputs],
        "outputs": [entry.name for entry in layout.outputs],
        "fixed_batch": layout.fixed_batch,
        "input_kind": _input_kind(layout),
        "layers": layers,
        "stays_float": left,
        "metadata": dict(sorted(metadata(model).items())),
    }


def _input_kind(layout: ModelLayout) -> str:
    sequence = any(entry.time_axis is not None for entry in layout.inputs)
    return "sequence" if sequence else "static, repeated over time"


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


def _float_layers(model: ir.Model) -> list[dict[str, Any]]:
    """Describe synapses and neurons of a canonical float graph, in order."""
    layers: list[dict[str, Any]] = []
    for node in model.graph:
        if node.domain == DOMAIN:
            schema = schemas()[node.op_type]
            ports = [port.name for port in schema.inputs]
            parameters = {}
            for name in schema.parameter_names:
                held = constant(node.inputs[ports.index(name)])
                parameters[name] = "computed" if held is None else _span(held)
            choices = {
                choice.name: node.attributes[choice.name].as_int()
                for choice in schema.attributes
                if choice.name in node.attributes
            }
            shape = shape_of(node.outputs[0])
            layers.append(
                {
                    "name": node.name,
                    "op": node.op_type,
                    "kind": "neuron",
                    "neurons": None if shape is None or None in shape[2:] else list(shape[2:]),
                    "equation": schema.neuron.equation,
                    "parameters": parameters,
                    **_readable(choices),
                }
            )
        elif node.domain == "" and node.op_type in SYNAPSES:
            weight = constant(node.inputs[1])
            if weight is not None:
                layers.append(_synapse(node.name or "", node.op_type, weight))
    return layers


def _readable(choices: dict[str, int]) -> dict[str, Any]:
    """Return structural choices with the reset as a word."""
    words: dict[str, Any] = dict(choices)
    if "reset" in choices:
        words["reset"] = Reset(choices["reset"]).name.lower()
    return words


def _synapse(name: str, op: str, weight: Any) -> dict[str, Any]:
    return {
        "name": name,
        "op": op,
        "kind": "synapse",
        "weight_shape": list(weight.shape),
        "weights": int(weight.size),
        "largest_weight": float(np.abs(weight).max(initial=0)),
    }


def _integer_layers(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """Describe synapses and neurons of an integer model, in order."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    cast = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    shapes = {
        value.name: [d.dim_value or None for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    layers: list[dict[str, Any]] = []
    for node in model.graph.node:
        if node.domain == DOMAIN:
            schema = schemas()[node.op_type]
            ports = [port.name for port in schema.inputs]
            shape = shapes.get(node.output[0], [None] * 3)[2:]
            constants = {
                name: _span(numpy_helper.to_array(held[node.input[ports.index(name)]]))
                for name in schema.parameter_names
                if node.input[ports.index(name)] in held
            }
            layers.append(
                {
                    "name": node.name,
                    "op": node.op_type,
                    "kind": "neuron",
                    "neurons": None if None in shape else shape,
                    "equation": schema.neuron.equation,
                    "parameters": constants,
                    "note": node.doc_string,
                    **_readable({a.name: a.i for a in node.attribute}),
                }
            )
        elif node.op_type in SYNAPSES and len(node.input) > 1:
            source = cast.get(node.input[1], node.input[1])
            if source in held and held[source].data_type == onnx.TensorProto.INT8:
                weight = numpy_helper.to_array(held[source])
                layers.append(
                    {**_synapse(node.name, node.op_type, weight), "note": node.doc_string}
                )
    return layers
