"""Export the nets of the zoo in the ways in which users export them."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import nn

from zoo.base import ZooNet

#: Exporters of whole nets; a fixed batch is 1.
EXPORTERS = ("dynamo_fixed", "dynamo_dyn", "legacy_fixed", "legacy_dyn")
EXAMPLE_BATCH = 3


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep exporters from talking: warnings, logging, and both streams, C++'s included."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    held = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        for number, stream in enumerate(held, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.close(nowhere)


def export(net: ZooNet, exporter: str) -> onnx.ModelProto:
    """Export a net with fresh states; raises whatever the exporter raises."""
    module = net.build().eval()
    dynamic = exporter.endswith("_dyn")
    example = tuple(map(torch.from_numpy, net.inputs(EXAMPLE_BATCH if dynamic else 1)))
    axis = 1 if net.kind == "TB" else 0
    return export_module(
        module,
        example,
        dynamo=exporter.startswith("dynamo"),
        batch_axes=[axis] * len(example) if dynamic else None,
    )


def export_module(
    module: nn.Module,
    example: tuple[Any, ...],
    *,
    dynamo: bool,
    batch_axes: list[int] | None = None,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
    **options: Any,
) -> onnx.ModelProto:
    """Call ``torch.onnx.export``; ``batch_axes`` are the dynamic axes, one per input."""
    names = input_names or [f"x{k}" if k else "x" for k in range(len(example))]
    if batch_axes is not None and dynamo:
        batch = torch.export.Dim("batch")
        shapes: list[Any] = [{axis: batch} for axis in batch_axes]
        parameters = inspect.signature(module.forward).parameters.values()
        for k, parameter in enumerate(parameters):
            if parameter.kind is parameter.VAR_POSITIONAL:
                shapes[k:] = [tuple(shapes[k:])]
        options["dynamic_shapes"] = tuple(shapes)
    elif batch_axes is not None:
        options["dynamic_axes"] = {
            name: {axis: "batch"} for name, axis in zip(names, batch_axes, strict=True)
        }
    with quiet(), torch.no_grad():
        if dynamo:
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                input_names=names,
                output_names=output_names,
                verbose=False,
                **options,
            )
            return program.model_proto
        buffer = io.BytesIO()
        torch.onnx.export(
            module,
            example,
            buffer,
            dynamo=False,
            input_names=names,
            output_names=output_names,
            **options,
        )
        return onnx.load_from_string(buffer.getvalue())
