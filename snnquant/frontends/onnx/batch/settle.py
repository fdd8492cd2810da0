"""Find out what a graph computes from its sizes, at one batch size, by running it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snnquant.frontends.onnx.batch.proof import Runs
from snnquant.frontends.onnx.batch.propagate import MAX_ELEMENTS, ConflictError
from snnquant.frontends.onnx.preparation.names import inner_graphs
from snnquant.frontends.onnx.preparation.shapes import infer_shapes
from snnquant.frontends.onnx.preparation.values import Array, shape_of_type

_OF_SIZES = ("Shape", "Size")
#: How often inference may stop and be helped on; further shapes stay unknown.
_MAX_STOPS = 16


def settle_sizes(model: onnx.ModelProto, where: str) -> dict[str, Array]:
    """Return what depends on sizes alone, such as ``zeros(len(x), 8)``, and write down its shapes.

    Inference follows few of the operations in which exports compute a shape; a run follows all,
    and from then on the shapes behind them are known as well. The nodes stay: where a size is
    used as a number, the graph still computes with that of its input.

    Args:
        model: sorted, with shapes inferred and inputs of fixed shape; its shapes are completed.
        where: words for the model in messages.

    Raises:
        ConflictError: it does not run at these sizes.
        ModelError: the types contradict each other.
    """
    if any(True for node in model.graph.node for _ in inner_graphs(node)):
        return {}  # they may read anything
    settled, kept = _settled(model.graph)
    values = _run(model, [name for node in settled for name in node.output if name])
    for name, array in values.items():
        if array.size > MAX_ELEMENTS:
            raise ConflictError(f"it computes '{name}' of more than {MAX_ELEMENTS} elements")
    read = {name for node in kept for name in node.input}
    light = onnx.ModelProto()
    light.CopyFrom(model)
    del light.graph.node[:]
    light.graph.node.extend(kept)
    light.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in values.items() if name in read
    )
    infer_shapes(light, where)
    _observe_shapes(light, where)
    del model.graph.value_info[:]
    model.graph.value_info.extend(light.graph.value_info)
    for value, told in zip(model.graph.output, light.graph.output, strict=True):
        value.CopyFrom(told)
    return values


def _settled(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the nodes that compute from sizes, or sizes from constants, and the other ones."""
    results = {value.name for value in graph.output}
    integers = {
        value.name
        for value in graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.INT64
    }
    constants = {tensor.name for tensor in graph.initializer}
    sized: set[str] = set()
    settled, kept = [], []
    for node in graph.node:
        names = [name for name in node.output if name]
        reads = [name for name in node.input if name]
        if node.domain or results.intersection(names):
            kept.append(node)
        elif node.op_type in _OF_SIZES or (
            all(name in constants for name in reads)
            and (not sized.isdisjoint(reads) or integers.issuperset(names))
        ):
            settled.append(node)
            sized.update(names)
            constants.update(names)
        else:
            kept.append(node)
            if reads and all(name in constants for name in reads):
                constants.update(names)
    return settled, kept


def _observe_shapes(model: onnx.ModelProto, where: str) -> None:
    """Write down shapes that inference does not tell, in place: of a Split into many steps.

    Only values where it stops are held in a run, not all behind them: it goes on from there.
    """
    graph = model.graph
    for _ in range(_MAX_STOPS):
        known = {tensor.name for tensor in graph.initializer} | {"", *map(_name, graph.input)}
        known.update(
            v.name for v in graph.value_info if None not in (shape_of_type(v.type) or [None])
        )
        known.update(map(_name, graph.output))
        stops = [
            name
            for node in graph.node
            if known.issuperset(node.input)
            for name in node.output
            if name not in known
        ]
        if not stops:
            return
        found = _run(model, stops)
        told = [v for v in graph.value_info if v.name not in found]
        told += [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in found.items()
        ]
        kept = onnx.GraphProto()
        kept.value_info.extend(told)
        del graph.value_info[:]
        graph.value_info.extend(kept.value_info)
        infer_shapes(model, where)


def _name(value: onnx.ValueInfoProto) -> str:
    return value.name


def _run(model: onnx.ModelProto, wanted: Sequence[str]) -> dict[str, Array]:
    """Return inner values of a model at its sizes, fed with zeros.

    Raises:
        ConflictError: it does not run, or they are no tensors.
    """
    if not wanted:
        return {}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    feeds = {}
    for value in copy.graph.input:
        shape = shape_of_type(value.type)
        if shape is None or None in shape:
            raise ConflictError(f"input '{value.name}' has a dynamic shape")
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.zeros([d or 0 for d in shape], dtype)
    found = dict(zip(wanted, Runs(copy)(feeds), strict=True))
    for name, result in found.items():
        if not isinstance(result, np.ndarray):
            raise ConflictError(f"its value '{name}' is no tensor")
    return found
