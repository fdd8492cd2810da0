"""A model with the final states of its neurons as outputs, fused neurons among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.model_file import neuron_nodes
from snnquant.names import take_name
from snnquant.neurons.simulate import along_channels
from snnquant.ops.attach import attach_functions
from snnquant.ops.fused import FusedSchema, fused_name, named_inputs, op_schema
from snnquant.ops.schema import OpSchema, op_name, schemas

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Start:
    """A state before the first step.

    Attributes:
        spikes: name of the values ``[T, B, ...]`` whose shape it has, without T.
        initial: one value, one per channel or one per neuron.
        dtype: of the state.
        channels_last: channels are the last axis; else the one behind the batch.
    """

    spikes: str
    initial: Array
    dtype: np.dtype[Any]
    channels_last: bool

    def value(self, spikes_shape: tuple[int, ...]) -> Array:
        """Return the state ``[B, ...]`` of neurons whose spikes have a shape."""
        shape = spikes_shape[1:]
        if self.channels_last:
            shape = (shape[0], shape[-1], *shape[1:-1])
        full = np.broadcast_to(along_channels(self.initial, shape), shape).astype(self.dtype)
        return np.ascontiguousarray(np.moveaxis(full, 1, -1) if self.channels_last else full)


@dataclass(frozen=True)
class OpenedModel:
    """A model that takes and gives the states of its neurons.

    Attributes:
        model: the same network.
        starts: by the name of the further input.
        ends: name of the value that is the state after the last step, by ``<node>.<state>``.
    """

    model: onnx.ModelProto
    starts: dict[str, Start] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)


def open_states(model: onnx.ModelProto) -> OpenedModel:
    """Return a model that computes the same and gives the final states of its integer neurons.

    Neurons whose initial values are computed keep them, and their states, to themselves.

    Args:
        model: integer model, fused or not.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    result = OpenedModel(opened)
    for node in neuron_nodes(opened, integer=True):
        schema = op_schema(node.op_type)
        inner = schema.neuron_op if isinstance(schema, FusedSchema) else schema
        if schema is None or inner is None:
            continue
        if inner.stateful:
            result.ends.update(
                (f"{node.name}.{port}", name)
                for port, name in zip(inner.state_names, node.output[1:], strict=False)
                if name
            )
        else:
            _open(node, schema, inner, held, taken, result)
    attach_functions(opened)
    return result


def _open(
    node: onnx.NodeProto,
    schema: OpSchema | FusedSchema,
    inner: OpSchema,
    held: dict[str, Array],
    taken: set[str],
    result: OpenedModel,
) -> None:
    """Make one neuron its ``State`` variant."""
    wanted = op_name(
        inner.neuron,
        integer=True,
        recurrent=inner.recurrent,
        stateful=True,
        with_membrane=inner.with_membrane,
    )
    stateful = schemas()[wanted]
    given = named_inputs(node, schema)
    starts: dict[str, Array] = {name: np.zeros(1, np.int64) for name in stateful.state_names}
    for state in inner.neuron.states:
        if not state.initial:
            continue
        source = given[inner.neuron.parameter(state.initial).constant_name]
        if source not in held:
            return
        starts[state.name] = held[source]
    fused = isinstance(schema, FusedSchema)
    outputs = dict(zip((port.name for port in schema.outputs), node.output, strict=False))
    for name in stateful.state_names:
        port = stateful.state_port(name)
        label = f"{node.name}.{name}"
        start, end = (take_name(f"{label}.{word}", taken) for word in ("start", "end"))
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(port.elem_type))
        result.starts[start] = Start(node.output[0], starts[name], dtype, fused)
        result.ends[label] = outputs[name] = end
        given[name] = start
        result.model.graph.input.append(helper.make_tensor_value_info(start, port.elem_type, None))
    if isinstance(schema, FusedSchema):
        wanted = fused_name(
            stateful, schema.synapse, static=schema.static, residual=schema.residual
        )
    new = op_schema(wanted)
    if new is None:
        raise ValueError(f"there is no op {wanted}")
    node.op_type = wanted
    del node.input[:], node.output[:]
    node.input.extend(given[port.name] for port in new.inputs)
    node.output.extend(outputs[port.name] for port in new.outputs)
