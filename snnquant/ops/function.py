"""Function bodies of the ops: the neuron's step, traced into standard ONNX nodes under a Scan.

A body is written for the structures (resets, roundings, ...) that its nodes use. Where nodes of
one op differ in structure, the body computes each and selects by attribute; there is always
exactly one function per op in a file, since ONNX Runtime 1.17 cannot tell overloads apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnquant.neurons import constants_of
from snnquant.neurons.arithmetic import FloatArithmetic, IntegerArithmetic
from snnquant.ops.schema import (
    CURRENT,
    CURRENT_SHIFT,
    DOMAIN,
    LAST_SPIKES,
    LEAK_ROUNDING,
    LEAK_SHIFT,
    OPSET_VERSION,
    RECURRENT_WEIGHT,
    STATE_BITS,
    OpSchema,
)
from snnquant.ops.trace import OnnxBackend, Scope, Traced, used_nodes

Structure = tuple[int, ...]


def structure_of(schema: OpSchema, attributes: Mapping[str, int]) -> Structure:
    """Return the values of the structural attributes, in the schema's order."""
    return tuple(int(attributes[name]) for name in schema.structural_attributes)


def function_body(
    schema: OpSchema, structures: Iterable[Structure], opset: int
) -> onnx.FunctionProto:
    """Return the function of one op for the structures that a file uses.

    Args:
        schema: the op.
        structures: values of the structural attributes, one tuple per structure in use.
        opset: version of the standard ops, that of the model (17 to 20).
    """
    wanted = sorted(set(structures))
    top = Scope(np.int64 if schema.integer else np.float32)
    outputs = _select(schema, wanted, top)
    for port, name in zip(schema.outputs, outputs, strict=True):
        top.nodes.append(helper.make_node("Identity", [name], [_output_name(schema, port.name)]))
    results = [_output_name(schema, port.name) for port in schema.outputs]
    return helper.make_function(
        DOMAIN,
        schema.name,
        [port.name for port in schema.inputs],
        results,
        used_nodes(top.nodes, results),
        [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, OPSET_VERSION)],
        [attribute.name for attribute in schema.attributes],
        doc_string=schema.neuron.equation,
    )


def _output_name(schema: OpSchema, name: str) -> str:
    """Return a name that differs from the input of the same state."""
    return f"{name}_out" if name in {port.name for port in schema.inputs} else name


def _attribute(scope: Scope, name: str) -> Traced:
    """Return the value of a node's attribute as an int64 scalar."""
    out = scope.fresh(name)
    node = helper.make_node("Constant", [], [out])
    reference = node.attribute.add()
    reference.name = "value_int"
    reference.type = onnx.AttributeProto.INT
    reference.ref_attr_name = name
    scope.nodes.append(node)
    return Traced(scope, out)


def _select(schema: OpSchema, structures: Sequence[Structure], top: Scope) -> list[str]:
    """Trace every structure and select the outputs of the one that the node's attributes name.

    All structures are computed: an ``If`` would be cheaper, but ONNX Runtime loses the values that
    a Scan inside a folded ``If`` captures, and files that mix structures are rare.
    """
    names = schema.structural_attributes
    differing = [k for k in range(len(names)) if len({s[k] for s in structures}) > 1]
    values = {k: _attribute(top, names[k]) for k in differing}
    chosen = _trace(schema, structures[0], top)
    for structure in structures[1:]:
        condition = ""
        for k in differing:
            code = top.constant(structure[k], np.int64)
            equal = top.emit("Equal", [values[k].name, code])
            condition = top.emit("And", [condition, equal]) if condition else equal
        outputs = _trace(schema, structure, top)
        chosen = [
            top.emit("Where", [condition, new, old])
            for new, old in zip(outputs, chosen, strict=True)
        ]
    return chosen


def _numeric(schema: OpSchema, scope: Scope) -> dict[str, Any]:
    """Return the arithmetic's numbers that attributes of the node give."""
    if not schema.integer:
        return {}
    backend = OnnxBackend(scope)
    high = backend.power_of_two(_attribute(scope, STATE_BITS.name) - 1) - 1
    shift = _attribute(scope, LEAK_SHIFT.name)
    return {"leak_shift": shift, "low": -1 - high, "high": high}


