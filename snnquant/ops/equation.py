"""What neuron nodes compute, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from snnquant.neurons import Parameter, Quantization
from snnquant.neurons.equation import Equation, equation_of
from snnquant.ops.schema import DOMAIN, LEAK_SHIFT, OpSchema, schemas


def equation_of_node(
    schema: OpSchema, held: Mapping[str, npt.NDArray[Any] | None], choices: Mapping[str, int]
) -> Equation:
    """Return a node's equation; parameters that are one number for all neurons as that number.

    Args:
        schema: of the node's op, float or integer.
        held: constant inputs by the name of the port; None or absent where they are computed.
        choices: the node's attributes; defaults for those left out.
    """

    def number(parameter: Parameter) -> float | None:
        array = held.get(parameter.constant_name if schema.integer else parameter.name)
        if array is None or not array.size or array.min() != array.max():
            return None
        value = float(np.ravel(array)[0])
        multiplies = schema.integer and parameter.rule is Quantization.MULTIPLIER
        return value / 2 ** choices[LEAK_SHIFT.name] if multiplies else value

    return equation_of(
        schema.neuron,
        {parameter.name: number(parameter) for parameter in schema.neuron.parameters},
        choices,
        recurrent=schema.recurrent,
        integer=schema.integer,
    )


def equations_in(model: onnx.ModelProto) -> dict[str, str]:
    """Return the equation of every neuron node of a float graph, by the node's name."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        schema = schemas()[node.op_type]
        held = {
            port.name: numpy_helper.to_array(tensors[name])
            for port, name in zip(schema.inputs, node.input, strict=True)
            if name in tensors
        }
        choices = {attribute.name: attribute.i for attribute in node.attribute}
        found[node.name] = equation_of_node(schema, held, choices).text
    return found
