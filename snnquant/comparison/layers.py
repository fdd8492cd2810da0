"""The layers of a model as two models can be compared by them, whatever their form.

A fused node is two layers, its synapse and its neurons. Weights are ``[out, in, ...]`` in every
form, and are unpacked when they are asked for, so that one layer at a time is in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.inspection import fused_weight
from snnquant.model_file import fused_synapses
from snnquant.neurons import Reset
from snnquant.ops.fused import (
    BIAS,
    FusedSchema,
    Synapse,
    named_inputs,
    neuron_schema,
    op_schema,
)
from snnquant.ops.schema import DOMAIN, OpSchema
from snnquant.passes.edit import SYNAPSES

Array = npt.NDArray[Any]
Load = Callable[[], "Array | None"]
Held = Mapping[str, onnx.TensorProto]

SYNAPSE, NEURON, QUANTIZER, NODE = "synapse", "neuron", "quantizer", "node"
#: Ops at the border of the integers, which hold a scale and a zero point.
_BORDER = frozenset({"QuantizeLinear", "DequantizeLinear"})
#: What the notes of integer nodes say of widths and scales.
_NOTE = {
    "bits": re.compile(r"(\d+)-bit (?:weights|input)"),
    "weight gain": re.compile(r"-bit weights times (\d+)"),
    "scale": re.compile(r"worth (\S+(?: to [^;\s]+)?)"),
}


@dataclass
class Layer:
    """One layer, or one node that is none.

    Attributes:
        name: of the node, or of the synapse in a fused one.
        kind: "synapse", "neuron", "quantizer" or "node".
        op: op type; of the neurons in a fused node that of the node.
        form: what it computes as far as its type tells, fused or not, for finding its counterpart.
        facts: plain values by name.
        arrays: constants by name, loaded when they are called.
        sources: names of the values that it takes.
        gives: names of the values that it gives.
    """

    name: str
    kind: str
    op: str
    form: str
    fused: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Load] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers of a float or integer model with neuron nodes, and its other nodes."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    # A weight that only becomes a float is that weight.
    cast = {
        node.output[0]: held[node.input[0]]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0] in held
    }
    held |= cast
    names = fused_synapses(model)
    found: list[Layer] = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.output[0] in cast:
            continue
        name = node.name or next(iter(node.output), "")
        schema = op_schema(node.op_type) if node.domain == DOMAIN else None
        if schema is not None:
            found += _of_domain(node, schema, name, held, names.get(node.name))
        elif node.op_type in SYNAPSES and len(node.input) > 1 and node.input[1] in held:
            found.append(_synapse(node, name, held))
        else:
            found.append(_other(node, name, held))
    return found


def _of_domain(
    node: onnx.NodeProto,
    schema: OpSchema | FusedSchema,
    name: str,
    held: Held,
    synapse: str | None,
) -> list[Layer]:
    """Return the one or two layers that a node of the domain is."""
    ports = named_inputs(node, schema)
    given = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    fused = schema if isinstance(schema, FusedSchema) else None
    neurons = neuron_schema(node.op_type)
    own = {choice.name for choice in neurons.attributes} if neurons else set()
    notes = node.doc_string.split("\n", 1)
    sources = tuple(value for value in ports.values() if value not in held)
    found: list[Layer] = []
    if fused is not None and fused.synapse is not Synapse.NONE:
        between = (f"current of {node.output[0]}",)
        found.append(
            Layer(
                name=synapse or name,
                kind=SYNAPSE,
                op=node.op_type,
                form=fused.synapse.value,
                fused=True,
                facts=_noted(notes[0]) | {k: v for k, v in given.items() if k not in own},
                arrays={
                    "weights": lambda: fused_weight(node, held),
                    "bias": _loader(held.get(ports[BIAS])),
                },
                sources=sources,
                gives=between if neurons else tuple(node.output),
            )
        )
        sources = between
    if neurons is not None:
        chosen = {key: value for key, value in given.items() if key in own}
        if "reset" in chosen:
            chosen["reset"] = Reset(chosen["reset"]).name.lower()
        constants = [*neurons.parameter_names]
        constants += [port.name for port in neurons.inputs[1:] if ports[port.name] in held]
        found.append(
            Layer(
                name=name,
                kind=NEURON,
                op=node.op_type,
                form=neurons.neuron.name,
                fused=fused is not None,
                facts={"neuron": neurons.name} | _noted(notes[-1]) | chosen,
                arrays={key: _loader(held.get(ports[key])) for key in dict.fromkeys(constants)},
                sources=sources,
                gives=tuple(node.output),
            )
        )
    return found or [_other(node, name, held)]


def _synapse(node: onnx.NodeProto, name: str, held: Held) -> Layer:
    """Return an unfused synapse."""
    weight = held[node.input[1]]
    facts = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    across = len(weight.dims) == 2 and not facts.pop("transB", 0) and node.op_type != "Conv"

    def load() -> Array:
        array = numpy_helper.to_array(weight)
        return array.T if across else array

    arrays: dict[str, Load] = {"weights": load}
    if len(node.input) > 2 and node.input[2] in held:
        arrays["bias"] = _loader(held[node.input[2]])
    return Layer(
        name=name,
        kind=SYNAPSE,
        op=node.op_type,
        form="Conv" if node.op_type == "Conv" else Synapse.LINEAR.value,
        facts=_noted(node.doc_string) | facts,
        arrays=arrays,
        sources=(node.input[0],),
        gives=tuple(node.output),
    )


def _other(node: onnx.NodeProto, name: str, held: Held) -> Layer:
    """Return a node that is no layer, or one at the border of the integers."""
    border = node.op_type in _BORDER
    words = ("scale", "zero_point") if border else ()
    constants = [(k, v) for k, v in enumerate(node.input) if v in held]
    return Layer(
        name=name,
        kind=QUANTIZER if border else NODE,
        op=node.op_type,
        form=f"{node.domain}.{node.op_type}",
        facts={attribute.name: _attribute(attribute) for attribute in node.attribute},
        arrays={
            words[k - 1] if 0 < k <= len(words) else f"input {k}": _loader(held[v])
            for k, v in constants
        },
        sources=tuple(v for v in node.input if v and v not in held),
        gives=tuple(filter(None, node.output)),
    )


def _loader(tensor: onnx.TensorProto | None) -> Load:
    return lambda: None if tensor is None else numpy_helper.to_array(tensor)


def _noted(note: str) -> dict[str, Any]:
    """Return widths and scales that the note of an integer node tells."""
    found = {key: pattern.search(note) for key, pattern in _NOTE.items()}
    return {
        key: int(match[1]) if key != "scale" else match[1].replace(" to ", "..").rstrip(";")
        for key, match in found.items()
        if match is not None and len(match[1]) < 40
    }


def _attribute(attribute: onnx.AttributeProto) -> Any:
    """Return an attribute as a plain value; graphs and tensors by their kind and hash."""
    try:
        value = helper.get_attribute_value(attribute)
    except ValueError:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (int, float, str)):
        return value
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    kind = onnx.AttributeProto.AttributeType.Name(attribute.type).lower()
    digest = hashlib.sha256(attribute.SerializeToString(deterministic=True)).hexdigest()
    return f"{kind} {digest[:12]}"