def _trace(schema: OpSchema, structure: Structure, top: Scope) -> list[str]:
    """Trace one structure into ``top`` and return the names of the op's outputs.

    The current is viewed as ``[T, B, C, S]`` (channel, and everything behind it), constants as
    ``[1, 1 or C, 1 or S]``, so that one body serves every rank, ``T`` and batch.
    """
    numeric = _numeric(schema, top)
    values = dict(zip(schema.structural_attributes, structure, strict=True))
    i64 = np.int64
    shape = top.emit("Shape", [CURRENT])
    one = top.constant([1], i64)

    def dims(start: int, stop: int) -> str:
        bounds = [top.constant([start], i64), top.constant([stop], i64)]
        return top.emit("Slice", [shape, *bounds])

    def count(start: int, stop: int) -> str:
        part = top.emit("Concat", [dims(start, stop), one], axis=0)
        return top.emit("ReduceProd", [part], keepdims=1)

    flat = top.emit("Concat", [count(2, 3), count(3, 2**31 - 1)], axis=0)
    timed_shape = top.emit("Concat", [dims(0, 2), flat], axis=0)
    step_shape = top.emit("Concat", [dims(1, 2), flat], axis=0)
    state_out_shape = dims(1, 2**31 - 1)
    working = TensorProto.INT64 if schema.integer else TensorProto.FLOAT

    def working_type(name: str) -> str:
        return top.emit("Cast", [name], to=working) if schema.integer else name

    def constant_input(name: str) -> str:
        widened = top.emit("Unsqueeze", [name, top.constant([0], i64)])
        return working_type(top.emit("Reshape", [widened, top.constant([0, 0, -1], i64)], name))

    held = {
        (p.constant_name, p.name): constant_input(p.constant_name if schema.integer else p.name)
        for p in schema.neuron.parameters
        if not (schema.stateful and p.name in schema.neuron.initial_parameters)
    }
    by_parameter = {real: name for (_, real), name in held.items()}
    initial = []
    for name in schema.state_names:
        if schema.stateful:
            given = top.emit("Reshape", [name, step_shape], allowzero=1)
            initial.append(working_type(given))
            continue
        source = next((s.initial for s in schema.neuron.states if s.name == name), "")
        value = by_parameter[source] if source else top.constant([0])
        initial.append(top.emit("Expand", [value, step_shape], f"{name}_initial"))

    weight = ""
    if schema.recurrent:
        weight = working_type(RECURRENT_WEIGHT)
    timed = top.emit("Reshape", [CURRENT, timed_shape], allowzero=1)

    body = Scope(top.dtype, top, prefix=top.fresh("step") + "_")
    backend = OnnxBackend(body)
    ops = _arithmetic(schema, values, backend, numeric)
    current = body.fresh("current")
    incoming = {name: body.fresh(name) for name in schema.state_names}
    seen = Traced(body, current)
    if schema.integer:
        seen = seen.apply("Cast", seen, to=working)
    if schema.recurrent:
        last = Traced(body, incoming[LAST_SPIKES])
        step_dims = Traced(top, step_shape)
        flat_shape = Traced(
            top,
            top.emit("Concat", [dims(1, 2), top.emit("ReduceProd", [flat], keepdims=1)], axis=0),
        )
        back = last.apply("Reshape", last, flat_shape, allowzero=1)
        back = last.apply("MatMul", back, Traced(top, weight))
        seen = seen + last.apply("Reshape", back, step_dims, allowzero=1)
    constants = constants_of(
        schema.neuron,
        {constant: Traced(body, name) for (constant, _), name in held.items()},
        values,
    )
    states = {s.name: Traced(body, incoming[s.name]) for s in schema.neuron.states}
    output, after, membrane = schema.neuron.step(ops, states, seen, constants)
    if schema.recurrent:
        after = {**after, LAST_SPIKES: output}

    outgoing = [
        body.emit("Identity", [after[name].name], f"{name}_next") for name in schema.state_names
    ]
    first_port = schema.outputs[0]
    scanned = [(_cast(body, output, first_port.elem_type, schema.integer), first_port.elem_type)]
    if schema.with_membrane:
        scanned.append(
            (_cast(body, membrane, schema.value_type, schema.integer), schema.value_type)
        )
    unknown = [None, None, None]
    graph = helper.make_graph(
        used_nodes(body.nodes, [*outgoing, *(name for name, _ in scanned)]),
        "step",
        [helper.make_tensor_value_info(incoming[n], working, unknown) for n in schema.state_names]
        + [helper.make_tensor_value_info(current, schema.value_type, unknown)],
        [helper.make_tensor_value_info(n, working, unknown) for n in outgoing]
        + [helper.make_tensor_value_info(n, t, unknown) for n, t in scanned],
    )
    finals = [top.fresh(f"{name}_final") for name in schema.state_names]
    series = [top.fresh("series") for _ in scanned]
    top.nodes.append(
        helper.make_node(
            "Scan", [*initial, timed], [*finals, *series], body=graph, num_scan_inputs=1
        )
    )
    outputs = [top.emit("Reshape", [series[0], shape], allowzero=1)]
    if schema.stateful:
        for name, final in zip(schema.state_names, finals, strict=True):
            elem_type = schema.state_port(name).elem_type
            narrow = top.emit("Cast", [final], to=elem_type) if schema.integer else final
            outputs.append(top.emit("Reshape", [narrow, state_out_shape], allowzero=1))
    if schema.with_membrane:
        outputs.append(top.emit("Reshape", [series[1], shape], allowzero=1))
    return outputs


def _cast(scope: Scope, value: Any, elem_type: int, integer: bool) -> str:
    """Return the name of a scan output in the op's own type."""
    if integer:
        return scope.emit("Cast", [value.name], to=elem_type)
    return scope.emit("Identity", [value.name])


def _arithmetic(
    schema: OpSchema, values: Mapping[str, int], backend: OnnxBackend, numeric: dict[str, Any]
) -> FloatArithmetic | IntegerArithmetic:
    """Return the arithmetic in which the body computes."""
    if not schema.integer:
        return FloatArithmetic(backend)
    return IntegerArithmetic(
        backend,
        leak_rounding=values[LEAK_ROUNDING.name],
        current_shift=values[CURRENT_SHIFT.name],
        **numeric,
    )
