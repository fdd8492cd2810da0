"""Compute what a graph computes from constants alone, by the runtime that would compute it."""

from __future__ import annotations

import math

import onnx
from onnx import numpy_helper

from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.preparation.names import inner_graphs
from snnquant.frontends.onnx.preparation.values import Array, KnownValues
from snnquant.runtime import load_session


def constant_values(model: onnx.ModelProto, known: KnownValues) -> dict[str, Array]:
    """Return the values that need no input and that ``known`` cannot tell, such as ``exp(-1/tau)``.

    Args:
        model: with inferred shapes.
        known: values of its graph; larger ones than it would hold are left out.

    Raises:
        ModelError: ONNX Runtime does not accept the part of the model that computes constants.
    """
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    constants = set(initializers)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        names = [name for name in node.output if name]
        if all(known.value(name) is not None for name in names):
            constants.update(names)
            continue
        alone = not node.domain and node.input and not any(inner_graphs(node))
        small = all(_elements(known, name) <= known.max_elements for name in names)
        if alone and small and all(name in constants for name in node.input if name):
            nodes.append(node)
            constants.update(names)
    if not nodes:
        return {}
    computed = [name for node in nodes for name in node.output if name]
    inside = set(computed)
    part = onnx.ModelProto(ir_version=model.ir_version)
    part.opset_import.extend(model.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(nodes)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
    for name in dict.fromkeys(name for node in nodes for name in node.input if name):
        if name in initializers:
            part.graph.initializer.append(initializers[name])
        elif name not in inside:
            value = known.value(name)
            if value is not None:
                part.graph.initializer.append(numpy_helper.from_array(value, name))
    session = load_session(part.SerializeToString(), custom_ops=False, threads=1)
    try:
        return dict(zip(computed, session.run(None, {}), strict=True))
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ModelError(
            f"its constants cannot be computed ({first_line(error)}); export the model again"
        ) from error


def _elements(known: KnownValues, name: str) -> float:
    """Return how large a value is, infinite where that is not known."""
    shape = known.shape(name)
    return math.inf if shape is None else math.prod(math.inf if d is None else d for d in shape)
