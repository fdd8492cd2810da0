"""Reads ``.pt2`` programs: neurons that are one operation become nodes, others are recognised.

SpikingJelly keeps a neuron over all steps as one operation, such as ``sj_lif.forward(x, v, tau,
...)``; what the other frameworks compute is spelled out.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import fx
from torch.export import ExportedProgram

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.reading import Reading, SourceOptions
from snnquant.frontends.torch.archive import load_program
from snnquant.frontends.torch.convert import read_layers
from snnquant.frontends.torch.network import Example, Network
from snnquant.frontends.torch.plain import read_plainly
from snnquant.frontends.torch.spikingjelly_operations import neuron_operations
from snnquant.nn.export import OPSET

_WHY = "a .pt2 program says of its neurons only what they compute"
#: Operations and the argument that says that they behave as in training.
_TRAINING = {"dropout": 2, "batch_norm": 5, "native_dropout": 2, "_native_batch_norm_legit": 5}


def read_program(path: Path, options: SourceOptions) -> Reading:
    """Read a program that ``torch.export.save`` wrote.

    Args:
        path: the file.
        options: ``time_axis``, if the input has an axis of time.

    Raises:
        ModelError: it cannot be loaded without running code in it, was exported in training mode,
            takes states as inputs, or holds a neuron that has no counterpart.
        UsageError: an option does not fit.
    """
    # The operations must be known before a program that holds them can be loaded.
    with contextlib.suppress(ImportError):
        importlib.import_module("spikingjelly._ops")
        for name in ("if_", "lif", "plif"):
            importlib.import_module(f"spikingjelly._ops.{name}")
    program = load_program(path)
    shape = _input_shape(program, path)
    _check_mode(program, path)
    example, dynamic = _example(shape, options)
    if not dynamic:
        return _read_fixed(program, path)
    module = _plain_module(program)
    layers = neuron_operations(module)
    if not layers:
        return read_plainly(Network(module, []), example, str(path), _WHY)
    return read_layers(module, layers, example, str(path))


def _input_shape(program: ExportedProgram, path: Path) -> tuple[int | str, ...]:
    names = program.graph_signature.user_inputs
    values = {
        node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"
    }
    tensors = [values[name] for name in names if name in values]
    if len(tensors) != 1 or not isinstance(tensors[0], torch.Tensor):
        raise ModelError(
            f"{path} takes {len(names)} inputs; export the whole loop over time, with its states "
            "inside of forward, so that the data is the only input"
        )
    return tuple(d if isinstance(d, int) else str(d) for d in tensors[0].shape)


def _example(shape: tuple[int | str, ...], options: SourceOptions) -> tuple[Example, bool]:
    """Return the input of a program, and whether its batch is dynamic."""
    free = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    axis = options.time_axis
    if axis is None and free == [1]:
        axis = 0  # only the batch is free, and it stands behind time
    if axis is not None and len(shape) < 2:
        raise UsageError(f"--time-axis is {axis}, but the program's input is {list(shape)}")
    sizes = tuple(size if isinstance(size, int) else 4 for size in shape)
    if axis is not None and options.timesteps not in (None, sizes[axis]):
        raise UsageError(
            f"--timesteps is {options.timesteps}, but the program was exported for {sizes[axis]}"
        )
    example = Example(sizes, axis, options.timesteps)
    return example, example.batch_axis in free


def _check_mode(program: ExportedProgram, path: Path) -> None:
    for node in program.graph.nodes:
        name = getattr(node.target, "_opname", "") if node.op == "call_function" else ""
        place = _TRAINING.get(name)
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ModelError(
                f"{path} was exported in training mode ({name} '{node.name}'); "
                "call eval() and export it again"
            )


def _plain_module(program: ExportedProgram) -> fx.GraphModule:
    """Return the program as a module without checks of its inputs."""
    checked = program.module(check_guards=False)
    return fx.GraphModule(checked, checked.graph)


def _read_fixed(program: ExportedProgram, path: Path) -> Reading:
    """Read a program for one batch size by what it computes."""
    if any(str(getattr(n.target, "namespace", "")).startswith("sj_") for n in program.graph.nodes):
        raise ModelError(
            f"{path} is fixed to one batch size; export it with "
            "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"
        )
    try:
        written = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"torch cannot export {path} as ONNX; export it again") from error
    if written is None:
        raise ModelError(f"torch cannot export {path} as ONNX; export it again")
    read_proto: Callable[[onnx.ModelProto, str], Reading]
    read_proto = importlib.import_module("snnquant.frontends.onnx").read_proto
    return read_proto(written.model_proto, str(path))
