"""Write a torch model as the canonical float ONNX graph, neurons as ops of domain ``snnquant``."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from snnquant.data import Batch
from snnquant.errors import ModelError, SnnquantError, UsageError
from snnquant.files import atomic_write
from snnquant.nn.arguments import INPUT, arguments_of
from snnquant.nn.canonical import OUTPUT, canonicalize
from snnquant.nn.layer import NeuronLayer

#: What :func:`export_onnx` takes as an example.
Example = Tensor | tuple[Any, ...]
#: Samples of the example on which a fused graph is compared.
_COMPARED = 4
#: Version of the standard ops that torch's exporter writes without converting.
OPSET = 18
_EXPORT_LOGGERS = ("torch.onnx", "torch.export", "torch.fx")


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike[str] | None,
    example_input: Example,
    *,
    time_axis: int | None = None,
    fixed_timesteps: bool = False,
    fuse: bool = False,
) -> onnx.ModelProto:
    """Export a model in eval mode to a self-contained ONNX model.

    The graph is the canonical float graph; of a :class:`~snnquant.nn.QModel` in quantized mode it
    is the integer graph, with the integers that its layers hold.

    The batch size is dynamic, and so is ``T`` where the input carries time and the model does not
    fix it. Neuron nodes are named after their module, their output ``<module>.spikes``
    (``<module>.membrane`` for a read-out). Equal models give equal bytes.

    The first input is called ``input``, others after forward's parameters, entries of a dict
    ``<parameter>.<key>``, of a tuple ``<parameter>.<place>``. The first output is called
    ``output``, final states of neurons ``<module>.<state>``, others ``output_1`` and so on by
    their place.

    Args:
        model: returns a tensor, or tensors in tuples, lists and dicts (None is left out); it is
            left in the mode in which it was.
        path: file to write; None: only return the model.
        example_input: an input of any batch size, on the model's device; or a tuple of forward's
            positional arguments, of which those behind the first are states: tensors
            ``[B, ...]``, dicts and tuples of them, or None.
        time_axis: of the first input: 0 for ``[T, B, ...]``, 1 for ``[B, T, ...]``, None for
            static ones.
        fixed_timesteps: keep the example's ``T`` even where the model would take any.
        fuse: in the integer graph, make one op of a synapse and the neurons behind it, as
            ``convert`` does; the example is run to compare with the graph before. Maps of spikes
            are then called ``<module>.spikes.last``: their channels are the last axis.

    Returns:
        The model; metadata ``snnquant.timesteps`` where ``T`` is fixed.

    Raises:
        UsageError: ``time_axis`` does not fit, the path cannot be written, torch is too old, or
            training left a parameter out of its range.
        SelfCheckError: the integer graph would compute something else than the layers.
        ModelError: torch cannot export the model, for example since it fixes the batch size.
    """
    from snnquant.nn.quantized import Mode, QModel, export_integers

    def export() -> tuple[onnx.ModelProto, dict[str, str]]:
        return export_float(model, _real_states(example_input), time_axis, fixed_timesteps)

    if isinstance(model, QModel) and model.mode is Mode.QUANTIZED:
        proto = export_integers(model, export, _samples(example_input, time_axis), fuse=fuse)
    elif isinstance(model, QModel) and model.mode is not Mode.FLOAT:
        raise UsageError(
            f"export_onnx: {type(model).__name__} is in {model.mode.name.lower()} mode; call "
            "quantize() for the integer graph, or finish the step for the float graph"
        )
    else:
        proto, _ = export()
    if path is not None:
        # Deterministic, so that equal models give equal bytes.
        atomic_write(path, proto.SerializeToString(deterministic=True))
    return proto


def _samples(example: Example, time_axis: int | None) -> Batch:
    """Return a few samples of an example, without its states, which start at 0."""
    first = example[0] if isinstance(example, tuple) else example
    batch_first = first.movedim(1, 0) if time_axis == 0 else first
    return Batch({"x": batch_first[:_COMPARED].detach().cpu().numpy()}, None, 0)


def export_float(
    model: nn.Module,
    example_input: Example,
    time_axis: int | None,
    fixed_timesteps: bool,
    rewrite: Callable[[onnx.ModelProto], None] | None = None,
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a model as the canonical float graph, and the module that each node comes from.

    Args:
        model: as :func:`export_onnx` takes it.
        example_input: as :func:`export_onnx` takes it.
        time_axis: of the first input, if it has one.
        fixed_timesteps: keep the example's ``T``.
        rewrite: edits what torch's exporter wrote, in place, before it becomes canonical.

    Raises:
        UsageError, ModelError: as :func:`export_onnx`.
    """
    if not hasattr(torch.onnx, "ops"):
        raise UsageError(
            f"export_onnx: torch {torch.__version__} cannot export custom ops; install torch 2.8 "
            "or newer"
        )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise UsageError(
                f"export_onnx: '{name}' is {tensor.dtype}, but the graph is float32; "
                "export model.float()"
            )
    if time_axis not in (None, 0, 1):
        raise UsageError(f"export_onnx: time_axis is {time_axis}, must be None, 0 or 1")
    batch_axis = 1 if time_axis == 0 else 0
    example = arguments_of(
        model,
        example_input,
        batch_axis=batch_axis,
        time_axis=time_axis,
        fixed_timesteps=fixed_timesteps,
    )
    for module in model.modules():
        if isinstance(module, NeuronLayer):
            # A fault of the values is invisible to torch's exporter, which sees shapes only.
            module.check_values()
    # torch takes a dict at the end for keyword arguments, unless an empty one follows.
    keywords: tuple[dict[str, Tensor], ...] = ({},) if isinstance(example.values[-1], dict) else ()
    with _eval_mode(model), _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                model,
                (*example.values, *keywords),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=example.dynamic_shapes,
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise _reason(error, type(model).__name__) from error
    if program is None:
        raise ModelError(f"torch gave no ONNX program for {type(model).__name__}")
    proto = program.model_proto
    if rewrite is not None:
        rewrite(proto)
    sources = canonicalize(
        proto,
        set(model.state_dict(keep_vars=True)),
        module_names={name for name, _ in model.named_modules()},
        input_names=example.names,
        batch_axis=batch_axis,
        time_axis=time_axis,
        timesteps=example.values[0].shape[time_axis or 0],
    )
    return proto, sources


def _real_states(example: Example) -> Example:
    """Return an example whose states are floating point, as the float graph has them.

    Those of a quantized model are integers; only their shapes matter here.
    """
    if not isinstance(example, tuple) or not example:
        return example
    first, *states = example
    real: list[Any] = pytree.tree_map_only(Tensor, lambda t: t.float(), states)
    return (first, *real)


def _reason(error: BaseException, name: str) -> SnnquantError:
    """Return our own error where it stopped torch's exporter, else what torch says in one line."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        if isinstance(cause, SnnquantError):
            return cause
        causes.append(cause)
    first = str(causes[1] if len(causes) > 1 else error).strip().split("\n")[0]
    return ModelError(
        f"torch cannot export {name}: {first}; the model must take tensors of any batch size"
    )


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module into eval mode, and each back into the mode in which it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch's exporter says about itself; errors still raise."""
    loggers = [logging.getLogger(name) for name in _EXPORT_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
