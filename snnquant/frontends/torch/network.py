"""A user's network as something that maps one input to outputs, with fresh states every time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.torch.layers import Layer, other_states
from snnquant.frontends.torch.trace import Neuron, fresh_states, observe

#: Seed of the inputs on which a network is run to see what it does.
_SEED = 0


@dataclass
class Example:
    """The input of a network.

    Attributes:
        shape: of one input, batch and time included.
        time_axis: axis of time; None: the input is static.
        timesteps: number of steps that the user tells, if any.
    """

    shape: tuple[int, ...]
    time_axis: int | None = None
    timesteps: int | None = None

    @property
    def batch_axis(self) -> int:
        """Axis of the samples."""
        return 1 if self.time_axis == 0 else 0

    def input(self, batch: int, gain: float = 1.0, seed: int = _SEED) -> Tensor:
        """Return a random input of a batch size, normal and scaled by ``gain``."""
        shape = list(self.shape)
        shape[self.batch_axis] = batch
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator) * gain


@dataclass
class Network:
    """A module of which every run starts from fresh states and gives a tensor or several.

    Attributes:
        module: the user's module, in eval mode.
        layers: its neurons.
        steps: how often it is called per run where one call is one step; None: once.
        time_axis: axis of the input along which these steps lie; None: each gets all of it.
        merged: it takes batch and time as one axis, ``[B*T, ...]``; ``T`` then, of ``[B, T, ...]``.
        before: called before every run.
        left_out: whether forward returned something else than tensors, such as states.
    """

    module: nn.Module
    layers: Sequence[Layer]
    steps: int | None = None
    time_axis: int | None = None
    merged: int | None = None
    before: Callable[[], None] = lambda: None
    left_out: bool = field(default=False)

    @contextmanager
    def installed(self) -> Iterator[nn.Module]:
        """Let the module's own forward run as the network does."""
        own = self.module.forward

        def forward(x: Tensor) -> Any:
            self.before()
            with fresh_states(self.layers, other_states(self.module, self.layers)):
                return self._tensors(self._answer(own, x))

        vars(self.module)["forward"] = forward
        try:
            yield self.module
        finally:
            del vars(self.module)["forward"]

    def _answer(self, own: Callable[..., Any], x: Tensor) -> Any:
        """Call forward, once or once per step."""
        if self.merged is not None:
            return self._apart(own(x.flatten(0, 1)), self.merged)
        if self.steps is None:
            return own(x)
        keeps_state = "state" in inspect.signature(own).parameters
        collected: list[Sequence[Tensor]] = []
        state: Any = None
        for step in range(self.steps):
            seen = x if self.time_axis is None else x.select(self.time_axis, step)
            answer = own(seen, state) if keeps_state else own(seen)
            if keeps_state:
                state = answer[1]
            tensors = self._tensors(answer)
            collected.append((tensors,) if isinstance(tensors, Tensor) else tensors)
        stacked = tuple(torch.stack(column) for column in zip(*collected, strict=True))
        return stacked[0] if len(stacked) == 1 else stacked

    def _apart(self, answer: Any, steps: int) -> tuple[Tensor, ...]:
        """Return outputs over batch and time as one axis with an axis of time."""
        tensors = self._tensors(answer)
        entries = (tensors,) if isinstance(tensors, Tensor) else tensors
        return tuple(entry.reshape(-1, steps, *entry.shape[1:]) for entry in entries)

    def _tensors(self, answer: Any) -> Tensor | tuple[Tensor, ...]:
        """Return the tensors of what forward returned; states in structures are left out."""
        if isinstance(answer, Tensor):
            return answer
        entries: list[Any] = []
        if isinstance(answer, (tuple, list)):
            entries = list(answer)
        elif isinstance(answer, dict):
            entries = list(answer.values())
        tensors = tuple(entry for entry in entries if isinstance(entry, Tensor))
        self.left_out = self.left_out or len(tensors) < len(entries)
        if not tensors:
            raise ModelError(
                f"forward of {type(self.module).__name__} returns no tensor but "
                f"{type(answer).__name__}; return spikes or membranes"
            )
        return tensors[0] if len(tensors) == 1 else tensors

    def observe(self, example: Tensor) -> list[Neuron]:
        """Run once and return how the neurons were called; see :func:`observe`."""
        with self.installed() as module:
            return observe(module, self.layers, example)

    def __call__(self, example: Tensor) -> tuple[Tensor, ...]:
        """Run once and return the outputs."""
        with self.installed() as module, torch.no_grad():
            answer = module(example)
        return (answer,) if isinstance(answer, Tensor) else tuple(answer)


def network_of(
    module: nn.Module, layers: Sequence[Layer], example: Example
) -> tuple[Network, list[Neuron]]:
    """Return a module as a network, and how its neurons are called.

    Where each call of forward is one time step, as in a module whose training loop runs over time,
    the network calls it ``T`` times.

    Raises:
        UsageError: the number of steps is missing, or another than forward's own.
        ModelError: forward fails, or a neuron is given a state from elsewhere.
    """
    stepping = all(layer.described.layout is None for layer in layers)
    whole = Network(module, layers)
    first: ModelError | None = None
    neurons: list[Neuron] = []
    try:
        neurons = whole.observe(example.input(2))
    except ModelError as error:
        if example.time_axis is None:
            raise
        first = error
    squeezing = [layer for layer in layers if hasattr(layer.module, "num_timesteps")]
    if squeezing and example.time_axis == 1 and (first or not _fits(neurons, example)):
        merged = Network(module, layers, merged=example.shape[1])
        return merged, _or_raise(merged, example, first)
    if first is not None and not stepping:
        raise first
    if first is None and not neurons:
        raise ModelError(f"forward of {type(module).__name__} calls none of its neurons")
    if not stepping or any(len(neuron.calls) > 1 for neuron in neurons):
        _check_steps(neurons, example)
        return whole, neurons
    axis = example.time_axis
    steps = example.timesteps if axis is None else example.shape[axis]
    if steps is None:
        raise UsageError(
            f"forward of {type(module).__name__} is one time step; "
            "give --timesteps, and --time-axis if its input has one value per step"
        )
    stepped = Network(module, layers, steps, axis)
    return stepped, _or_raise(stepped, example, first)


def _or_raise(network: Network, example: Example, first: ModelError | None) -> list[Neuron]:
    """Observe a network; what was wrong at first is what a user must know."""
    try:
        return network.observe(example.input(2))
    except ModelError as error:
        raise first or error from error


def _fits(neurons: Sequence[Neuron], example: Example) -> bool:
    """Return whether neurons that take batch and time as one axis were given just that."""
    rows = 2 * example.shape[1]
    given = [n.calls[0].given[0] for n in neurons if hasattr(n.layer.module, "num_timesteps")]
    return all(size == rows for size in given)


def _check_steps(neurons: Sequence[Neuron], example: Example) -> None:
    """Raise UsageError where neurons run over another number of steps than the user told."""
    wanted = example.timesteps
    for neuron in neurons:
        for run in neuron.runs():
            steps = sum(neuron.calls[number].steps for number in run)
            if wanted is not None and steps != wanted:
                raise UsageError(
                    f"--timesteps is {wanted}, but module '{neuron.layer.path}' runs over {steps} "
                    "steps; drop the option, or give the module's own T and time axis"
                )
