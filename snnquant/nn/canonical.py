"""Turn what torch's exporter writes into the canonical graph: names, own constants, no traces."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.names import take_name
from snnquant.nn.merge_runs import merge_runs
from snnquant.ops import DOMAIN, attach_functions, schemas
from snnquant.ops.attach import TIMESTEPS_KEY
from snnquant.ops.states import runs_of

#: Name of the first output.
OUTPUT = "output"
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"


def canonicalize(
    model: onnx.ModelProto,
    parameter_names: Collection[str],
    *,
    module_names: Collection[str],
    input_names: Sequence[str],
    batch_axis: int,
    time_axis: int | None,
    timesteps: int,
) -> dict[str, str]:
    """Rename, clean and complete an exported model in place.

    Args:
        model: with its first input and output named, neurons as ops of domain ``snnquant``.
        parameter_names: initializers that keep their names: the torch model's own.
        module_names: paths of the torch model's modules.
        input_names: what the inputs are to be called.
        batch_axis: axis of the first input that holds the samples; of others it is 0.
        time_axis: axis of the first input that holds the steps, if any.
        timesteps: steps of the example, where it has any.

    Returns:
        The path of the module that each node comes from, by node name.

    Raises:
        ModelError: a neuron node is not one of the op set.
    """
    merge_runs(model.graph)
    _pick_without_sequences(model.graph)
    paths = [_module_path(node, parameter_names, module_names) for node in model.graph.node]
    _clean(model)
    if time_axis is not None:
        _fix_looped_time(model.graph, time_axis, timesteps)
    _name_dimensions(model.graph, {batch_axis: "batch", time_axis: "time"})
    _name_nodes(model.graph, paths, input_names)
    sources = {n.name: path for n, path in zip(model.graph.node, paths, strict=True) if path}
    _own_constants(model.graph, parameter_names)
    run = _timesteps(model.graph)
    if run is not None:
        helper.set_model_props(model, {TIMESTEPS_KEY: str(run)})
    attach_functions(model)
    onnx.checker.check_model(model, full_check=True)
    return sources


def _module_path(
    node: onnx.NodeProto, parameter_names: Collection[str], module_names: Collection[str]
) -> str:
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
            return path if path in module_names else ""
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


def _pick_without_sequences(graph: onnx.GraphProto) -> None:
    """Write ``for step in x`` as what it is, a Gather per step, which keeps all shapes known."""
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    parts = {n.output[0]: n for n in graph.node if n.op_type == "SplitToSequence"}
    for node in graph.node:
        source = parts.get(node.input[0]) if node.op_type == "SequenceAt" else None
        place = held.get(node.input[1]) if source is not None else None
        if source is None or place is None:
            continue
        attributes = {a.name: a.i for a in source.attribute}
        sized = len(source.input) > 1
        if sized and not (source.input[1] in held and (held[source.input[1]] == 1).all()):
            continue
        # A Gather by a list of one index keeps the axis, one by a number removes it.
        keeps = sized or attributes.get("keepdims", 1)
        index = f"{node.output[0]}.index"
        graph.initializer.append(
            numpy_helper.from_array(np.asarray(place, np.int64).reshape((1,) * bool(keeps)), index)
        )
        node.op_type = "Gather"
        node.input[:] = [source.input[0], index]
        node.attribute.append(helper.make_attribute("axis", attributes.get("axis", 0)))
    read = {name for node in graph.node for name in node.input}
    for name, node in parts.items():
        if name not in read:
            graph.node.remove(node)


def _fix_looped_time(graph: onnx.GraphProto, axis: int, timesteps: int) -> None:
    """Fix ``T`` where the model picks its steps one by one: torch leaves the input's axis free."""
    entry = graph.input[0]
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    picked: set[int] = set()
    for node in graph.node:
        if entry.name in node.input and node.op_type != "Shape":
            picked.update(_picked(node, held, axis))
    if picked == set(range(timesteps)):
        entry.type.tensor_type.shape.dim[axis].dim_value = timesteps


