"""Read and check ONNX files from users; hash what they compute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from snnquant.errors import ModelError, NumericalError, first_line
from snnquant.external_data import MAX_MODEL_BYTES, load_external_data
from snnquant.ops.attach import node_attributes, node_lists
from snnquant.ops.fused import FusedSchema, fused_schemas, op_schema
from snnquant.ops.schema import DOMAIN, STATE_BITS
from snnquant.ops.states import state_inputs_of

#: Metadata: real value of one step of an integer output, or of a state that is an input, as JSON:
#: one number, or a list where it differs per channel (or neuron).
SCALE_KEY = "snnquant.scale."
#: Metadata: name of the synapse in each fused neuron node, by the node's name, as JSON.
SYNAPSES_KEY = "snnquant.synapses"
#: Metadata: for how many steps states are proved never to saturate, by neuron, as JSON; null: for
#: all that the model takes.
PROVED_KEY = "snnquant.proved_steps"
#: Metadata of a model of single steps: per input that is a state how it starts and comes back.
STATE_KEY = "snnquant.state."


def read_model(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, external tensors included.

    Raises:
        ModelError: no such file, not ONNX, truncated, without nodes, or not a graph.
        NumericalError: NaN or infinite weights.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise ModelError(f"{file} is no regular file; give the path of an .onnx file")
        if size > MAX_MODEL_BYTES:
            raise ModelError(
                f"{file} has {size} bytes, but one ONNX file holds {MAX_MODEL_BYTES}; "
                "split the network"
            )
        model = onnx.load(str(file), format="protobuf", load_external_data=False)
    except FileNotFoundError as error:
        raise ModelError(f"there is no model file {file}; check the path") from error
    except DecodeError as error:
        raise ModelError(f"{file} is not an ONNX model or is truncated; export it again") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{file} cannot be read: {first_line(error)}; export it again") from error
    if not model.graph.node:
        raise ModelError(f"{file} is not an ONNX model with nodes; export the network again")
    load_external_data(model, file.parent)
    _check_edges(model.graph, str(file))
    _check_neurons(model)
    check_weights(model, str(file))
    return model


def _check_neurons(model: onnx.ModelProto) -> None:
    """Raise ModelError for a node of the domain that is not as its op wants it."""
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        schema = op_schema(node.op_type)
        if schema is None:
            raise ModelError(
                f"node '{node.name}': op {node.op_type} is not in domain {DOMAIN}; "
                "the model may come from a newer snnquant"
            )
        wanted = [port.name for port in schema.inputs]
        if len(node.input) != len(wanted) or "" in node.input:
            raise ModelError(
                f"node '{node.name}' ({node.op_type}) has {len([*filter(None, node.input)])} "
                f"inputs, needs {len(wanted)}: {', '.join(wanted)}"
            )
        if not node.output or not node.output[0]:
            raise ModelError(f"node '{node.name}' ({node.op_type}) has no output; export it again")
        node_attributes(node, schema)
        if isinstance(schema, FusedSchema):
            node_lists(node, schema)


def _check_edges(graph: onnx.GraphProto, where: str) -> None:
    """Raise ModelError for values without a name, without origin, or with two."""
    defined = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    if "" in defined or not graph.output:
        lack = "an unnamed input or initializer" if "" in defined else "no output"
        raise ModelError(f"{where}: the graph has {lack}; export the model again")
    for node in graph.node:
        for name in filter(None, node.output):
            if name in defined:
                raise ModelError(f"{where}: '{name}' is computed twice; export the model again")
            defined.add(name)
    for user in graph.node:
        for name in filter(None, user.input):
            if name not in defined:
                raise ModelError(
                    f"{where}: node '{user.name}' ({user.op_type}) reads '{name}', which nothing "
                    "computes; export the model again"
                )
    for value in graph.output:
        if value.name not in defined:
            raise ModelError(
                f"{where}: nothing computes the output '{value.name}'; export the model again"
            )


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the tensors that a graph holds, inside its nodes too, with words for where."""
    for tensor in graph.initializer:
        yield f"initializer '{tensor.name}'", tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                name = node.output[0] if node.output else node.name
                yield f"{node.op_type} '{name}'", attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from _constants(attribute.g)


def check_weights(model: onnx.ModelProto, where: str) -> None:
    """Raise ModelError for malformed constants, NumericalError for NaN or infinity.

    An infinite scalar of a graph without neuron nodes may be a bound that bounds nothing.
    """
    foreign = not neuron_nodes(model)
    for what, tensor in _constants(model.graph):
        try:
            array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{where}: {what} is malformed ({error}); export it again") from error
        if not np.issubdtype(array.dtype, np.floating):
            continue
        bound = foreign and array.ndim == 0 and not np.isnan(array)
        if not bound and not np.isfinite(array).all():
            raise NumericalError(
                f"{where}: {what} holds NaN or infinite values; repair or retrain the model"
            )


