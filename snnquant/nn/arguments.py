"""The example that a model is exported with: forward's arguments, their names and free axes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from snnquant.errors import UsageError

#: Name of the first tensor; the others are called after forward's parameters.
INPUT = "input"


@dataclass(frozen=True)
class Arguments:
    """What torch's exporter is given.

    Attributes:
        values: forward's positional arguments, with a batch size that torch takes for any.
        names: one per tensor, in the order of the graph's inputs.
        dynamic_shapes: like ``values``, with the dynamic axes in place of tensors.
    """

    values: tuple[Any, ...]
    names: tuple[str, ...]
    dynamic_shapes: tuple[Any, ...]


def arguments_of(
    model: nn.Module,
    example: object,
    *,
    batch_axis: int,
    time_axis: int | None,
    fixed_timesteps: bool,
) -> Arguments:
    """Return an example as arguments of any batch size.

    Args:
        model: gives the names of forward's parameters.
        example: one tensor, or a tuple of tensors, None, and dicts and tuples of them (states).
        batch_axis: of the first tensor; all others are ``[B, ...]``.
        time_axis: of the first tensor, if it has one.
        fixed_timesteps: keep the example's ``T``.

    Raises:
        UsageError: the example is something else, or a tensor has no batch axis or no sample.
    """
    given = example if isinstance(example, tuple) else (example,)
    if not given or not isinstance(given[0], Tensor):
        raise UsageError(
            "export_onnx: the example input must be a tensor, or a tuple of forward's arguments "
            "that starts with one"
        )
    tensors: dict[str, Tensor] = {}
    parameters = _parameter_names(model, len(given))

    def collect(name: str, tensor: Tensor) -> Tensor:
        tensors[name] = tensor
        return tensor

    named = (INPUT, *parameters[1:])
    _map(named, given, collect)
    _check(tensors, max(batch_axis, time_axis or 0))
    size = 2
    # torch.export specializes sizes 0 and 1, and may tie equal sizes together.
    while any(size in tensor.shape for tensor in tensors.values()):
        size += 1

    def of_any_batch(name: str, tensor: Tensor) -> Tensor:
        axis = batch_axis if name == INPUT else 0
        index = torch.arange(size, device=tensor.device) % tensor.shape[axis]
        return tensor.index_select(axis, index)

    def dynamic(name: str, _: Tensor) -> dict[int, Any]:
        if name != INPUT:
            return {0: Dim.DYNAMIC}
        axes: dict[int, Any] = {batch_axis: Dim.DYNAMIC}
        if time_axis is not None and not fixed_timesteps:
            axes[time_axis] = Dim.AUTO
        return axes

    return Arguments(_map(named, given, of_any_batch), tuple(tensors), _map(named, given, dynamic))


def _parameter_names(model: nn.Module, count: int) -> list[str]:
    """Return the names of forward's first positional parameters."""
    names = [
        parameter.name
        for parameter in inspect.signature(model.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    # torch's exporter says more of a forward that takes its only tensor as *args.
    if 1 < count > len(names):
        raise UsageError(
            f"export_onnx: the example holds {count} arguments, but forward of "
            f"{type(model).__name__} takes {len(names)}"
        )
    return names[:count] or [INPUT]


def _map(
    names: tuple[str, ...], values: tuple[Any, ...], change: Callable[[str, Tensor], Any]
) -> tuple[Any, ...]:
    """Return the arguments with every tensor changed; None stays, and so do dicts and tuples."""

    def inside(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: inside(f"{name}.{key}", entry) for key, entry in value.items()}
        if isinstance(value, (tuple, list)):
            inner = [inside(f"{name}.{place}", entry) for place, entry in enumerate(value)]
            return type(value)(inner) if type(value) in (tuple, list) else type(value)(*inner)
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise UsageError(
                f"export_onnx: argument '{name}' is a {type(value).__name__}; "
                "give a tensor, None, or a dict or tuple of tensors"
            )
        return change(name, value)

    return tuple(inside(name, value) for name, value in zip(names, values, strict=True))


def _check(tensors: Mapping[str, Tensor], last_axis: int) -> None:
    """Raise UsageError for a tensor without its axes, or without samples."""
    for name, tensor in tensors.items():
        which = "the example input" if name == INPUT else f"argument '{name}'"
        if tensor.dim() <= (last_axis if name == INPUT else 0):
            raise UsageError(
                f"export_onnx: {which} has shape {list(tensor.shape)}; "
                "it needs a batch axis, and with time_axis a time axis"
            )
        if tensor.shape[0] == 0 or (name == INPUT and 0 in tensor.shape[: last_axis + 1]):
            raise UsageError(f"export_onnx: {which} holds no sample")
