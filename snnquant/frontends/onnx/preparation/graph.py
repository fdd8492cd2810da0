"""Put a graph in order: functions inlined, constants in one form, nodes sorted, dead ones gone."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.preparation.names import (
    Names,
    attribute_of,
    captured_names,
    described,
    graphs_of,
    inner_graphs,
    rename_uses,
)
from snnquant.frontends.onnx.preparation.values import constant_of
from snnquant.ops.schema import DOMAIN

#: Bound on nodes after inlining and unrolling: functions and loops in each other multiply.
MAX_NODES = 1_000_000
#: A sparse tensor says how large it is, and may claim anything.
_MAX_DENSE_ELEMENTS = 2**24


def inline_functions(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model with calls of its own functions replaced by their bodies.

    Functions of neurons are dropped instead: their nodes stay.

    Raises:
        ModelError: functions that call themselves, or multiply without bound.
    """
    kept = [f for f in model.functions if f.domain != DOMAIN]
    del model.functions[:]
    if not kept:
        return model
    model.functions.extend(kept)
    _check_functions(model, where)
    try:
        inlined: onnx.ModelProto = inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{where}: its functions cannot be inlined: {first_line(error)}; export it again"
        ) from error
    del inlined.functions[:]
    used = {node.domain for graph in graphs_of(inlined.graph) for node in graph.node}
    imports = [o for o in inlined.opset_import if not o.domain or o.domain in used]
    del inlined.opset_import[:]
    inlined.opset_import.extend(imports)
    return inlined


def _check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse recursion and expansion without bound, which ONNX's inliner does not survive."""
    bodies = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def calls(node: onnx.NodeProto) -> list[tuple[str, str, str]]:
        found = [(node.domain, node.op_type, node.overload)]
        for graph in inner_graphs(node):
            for inner in graph.node:
                found += calls(inner)
        return found

    def size_of(key: tuple[str, str, str], above: tuple[tuple[str, str, str], ...]) -> int:
        if key in above or len(above) > _MAX_DEPTH:
            raise ModelError(
                f"{where}: function {key[1]} of domain '{key[0]}' calls itself; export it again"
            )
        if key not in sizes:
            called = [c for node in bodies[key].node for c in calls(node)]
            sizes[key] = sum(size_of(c, (*above, key)) if c in bodies else 1 for c in called)
        return sizes[key]

    called = [c for node in model.graph.node for c in calls(node)]
    if sum(size_of(c, ()) if c in bodies else 1 for c in called) > MAX_NODES:
        raise ModelError(
            f"{where}: inlining its functions gives more than {MAX_NODES} nodes; export a "
            "smaller graph"
        )


#: Functions that call each other in a longer row are no export.
_MAX_DEPTH = 100


def normalise_constants(model: onnx.ModelProto, names: Names, where: str) -> None:
    """Give every constant one form, in place: a dense initializer of the main graph, no input.

    Those of graphs inside nodes move out: bodies of loops are copied, weights need not be.

    Raises:
        ModelError: a sparse tensor that is malformed or too large.
    """
    graph = model.graph
    for inner in graphs_of(graph):
        for tensor in inner.initializer:
            _check_size(tensor, where)
        for sparse in inner.sparse_initializer:
            inner.initializer.add().CopyFrom(_dense(sparse, sparse.values.name, where))
        del inner.sparse_initializer[:]
        for node in inner.node:
            if node.op_type == "Constant" and not node.domain:
                _normalise_constant(node, where)
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    if len(inputs) < len(graph.input):
        del graph.input[:]
        graph.input.extend(inputs)
    kept = onnx.GraphProto()
    for node in graph.node:
        if is_tensor(node):
            _add_tensor(graph, node.attribute[0].t, node.output[0])
            continue
        for inner in inner_graphs(node):
            _hoist_constants(inner, graph, names)
        kept.node.append(node)
    del graph.node[:]
    graph.node.extend(kept.node)


def is_tensor(node: onnx.NodeProto) -> bool:
    """Whether a node is a constant tensor."""
    constant = node.op_type == "Constant" and not node.domain and len(node.output) == 1
    return constant and attribute_of(node, "value") is not None


def _add_tensor(graph: onnx.GraphProto, tensor: onnx.TensorProto, name: str) -> None:
    graph.initializer.add().CopyFrom(tensor)
    graph.initializer[-1].name = name


def _hoist_constants(graph: onnx.GraphProto, main: onnx.GraphProto, names: Names) -> None:
    """Move the constants of a graph inside a node, and of graphs in it, to the main graph."""
    moved = {}
    for tensor in graph.initializer:
        moved[tensor.name] = names.new(tensor.name)
        _add_tensor(main, tensor, moved[tensor.name])
    del graph.initializer[:]
    held = {value.name for value in graph.input}
    if held & set(moved):
        raise ValueError("an initializer of a loop's body is an input too")
    kept = onnx.GraphProto()
    for node in graph.node:
        if is_tensor(node):
            moved[node.output[0]] = names.new(node.output[0])
            _add_tensor(main, node.attribute[0].t, moved[node.output[0]])
            continue
        rename_uses(node, moved)
        for inner in inner_graphs(node):
            _hoist_constants(inner, main, names)
        kept.node.append(node)
    del graph.node[:]
    graph.node.extend(kept.node)
    for value in graph.output:
        value.name = moved.get(value.name, value.name)


