"""The options of neurons and operations: which values they may have, which can be learned."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.neurons import Parameter, Quantization, Reset

#: A parameter: one value for all neurons, one per channel, or one per neuron.
Value = float | Tensor


def allowed(parameter: Parameter, values: Any) -> tuple[Any, str]:
    """Say which real values a parameter may have.

    Args:
        parameter: what the values are for; its rule says which there are.
        values: a tensor or an array of floating-point numbers.

    Returns:
        Where the values are in range, of the same kind, and the words for that range.
    """
    if parameter.rule is Quantization.MULTIPLIER:
        return (values >= 0) & (values <= 1), "in [0, 1]"
    finite = abs(values) < math.inf
    if parameter.rule is Quantization.STEPS:
        return finite & (values >= 0) & (values % 1 == 0), "a whole number >= 0"
    return finite, "finite"


def reset_of(given: object, class_name: str) -> Reset:
    """Return a reset from what a user gave: itself, its number, or its name in any case.

    Args:
        given: the option.
        class_name: class that the user called, for errors.

    Raises:
        UsageError: there is no such reset.
    """
    if isinstance(given, str) and given.upper() in Reset.__members__:
        return Reset[given.upper()]
    if isinstance(given, int) and given in tuple(Reset):
        return Reset(given)
    raise UsageError(
        f"{class_name}: reset is {given!r}, must be a snnquant.nn.Reset or one of "
        f"{', '.join(sorted(Reset.__members__)).lower()}"
    )


def checked_value(parameter: Parameter, value: object, class_name: str) -> Tensor:
    """Return the value of a parameter as a tensor of its own, of the shape that was given.

    Args:
        parameter: what the value is for; its rule says which values there are.
        value: number or tensor of real numbers.
        class_name: class that the user called, for errors.

    Raises:
        UsageError: the value is no number, empty, not finite, or out of range.
    """
    try:
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"{class_name}: {parameter.name} is {value!r}, must be a number or a tensor"
        ) from None
    ok, wanted = allowed(parameter, tensor)
    if not tensor.numel():
        raise UsageError(f"{class_name}: {parameter.name} is empty")
    if not ok.all():
        worst = float(tensor[~ok].flatten()[0])
        raise UsageError(
            f"{class_name}: {parameter.name} is {worst:g}, must be {wanted} ({parameter.doc})"
        )
    return tensor


def make_learnable(
    module: nn.Module, parameters: Sequence[Parameter], learn: Collection[str]
) -> None:
    """Turn buffers of a module into ``nn.Parameter`` under the same names.

    Args:
        module: holds a buffer for every parameter that may be learned.
        parameters: what the module takes.
        learn: names of those to turn; one name may stand alone.

    Raises:
        UsageError: the module has no such parameter, or it counts steps.
    """
    possible = [p.name for p in parameters if p.rule is not Quantization.STEPS]
    for name in (learn,) if isinstance(learn, str) else dict.fromkeys(learn):
        if name not in possible:
            raise UsageError(
                f"{type(module).__name__}: learn has {name}; what can be learned is "
                f"{', '.join(possible) or 'nothing'}"
            )
        value = module.get_buffer(name)
        del module._buffers[name]
        module.register_parameter(name, nn.Parameter(value))
