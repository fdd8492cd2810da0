"""Function bodies of the ops: the neuron's step, traced into standard ONNX nodes under a Scan.

A body is written for the structures (resets, roundings, ...) that its nodes use. Where nodes of
one op differ in structure, the body computes each and selects by attribute; there is always
exactly one function per op in a file, since ONNX Runtime 1.17 cannot tell overloads apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from snnquant.ops.body import STEP_AXES, BodyTracer, attribute_of
from snnquant.ops.schema import DOMAIN, OPSET_VERSION, OpSchema
from snnquant.ops.trace import Scope, used_nodes

Structure = tuple[int, ...]


def structure_of(schema: OpSchema, attributes: Mapping[str, int]) -> Structure:
    """Return the values of the structural attributes, in the schema's order."""
    return tuple(int(attributes[name]) for name in schema.structural_attributes)


def function_body(
    schema: OpSchema, structures: Iterable[Structure], opset: int, steps: int | None = None
) -> onnx.FunctionProto:
    """Return the function of one op for the structures that a file uses.

    Args:
        schema: the op.
        structures: values of the structural attributes, one tuple per structure in use.
        opset: version of the standard ops, that of the model (17 to 20).
        steps: number of time steps of all its nodes, to be written out; None: any number.
    """
    wanted = sorted(set(structures))
    top = Scope(np.int64 if schema.integer else np.float32, axes=STEP_AXES)
    outputs = _select(schema, wanted, top, steps)
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


def _select(
    schema: OpSchema, structures: Sequence[Structure], top: Scope, steps: int | None
) -> list[str]:
    """Trace every structure and select the outputs of the one that the node's attributes name.

    All structures are computed: an ``If`` would be cheaper, but ONNX Runtime loses the values that
    a Scan inside a folded ``If`` captures, and files that mix structures are rare.
    """
    names = schema.structural_attributes
    differing = [k for k in range(len(names)) if len({s[k] for s in structures}) > 1]
    values = {k: attribute_of(top, names[k]) for k in differing}
    chosen = BodyTracer(schema, structures[0], top, steps).trace()
    for structure in structures[1:]:
        condition = ""
        for k in differing:
            code = top.constant(structure[k], np.int64)
            equal = top.emit("Equal", [values[k].name, code])
            condition = top.emit("And", [condition, equal]) if condition else equal
        outputs = BodyTracer(schema, structure, top, steps).trace()
        chosen = [
            top.emit("Where", [condition, new, old])
            for new, old in zip(outputs, chosen, strict=True)
        ]
    return chosen