def neuron_nodes(model: onnx.ModelProto, *, integer: bool | None = None) -> list[onnx.NodeProto]:
    """Return the nodes with neurons of the main graph, in order; only (non-)integer ones if asked.

    Fused ops that have no neurons are not among them.
    """
    without = {name for name, schema in fused_schemas().items() if schema.neuron_op is None}
    return [
        node
        for node in model.graph.node
        if node.domain == DOMAIN
        and node.op_type not in without
        and (integer is None or node.op_type.startswith("Q") == integer)
    ]


def sort_metadata(model: onnx.ModelProto) -> None:
    """Order the metadata, so that same inputs give same bytes."""
    entries = sorted((e.key, e.value) for e in model.metadata_props)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(entries))


def state_bits_of(node: onnx.NodeProto) -> int:
    """Return the width at which the states of an integer neuron saturate."""
    return next(int(a.i) for a in node.attribute if a.name == STATE_BITS.name)


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's metadata properties."""
    return {entry.key: entry.value for entry in model.metadata_props}


def proved_steps(model: onnx.ModelProto) -> dict[str, int | None] | None:
    """Return for how many steps states are proved never to saturate, by neuron; None: for any.

    Of a model that does not say so, or says what cannot be, nothing is known: None for all of it.
    """
    try:
        stored = json.loads(metadata(model)[PROVED_KEY])
        if all(s is None or (type(s) is int and s >= 0) for s in stored.values()):
            return dict(stored)
    except (KeyError, ValueError, AttributeError, RecursionError):
        pass
    return None


def fused_synapses(model: onnx.ModelProto) -> dict[str, str]:
    """Return the name of the synapse in each fused neuron node, by the node's name.

    They are names for people, so that damaged metadata gives none.
    """
    try:
        found = json.loads(metadata(model).get(SYNAPSES_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    named = found.items() if isinstance(found, dict) else ()
    return {node: name for node, name in named if isinstance(name, str)}


def states_of(model: onnx.ModelProto) -> list[str]:
    """Return the inputs that are states: those of neurons, and those that the metadata names."""
    held, neurons = metadata(model), set(state_inputs_of(model.graph))
    names = [value.name for value in model.graph.input]
    return [name for name in names if name in neurons or STATE_KEY + name in held]


def scale_of(model: onnx.ModelProto, name: str) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return what one step of an integer input or output is worth, as its metadata says.

    It broadcasts to the value without its batch axis where all axes behind the channels are there;
    None: the value is not in integers.

    Raises:
        ModelError: the metadata is damaged.
    """
    text = metadata(model).get(SCALE_KEY + name)
    if text is None:
        return None
    try:
        scale = np.asarray(json.loads(text), np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _no_scale(name) from error
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise _no_scale(name)
    return scale


def _no_scale(name: str) -> ModelError:
    return ModelError(
        f"the metadata of '{name}' gives no scale that an integer can have; convert again"
    )


def graph_hash(model: ir.Model) -> str:
    """Return the SHA-256 of what a graph computes: no names, no metadata."""
    digest = hashlib.sha256()
    number: dict[ir.Value | None, int] = {None: -1}

    def tensor_bytes(tensor: ir.TensorProtocol) -> bytes:
        head = f"{tensor.dtype.name}{tuple(tensor.shape.numpy())}"
        return head.encode() + hashlib.sha256(tensor.tobytes()).digest()

    def attribute_bytes(attribute: ir.Attr) -> bytes:
        value = attribute.value
        if isinstance(value, ir.Graph):
            add_graph(value)
            return b"graph"
        if attribute.type == ir.AttributeType.TENSOR:
            return tensor_bytes(attribute.as_tensor())
        return repr(value).encode()

    def identify(value: ir.Value) -> int:
        if value not in number:
            number[value] = len(number)
            if value.const_value is not None and value.producer() is None:
                digest.update(tensor_bytes(value.const_value))
        return number[value]

    def add_graph(graph: ir.Graph) -> None:
        for value in graph.inputs:
            shape = "" if value.shape is None else str(value.shape.rank())
            digest.update(f"in {identify(value)} {value.dtype} {shape};".encode())
        for node in graph:
            inputs = [-1 if v is None else identify(v) for v in node.inputs]
            digest.update(f"{node.domain}.{node.op_type}{inputs};".encode())
            for name in sorted(node.attributes):
                digest.update(name.encode() + attribute_bytes(node.attributes[name]))
            for value in node.outputs:
                identify(value)
        digest.update(f"out {[identify(value) for value in graph.outputs]};".encode())

    add_graph(model.graph)
    return digest.hexdigest()


def last_layers(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Return the given neuron layers whose spikes reach an output without another of them."""
    wanted = set(names)
    producers = {out: node for node in model.graph.node for out in node.output}
    pending = [value.name for value in model.graph.output]
    seen: set[str] = set()
    found: list[str] = []
    while pending:
        value = pending.pop()
        node = producers.get(value)
        if node is None or value in seen:
            continue
        seen.add(value)
        # Another output than the spikes (the membrane) says something without any spike.
        if node.name in wanted and value == node.output[0]:
            found.append(node.name)
        elif node.name not in wanted:
            pending.extend(node.input)
    return sorted(found)