def _check_size(tensor: onnx.TensorProto, where: str) -> None:
    """Refuse a tensor that holds another number of bytes than its shape says.

    Everything behind trusts shapes, ONNX's own inference first of all.
    """
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(
            f"{where}: the data of '{tensor.name}' is not loaded; load the whole model"
        )
    try:
        if tensor.HasField("raw_data"):
            item = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            held = len(tensor.raw_data) in (math.prod(tensor.dims) * item, _packed(tensor))
        else:
            held = numpy_helper.to_array(tensor).shape == tuple(tensor.dims)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{where}: the tensor '{tensor.name}' is malformed ({first_line(error)}); "
            "export it again"
        ) from error
    if not held or any(d < 0 for d in tensor.dims):
        raise ModelError(
            f"{where}: the tensor '{tensor.name}' holds less or more than its shape says; "
            "export the model again"
        )


def _packed(tensor: onnx.TensorProto) -> int:
    """Return how many bytes two numbers of 4 bits in each take, or -1 for other types."""
    four = onnx.TensorProto.DataType.Name(tensor.data_type).endswith("INT4")
    return (math.prod(tensor.dims) + 1) // 2 if four else -1


def _normalise_constant(node: onnx.NodeProto, where: str) -> None:
    if len(node.attribute) != 1:
        raise ModelError(f"{where}: {described(node)} holds no value; export it again")
    attribute = node.attribute[0]
    if attribute.name == "value":
        _check_size(attribute.t, where)
        return
    if attribute.name.startswith("value_string"):
        return
    if attribute.name == "sparse_value":
        tensor = _dense(attribute.sparse_tensor, node.output[0], where)
    else:
        try:
            tensor = numpy_helper.from_array(constant_of(node))
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"{where}: {described(node)} holds no value; export it again"
            ) from error
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("value", tensor))


def _dense(sparse: onnx.SparseTensorProto, name: str, where: str) -> onnx.TensorProto:
    """Return a sparse tensor as a dense one; its indices are linear, or one row per value."""
    size = math.prod(sparse.dims)
    if size > _MAX_DENSE_ELEMENTS:
        raise ModelError(
            f"{where}: the sparse tensor '{name}' has {size} elements, more than "
            f"{_MAX_DENSE_ELEMENTS}; export it as a dense one"
        )
    try:
        values = numpy_helper.to_array(sparse.values)
        indices = numpy_helper.to_array(sparse.indices)
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if indices.ndim == 2:
            dense[tuple(indices.T)] = values
        else:
            dense.reshape(-1)[indices] = values
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ModelError(
            f"{where}: the sparse tensor '{name}' is malformed ({first_line(error)}); "
            "export it again"
        ) from error
    return numpy_helper.from_array(dense, name)


def sort_nodes(graph: onnx.GraphProto, where: str) -> None:
    """Sort nodes so that values are computed before they are read, and remove what is unused.

    Raises:
        ModelError: a cycle, a value without origin or with two, or outputs that depend on no input.
    """
    constants = {tensor.name for tensor in graph.initializer}
    given = {value.name for value in graph.input} | constants
    producer: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in producer or name in given:
                raise ModelError(f"{where}: '{name}' is computed twice; export the model again")
            producer[name] = index
    reads = [list(dict.fromkeys(captured_names(node))) for node in graph.node]
    for index, node in enumerate(graph.node):
        for name in reads[index]:
            if name not in producer and name not in given:
                raise ModelError(
                    f"{where}: {described(node)} reads '{name}', which nothing computes; "
                    "export the model again"
                )
    order = _order(graph, reads, producer, where)
    alive, dependent = set(), {value.name for value in graph.input}
    pending = [producer[v.name] for v in graph.output if v.name in producer]
    while pending:
        index = pending.pop()
        if index not in alive:
            alive.add(index)
            pending += [producer[name] for name in reads[index] if name in producer]
    sorted_graph = onnx.GraphProto()
    for index in order:
        if index in alive:
            sorted_graph.node.append(graph.node[index])
            if any(name in dependent for name in reads[index]):
                dependent.update(graph.node[index].output)
    if not any(value.name in dependent for value in graph.output):
        raise ModelError(
            f"{where}: the outputs do not depend on any input: the graph is disconnected or was "
            "exported with its input as a constant; export the model again"
        )
    del graph.node[:]
    graph.node.extend(sorted_graph.node)
    used = {value.name for value in graph.output}
    used.update(name for index in alive for name in reads[index])
    tensors = onnx.GraphProto()
    tensors.initializer.extend(t for t in graph.initializer if t.name in used)
    if len(tensors.initializer) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(tensors.initializer)


def _order(
    graph: onnx.GraphProto, reads: list[list[str]], producer: dict[str, int], where: str
) -> list[int]:
    """Return the order in which nodes can run, that of the file where it is one."""
    waits = [len({producer[name] for name in names if name in producer}) for names in reads]
    users: dict[int, list[int]] = {}
    for index, names in enumerate(reads):
        for origin in {producer[name] for name in names if name in producer}:
            users.setdefault(origin, []).append(index)
    if all(
        producer[name] < index
        for index, names in enumerate(reads)
        for name in names
        if name in producer
    ):
        return list(range(len(reads)))
    ready = deque(index for index, count in enumerate(waits) if count == 0)
    order = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for user in users.get(index, ()):
            waits[user] -= 1
            if waits[user] == 0:
                ready.append(user)
    if len(order) < len(reads):
        stuck = next(index for index, count in enumerate(waits) if count)
        raise ModelError(
            f"{where}: the graph has a cycle, and {described(graph.node[stuck])} waits for it; "
            "export the model again"
        )
    return order
