"""Small questions and edits that several passes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.names import take_name
from snnquant.ops.schema import DOMAIN, schemas
from snnquant.ops.states import state_input_names

Shape = tuple[int | None, ...]

_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


#: Operations that multiply their input by constant weights, the second input.
SYNAPSES = frozenset({"Conv", "Gemm", "MatMul"})
#: Operations whose result is their first input's elements, in the same order, in another shape.
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


def output_axis(node: ir.Node, rank: int) -> int:
    """Return the axis of a synapse's weights that counts output channels."""
    transposed = node.op_type == "Gemm" and int_attribute(node, "transB", 0)
    return 0 if node.op_type == "Conv" or transposed else rank - 1


def constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """Return the array of an initializer that no caller can override, else None."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def expanded_constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """Return what a value holds if it only repeats a constant along some axes, else None.

    The array broadcasts to the value, as initial states do that were made for any batch size.
    """
    held = constant(value)
    if held is not None or value is None:
        return held
    node = value.producer()
    if node is None or node.domain != "":
        return None
    if node.op_type == "ConstantOfShape":
        filled = node.attributes.get("value")
        return np.zeros(1, np.float32) if filled is None else filled.as_tensor().numpy()
    if node.op_type in ("Expand", "Identity"):
        return expanded_constant(node.inputs[0])
    if node.op_type in _ARITHMETIC:
        sides = []
        for value in node.inputs:
            side = expanded_constant(value)
            if side is None:
                return None
            sides.append(side)
        return np.asarray(_ARITHMETIC[node.op_type](*sides))
    return None


def shape_of(value: ir.Value) -> Shape | None:
    """Return the shape with None for every dynamic dimension; None if the rank is unknown."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def unmoved(value: ir.Value) -> ir.Value:
    """Return the value whose elements, all of them and no others, a value holds in another order.

    That is the value itself unless nothing but reshapes and transpositions made it.
    """
    node = value.producer()
    moves = RESHAPES | {"Transpose", "Identity"}
    while node is not None and node.domain == "" and node.op_type in moves and node.inputs[0]:
        value = node.inputs[0]
        node = value.producer()
    return value


def only_use(value: ir.Value) -> ir.Node | None:
    """Return the single node that uses a value, if there is exactly one and it is no output."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an integer attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def ints_attribute(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """Return a list-of-integers attribute, or None."""
    attribute = node.attributes.get(name)
    return None if attribute is None else tuple(attribute.as_ints())


def string_attribute(node: ir.Node, name: str, default: str) -> str:
    """Return a string attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def new_initializer(graph: ir.Graph, hint: str, array: npt.NDArray[Any]) -> ir.Value:
    """Register an initializer under a name that is free."""
    name = take_name(hint, {v.name or "" for v in graph.inputs} | set(graph.initializers))
    tensor = ir.tensor(np.asarray(array, order="C"), name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape))
    value.type = ir.TensorType(tensor.dtype)
    graph.register_initializer(value)
    return value


def insert_before(
    anchor: ir.Node,
    op: str,
    inputs: Sequence[ir.Value],
    hint: str,
    attributes: dict[str, Any] | None = None,
) -> ir.Value:
    """Insert a node with one output in front of ``anchor`` and return its output."""
    node = ir.node(op, list(inputs), attributes=attributes or {}, name=hint)
    node.outputs[0].name = hint
    node.outputs[0].type = inputs[0].type
    anchor.prepend(node)
    return node.outputs[0]


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Let all users of ``old`` use ``new``; a graph output keeps its name."""
    if old.is_graph_output():
        name, old.name = old.name, f"{old.name}_before"
        new.name = name
    if new.shape is None:
        new.shape = old.shape
    if new.type is None:
        new.type = old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def suffix_kept(before: Shape | None, after: Shape | None, trailing: int) -> bool:
    """Whether two shapes end in the same ``trailing`` static dimensions."""
    if before is None or after is None or min(len(before), len(after)) < trailing:
        return False
    ends = (before[len(before) - trailing :], after[len(after) - trailing :])
    return ends[0] == ends[1] and None not in ends[0]


def is_state(value: ir.Value) -> bool:
    """Whether a value is a final state of a neuron."""
    node = value.producer()
    if node is None or node.domain != DOMAIN:
        return False
    port = schemas()[node.op_type].outputs[value.index() or 0]
    return port.name in schemas()[node.op_type].state_names and not port.timed


def _names(values: Sequence[ir.Value | None]) -> list[str]:
    return ["" if value is None else value.name or "" for value in values]


def state_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs of a graph that are nothing but states of neurons."""
    names = state_input_names(
        [value.name or "" for value in graph.inputs],
        [(n.domain, n.op_type, _names(n.inputs), _names(n.outputs)) for n in graph],
    )
    return [value for value in graph.inputs if value.name in names]


#: Operations that leave a picked step what it is.
_REARRANGES = RESHAPES | {"Transpose", "Identity"}


def picked_steps(graph: ir.Graph) -> dict[ir.Value, str]:
    """Return the values that are one place of another along an axis, with the other's name.

    A loop over time that was written out picks its steps so.
    """
    found: dict[ir.Value, str] = {}
    for node in graph:
        source = node.inputs[0] if node.inputs and node.domain == "" else None
        if source is None or constant(source) is not None:
            continue
        index = constant(node.inputs[1]) if node.op_type == "Gather" else None
        if index is not None and index.size == 1:
            found[node.outputs[0]] = found.get(source, source.name or "")
        elif source in found and node.op_type in _REARRANGES:
            found[node.outputs[0]] = found[source]
    return found
