"""A framework's neuron module in our terms, and what is asked of a framework's description."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from snnquant.errors import ModelError
from snnquant.neurons import NeuronModel, Reset, completed
from snnquant.neurons.simulate import smallest_form

Array = npt.NDArray[Any]
Value = Tensor | float


@dataclass(frozen=True)
class Translation:
    """One neuron module as one of our neurons.

    Attributes:
        framework: what a reader calls it, such as ``snnTorch Leaky``.
        model: the definition that expresses it.
        values: real parameters by name; tensors broadcast along the last axes, as torch does.
        choices: structural choices by name; defaults for those left out.
        feed: from what the module is given to the current; it does not mix time steps.
        recurrence: from the last spikes ``[B, ...]`` to what they add to the current; affine.
        never_fires: the threshold is infinite, so that only the membrane tells anything.
    """

    framework: str
    model: NeuronModel
    values: Mapping[str, Value]
    choices: Mapping[str, int] = field(default_factory=dict)
    feed: Callable[[Tensor], Tensor] = lambda x: x
    recurrence: Callable[[Tensor], Tensor] | None = None
    never_fires: bool = False

    def constants(
        self, features: Sequence[int], model: NeuronModel | None = None
    ) -> dict[str, Array]:
        """Return every parameter for neurons ``features``: ``[1]``, per channel, or per neuron.

        Args:
            features: shape of the neurons of one sample.
            model: the neuron that needs them, if it is not the translation's own.

        Raises:
            ModelError: a value does not broadcast to the neurons.
        """
        held = completed(model or self.model, self.values)
        return {name: _own_shape(name, value, tuple(features)) for name, value in held.items()}

    def all_choices(self) -> dict[str, int]:
        """Return every structural choice."""
        return {c.name: int(self.choices.get(c.name, c.default)) for c in self.model.choices}


def _own_shape(name: str, value: Value, features: tuple[int, ...]) -> Array:
    array = np.asarray(torch.as_tensor(value).detach().cpu().numpy(), np.float32)
    while array.ndim > len(features) and array.shape[0] == 1:
        array = array[0]
    if array.size == 1:
        return array.reshape(1)
    try:
        full = np.broadcast_to(array, features)
    except ValueError as error:
        raise ModelError(
            f"{name} has shape {list(array.shape)}, which does not fit neurons {list(features)}; "
            "give one value, or one that broadcasts to the neurons"
        ) from error
    return smallest_form(full)


@dataclass(frozen=True)
class Signals:
    """What a neuron gives over time in the layout of the call.

    Attributes:
        spikes: the output, ``[T, B, ...]``, or ``[B, ...]`` of one step; zeros of a read-out.
        membrane: after integration, before the reset; the output of a read-out.
        synaptic: stands for the synaptic current, which may be handed back but not looked at.
    """

    spikes: Tensor
    membrane: Tensor
    synaptic: Tensor


class Described(ABC):
    """One neuron module of a framework: how it is called, and what it computes.

    Args:
        module: the module.

    Raises:
        ModelError: no neuron expresses the module's options; the message is the reason alone.
    """

    #: Axis of time in what the module is given; None: it computes one step per call.
    layout: int | None = None
    #: First step at which a recurrence adds anything, its bias included.
    first_feedback = 0

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.translation = self.translate()

    @abstractmethod
    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all states, in the way of the framework."""

    @abstractmethod
    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether a call starts from the initial state; else it goes on from the last.

        Raises:
            ModelError: neither: the state comes from elsewhere.
        """

    @abstractmethod
    def remember(self, answer: Any) -> None:
        """Keep what a call gave, so that :meth:`begins` knows its states."""

    @abstractmethod
    def answer(self, signals: Signals) -> Any:
        """Return what the module's forward would return, and set the states that it would set."""

    def alone(self, given: Tensor, state: Any) -> tuple[Any, Any]:
        """Call the module by itself; return its answer, and the state for the next call."""
        return self.module(given), None

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        """Return the tensor that forward is given."""
        source: Tensor = args[0] if args else next(iter(kwargs.values()))
        return source

    def unfold(self, given: Tensor) -> Tensor:
        """Return what the module is given with the time axis where :attr:`layout` says."""
        return given

    def output(self, answer: Any) -> Tensor:
        """Return the spikes (of a read-out: the membrane) from a call's answer."""
        first = answer[0] if isinstance(answer, tuple) else answer
        return self.unfold(first)

    def after_reset(self, signals: Signals) -> Tensor:
        """Return the membrane after the reset, before the next leak."""
        choices, values = self.translation.all_choices(), self.translation.values
        spikes, membrane = signals.spikes, signals.membrane
        if not self.translation.model.spiking or choices["reset"] == Reset.NONE:
            return membrane
        if choices["reset"] == Reset.HARD:
            return torch.where(
                spikes == 0, membrane, torch.as_tensor(values["v_reset"], dtype=membrane.dtype)
            )
        by = values["dv" if choices["reset"] == Reset.SOFT_CONSTANT else "v_threshold"]
        return membrane - spikes * by


def plain(value: Any) -> float:
    """Return a number that a framework holds as a number or a tensor of one element."""
    return float(torch.as_tensor(value).detach().reshape(-1)[0])


def same_tensor(a: Any, b: Any) -> bool:
    """Return whether two values are one tensor, or equal copies."""
    if a is b:
        return a is not None
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return False
    return a.shape == b.shape and bool(torch.equal(a.detach(), b.detach()))


def is_zero(value: Any) -> bool:
    """Return whether a state is a fresh one: empty, or all zero."""
    return isinstance(value, Tensor) and (value.numel() == 0 or not bool(value.detach().any()))


def finite(name: str, value: Value) -> Value:
    """Return a parameter, or raise ModelError if it is NaN or infinite."""
    if not bool(torch.isfinite(torch.as_tensor(value)).all()):
        raise ModelError(f"{name} is not finite; repair or retrain the model")
    return value


def is_infinite(value: Any) -> bool:
    """Return whether a threshold can never be reached."""
    return math.isinf(plain(value)) and plain(value) > 0
