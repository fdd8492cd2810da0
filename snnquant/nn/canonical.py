"""Turn what torch's exporter writes into the canonical graph: names, own constants, no traces."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable

import onnx
from onnx import helper

from snnquant.ops import DOMAIN, attach_functions, schemas

TIMESTEPS_KEY = "snnquant.timesteps"
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"


def canonicalize(
    model: onnx.ModelProto,
    parameter_names: Collection[str],
    *,
    batch_axis: int,
    time_axis: int | None,
) -> None:
    """Rename, clean and complete an exported model in place.

    Args:
        model: with input ``input`` and output ``output``, neurons as ops of domain ``snnquant``.
        parameter_names: initializers that keep their names: the torch model's own.
        batch_axis: axis of the input that holds the samples.
        time_axis: axis of the input that holds the steps, if any.

    Raises:
        ModelError: a neuron node is not one of the op set.
    """
    paths = [_module_path(node, parameter_names) for node in model.graph.node]
    _clean(model)
    _name_dimensions(model.graph, {batch_axis: "batch", time_axis: "time"})
    _name_nodes(model.graph, paths)
    _own_constants(model.graph, parameter_names)
    timesteps = _timesteps(model.graph)
    if timesteps is not None:
        helper.set_model_props(model, {TIMESTEPS_KEY: str(timesteps)})
    attach_functions(model)
    onnx.checker.check_model(model, full_check=True)


def _module_path(node: onnx.NodeProto, parameter_names: Collection[str]) -> str:
    """Return the path of the module that a node comes from; "" for the model itself.

    A layer is known by its weight: where torch fuses a batch normalization into a convolution,
    the node carries the scope of the former.
    """
    for name in node.input:
        if name in parameter_names and name.endswith(".weight"):
            return str(name).removesuffix(".weight")
    for entry in node.metadata_props:
        if entry.key == _SCOPES_KEY:
            scopes = ast.literal_eval(entry.value)
            path = str(scopes[-2]) if len(scopes) > 1 else ""
            return "" if path.startswith("_") else path
    return ""


def _clean(model: onnx.ModelProto) -> None:
    """Remove what differs between machines: stack traces, source paths, documentation."""
    graph = model.graph
    del model.metadata_props[:]
    carriers = [graph, *graph.node, *graph.input, *graph.output, *graph.value_info]
    for carrier in [*carriers, *graph.initializer]:
        carrier.ClearField("metadata_props")
        carrier.ClearField("doc_string")
    model.ClearField("doc_string")


def _name_dimensions(graph: onnx.GraphProto, axes: dict[int | None, str]) -> None:
    """Call the dynamic axes ``batch`` and ``time`` wherever they occur, also in products."""
    dims = graph.input[0].type.tensor_type.shape.dim
    known = {
        dims[axis].dim_param: name
        for axis, name in axes.items()
        if axis is not None and dims[axis].dim_param
    }
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(
                    r"[A-Za-z_]\w*", lambda m: known.get(m[0], m[0]), dim.dim_param
                )


def _name_nodes(graph: onnx.GraphProto, paths: list[str]) -> None:
    """Name nodes after their modules, and the output of each neuron after its node."""
    taken: set[str] = set()
    neurons_first = sorted(zip(graph.node, paths, strict=True), key=lambda p: p[0].domain != DOMAIN)
    renamed = {}
    for node, path in neurons_first:
        wanted = path or node.op_type.lower()
        if wanted in taken and node.domain != DOMAIN:
            wanted = f"{wanted}.{node.op_type.lower()}"
        node.name = _unique(wanted, taken)
        for port, name in zip(_formal_outputs(node), node.output, strict=True):
            renamed[name] = f"{node.name}.{port}"
    for value in graph.output:
        renamed.pop(value.name, None)
    _rename(graph, renamed)


def _unique(wanted: str, taken: set[str]) -> str:
    """Return ``wanted``, or ``wanted_2`` and so on, and take it."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values everywhere."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in [*graph.value_info, *graph.initializer]:
        value.name = names.get(value.name, value.name)


def _formal_outputs(node: onnx.NodeProto) -> list[str]:
    """Return the suffix of every output's name."""
    if node.domain == DOMAIN:
        return [port.name for port in schemas()[node.op_type].outputs]
    count = len(node.output)
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _formal_inputs(node: onnx.NodeProto) -> list[str]:
    """Return the formal name of every input."""
    if node.domain == DOMAIN:
        return [port.name for port in schemas()[node.op_type].inputs]
    formal = onnx.defs.get_schema(node.op_type, domain=node.domain).inputs
    last = len(formal) - 1
    return [
        formal[k].name if k <= last else f"{formal[last].name}_{k}" for k in range(len(node.input))
    ]


def _own_constants(graph: onnx.GraphProto, parameter_names: Collection[str]) -> None:
    """Give neurons and shapes their own constants, name anonymous weights, drop what is unused.

    The exporter merges equal constants of different layers; a threshold that is called after
    another layer misleads readers, and tools that edit one layer.
    """
    source = {tensor.name: tensor for tensor in graph.initializer}
    kept: dict[str, onnx.TensorProto] = {}
    weights: dict[str, str] = {}
    for node in graph.node:
        for index, formal in enumerate(_formal_inputs(node)):
            name = node.input[index]
            if name not in source:
                continue
            own = f"{node.name}.{formal}"
            if node.domain != DOMAIN and name in parameter_names:
                own = name
            elif node.domain != DOMAIN and source[name].data_type == onnx.TensorProto.FLOAT:
                own = weights.setdefault(name, own)
            node.input[index] = own
            if own not in kept:
                kept[own] = onnx.TensorProto()
                kept[own].CopyFrom(source[name])
                kept[own].name = own
    del graph.initializer[:]
    graph.initializer.extend(kept.values())
    values = [v for v in graph.value_info if v.name not in source]
    del graph.value_info[:]
    graph.value_info.extend(values)


def _timesteps(graph: onnx.GraphProto) -> int | None:
    """Return ``T`` where all neurons run over the same fixed number of steps."""
    sizes: dict[str, int] = {}
    values: Iterable[onnx.ValueInfoProto] = [*graph.input, *graph.output, *graph.value_info]
    for value in values:
        dims = value.type.tensor_type.shape.dim
        if dims:
            sizes[value.name] = dims[0].dim_value
    found = {sizes.get(n.input[0], 0) for n in graph.node if n.domain == DOMAIN}
    return found.pop() if len(found) == 1 and 0 not in found else None
