"""Neurons whose states start inside the graph, made to take and give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.ops.schema import DOMAIN, LAST_SPIKES, OpSchema, op_name, schemas
from snnquant.passes.edit import constant, expanded_constant
from snnquant.stepping.drawing import Drawing
from snnquant.stepping.places import UncutError
from snnquant.stepping.timeline import refusal

Array = npt.NDArray[Any]


def take_states(drawing: Drawing) -> None:
    """Let every neuron take its states from inputs of the graph, and give them as outputs.

    Raises:
        ModelError: a state starts from something that is computed.
    """
    for node in list(drawing.graph):
        if node.domain == DOMAIN:
            if schemas()[node.op_type].stateful:
                _continue(node, drawing)
            else:
                _open(node, drawing)


def _open(node: ir.Node, drawing: Drawing) -> None:
    """Replace a neuron that starts at its initial constants by its ``State`` variant."""
    schema = schemas()[node.op_type]
    name = op_name(
        schema.neuron,
        integer=schema.integer,
        recurrent=schema.recurrent,
        stateful=True,
        with_membrane=schema.with_membrane,
    )
    stateful = schemas()[name]
    given = dict(zip((port.name for port in schema.inputs), node.inputs, strict=True))
    try:
        starts = _initial_values(schema, given)
    except UncutError as error:
        raise refusal(node, str(error)) from error
    shape = drawing.step_shapes(node.outputs[0])
    features = (shape[0][1:], shape[1][1:])
    inputs: list[ir.Value | None] = []
    states: dict[str, str] = {}
    for port in stateful.inputs:
        if port.name not in starts or port.name in given:
            inputs.append(given[port.name])
            continue
        kind = ir.DataType(port.elem_type)
        stored = ir.DataType.INT32 if port.name == LAST_SPIKES and schema.integer else kind
        label = f"{node.name}.{port.name}"
        start = _along(starts[port.name], len(features[0]) - 1)
        state = drawing.new_state(label, stored, features, start)
        states[port.name] = state.name or ""
        inputs.append(drawing.cast(state, kind, node))
    new = ir.node(
        name,
        inputs,
        node.attributes,
        domain=DOMAIN,
        num_outputs=len(stateful.outputs),
        name=node.name,
        doc_string=node.doc_string,
    )
    node.prepend(new)
    old = dict(zip((port.name for port in schema.outputs), node.outputs, strict=True))
    for port, value in zip(stateful.outputs, new.outputs, strict=True):
        value.type = ir.TensorType(ir.DataType(port.elem_type))
        if port.name in old:
            drawing.succeed(old[port.name], value)
            continue
        value.name = drawing.name_of(f"{node.name}.{port.name}.after")
        drawing.set_shapes(value, features)
        drawing.give(states[port.name], value)
    drawing.graph.remove(node, safe=True)


def _initial_values(schema: OpSchema, given: dict[str, ir.Value | None]) -> dict[str, Array]:
    """Return the value of every state before the first step, along the features."""
    initial: dict[str, str] = {state.name: state.initial for state in schema.neuron.states}
    found = {}
    for name in schema.state_names:
        source = initial.get(name, "")
        if not source:
            found[name] = np.zeros((), np.int64)
            continue
        parameter = schema.neuron.parameter(source)
        held = constant(given[parameter.constant_name if schema.integer else source])
        if held is None:
            raise UncutError(f"its {source} is computed, not constant")
        found[name] = held
    return found


def _along(constant: Array, rank: int) -> Array:
    """Return a constant of a neuron, from the channels on, as it broadcasts to the features."""
    if constant.size == 1:
        return constant.reshape(())
    return constant.reshape(constant.shape + (1,) * (rank - constant.ndim))


def _continue(node: ir.Node, drawing: Drawing) -> None:
    """Let a neuron that has its states as inputs go on from those of the last step."""
    schema = schemas()[node.op_type]
    count = len(schema.state_names)
    first = len(node.inputs) - count
    for index, name in enumerate(schema.state_names):
        start, final = node.inputs[first + index], node.outputs[1 + index]
        if start is None:
            raise refusal(node, f"it has no state {name}")
        root = _uncast(start)
        features = drawing.step_shapes(start)
        label = f"{node.name}.{name}"
        if root.is_graph_input():
            drawing.keep_state(root.name or "", _given(final, drawing), features, np.zeros((), int))
            continue
        held = expanded_constant(root)
        if held is None:
            raise refusal(node, _why_not(root, name))
        if held.ndim == len(features[0]):
            if len(held) != 1:
                raise refusal(node, f"its state {name} starts differently from sample to sample")
            held = held[0]
        if schema.integer:
            held = np.rint(held).astype(np.int64)
        kind = start.dtype or ir.DataType(schema.state_port(name).elem_type)
        stored = ir.DataType.INT32 if schema.integer else kind
        state = drawing.new_state(label, stored, features, held)
        node.replace_input_with(first + index, drawing.cast(state, kind, node))
        drawing.give(state.name or "", final)


def _uncast(value: ir.Value) -> ir.Value:
    """Return what a value is in another type."""
    while (node := value.producer()) is not None and node.op_type in ("Cast", "Identity"):
        source = node.inputs[0]
        if source is None:
            break
        value = source
    return value


def _given(final: ir.Value, drawing: Drawing) -> str:
    """Return the output that a final state is, made here if there is none."""
    for value in drawing.graph.outputs:
        if _uncast(value) is final:
            return value.name or ""
    features = drawing.step_shapes(final)
    stored = ir.DataType.INT32 if final.dtype == ir.DataType.UINT8 else final.dtype
    return drawing.output(drawing.name_of(f"{final.name}.next"), final, stored, features)


def _why_not(root: ir.Value, name: str) -> str:
    """Return why a state cannot start from a value."""
    node = root.producer()
    if node is not None and node.domain == DOMAIN:
        return (
            f"its state {name} comes from neuron '{node.name}', as in a loop over time that was "
            "written out"
        )
    return f"its state {name} starts from '{root.name}', which is computed from the data"