def _picked(
    node: onnx.NodeProto, held: Mapping[str, npt.NDArray[Any]], axis: int
) -> tuple[int, ...]:
    """Return which places along an axis a node picks; (-1,) if it does something else."""
    given = [held.get(name) for name in node.input[1:]]
    numbers = [
        int(array.reshape(-1)[0]) for array in given if array is not None and array.size == 1
    ]
    if len(numbers) != len(given):
        return (-1,)
    along = next((a.i for a in node.attribute if a.name == "axis"), 0)
    if node.op_type == "Gather" and along == axis:
        return (numbers[0],)
    if node.op_type == "Slice" and len(numbers) > 2 and numbers[2] == axis:
        start, end = numbers[:2]
        return tuple(range(start, end)) if 0 <= start < end < 2**16 else (-1,)
    return (-1,)


def _name_dimensions(graph: onnx.GraphProto, axes: dict[int | None, str]) -> None:
    """Call the dynamic axes ``batch`` and ``time`` wherever they occur, also in products."""
    dims = graph.input[0].type.tensor_type.shape.dim
    known = {
        dims[axis].dim_param: name
        for axis, name in axes.items()
        if axis is not None and dims[axis].dim_param
    }
    for state in graph.input[1:]:
        # torch gives the batch of a state that meets no other value a symbol of its own.
        known.setdefault(state.type.tensor_type.shape.dim[0].dim_param, "batch")
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(
                    r"[A-Za-z_]\w*", lambda m: known.get(m[0], m[0]), dim.dim_param
                )


def _name_nodes(graph: onnx.GraphProto, paths: list[str], input_names: Sequence[str]) -> None:
    """Name nodes after their modules, the outputs of each after it, and inputs as they are to be.

    Only now, since torch gives an input a name even if another value has it.
    """
    taken: set[str] = set()
    neurons_first = sorted(zip(graph.node, paths, strict=True), key=lambda p: p[0].domain != DOMAIN)
    renamed = {}
    for node, path in neurons_first:
        wanted = path or node.op_type.lower()
        if wanted in taken and node.domain != DOMAIN:
            wanted = f"{wanted}.{node.op_type.lower()}"
        node.name = take_name(wanted, taken, first=2)
        for port, name in zip(_formal_outputs(node), node.output, strict=True):
            renamed[name] = f"{node.name}.{port}"
    states = {
        out: f"{path or node.name}.{port}"
        for node, path in zip(graph.node, paths, strict=True)
        if node.domain == DOMAIN
        for port, out in zip(_formal_outputs(node), node.output, strict=True)
        if port in schemas()[node.op_type].state_names
    }
    inputs = {v.name: name for v, name in zip(graph.input, input_names, strict=True)}
    _rename(graph, inputs | _value_names(graph, set(input_names), states, renamed))


def _value_names(
    graph: onnx.GraphProto, taken: set[str], states: dict[str, str], others: dict[str, str]
) -> dict[str, str]:
    """Name the outputs: the first, final states after their module, the rest by their place.

    A module that runs several times has its last states where its name stands; inner values that
    were to be called so (in ``others``) get another name.
    """
    names = {}
    for place, value in enumerate(graph.output):
        wanted = states.get(value.name, f"{OUTPUT}_{place}") if place else OUTPUT
        names[value.name] = take_name(wanted, taken, first=2)
    for value, name in others.items():
        if value not in names:
            names[value] = take_name(name, taken, first=2)
    return names


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values everywhere."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
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
    """Return ``T`` where all neurons run over the same fixed number of steps.

    A neuron that goes on from the states of another, as in a loop over time, adds its steps.
    """
    sizes: dict[str, int] = {}
    values: Iterable[onnx.ValueInfoProto] = [*graph.input, *graph.output, *graph.value_info]
    for value in values:
        dims = value.type.tensor_type.shape.dim
        if dims:
            sizes[value.name] = dims[0].dim_value
    steps = [[sizes.get(n.input[0], 0) for n in run] for run in runs_of(graph.node).values()]
    found = {sum(counts) if all(counts) else 0 for counts in steps}
    return found.pop() if len(found) == 1 and 0 not in found else None
