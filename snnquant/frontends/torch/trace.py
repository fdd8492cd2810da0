"""Runs a network once to see how its neurons are called, then lets it export them as calls.

Every call becomes one node :data:`CALL` that stands for the neuron's steps of that call; which call
goes on from which is known from the run. :mod:`snnquant.frontends.torch.fold` makes one neuron of
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from snnquant.errors import ModelError, first_line
from snnquant.frontends.torch.layers import Layer
from snnquant.frontends.torch.translation import Array, Described, Signals

#: Domain and op of the nodes that stand for calls until they are folded; no model keeps them.
CALL_DOMAIN = "snnquant.torch"
CALL = "Call"
LAYER, NUMBER = "layer", "number"
#: Outputs of a call, in order; the next call reads the last, so that torch keeps the one before.
SPIKES, MEMBRANE, SYNAPTIC, CHAIN = range(4)
#: Neurons of a recurrence whose matrix is built; beyond it a matrix would not fit anyway.
_MOST_RECURRENT = 1 << 13


@dataclass
class Call:
    """One call of one neuron module.

    Attributes:
        begins: it starts from the initial state.
        steps: how many time steps it holds.
        current: what the neuron integrates, ``[steps, B, ...]``, without recurrence.
        output: what the module gave, ``[steps, B, ...]``; None: nothing to compare with.
        given: shape of what the module was given.
    """

    begins: bool
    steps: int
    current: Tensor
    output: Tensor | None
    given: torch.Size


@dataclass
class Neuron:
    """One neuron module with what a run told of it.

    Attributes:
        layer: the module and what it computes.
        calls: its calls, in order.
        weight: recurrent weight ``[N, N]`` from neuron to neuron, if it has one.
        bias: what the recurrence adds to the current whatever fires: ``[1 or steps, 1, ...]``.
    """

    layer: Layer
    calls: list[Call] = field(default_factory=list)
    weight: Array | None = None
    bias: Tensor | None = None

    @property
    def described(self) -> Described:
        """What the module computes."""
        return self.layer.described

    @property
    def features(self) -> tuple[int, ...]:
        """Shape of the neurons of one sample."""
        return tuple(self.calls[0].current.shape[2:])

    def runs(self) -> list[list[int]]:
        """Return the numbers of the calls that go on from one another, run by run."""
        found: list[list[int]] = []
        for number, call in enumerate(self.calls):
            if call.begins:
                found.append([])
            found[-1].append(number)
        return found


def _current(described: Described, given: Tensor) -> Tensor:
    """Return the current of a call with time first, ``[T, B, ...]`` or ``[B, ...]``."""
    current = described.translation.feed(described.unfold(given))
    return current.transpose(0, 1) if described.layout == 1 else current


def reset_all(layers: Sequence[Layer]) -> None:
    """Forget every state that a module holds."""
    for layer in layers:
        layer.described.reset()


@contextmanager
def _forwards(
    layers: Sequence[Layer], make: Callable[[Layer], Callable[..., Any]]
) -> Iterator[None]:
    """Put another forward in the place of every neuron's own; its states are fresh around it."""
    reset_all(layers)
    for layer in layers:
        setattr(layer.module, "forward", make(layer))  # noqa: B010
    try:
        yield
    finally:
        for layer in layers:
            delattr(layer.module, "forward")
        reset_all(layers)


def observe(net: nn.Module, layers: Sequence[Layer], example: Tensor) -> list[Neuron]:
    """Run a network once and return how its neurons were called, in the order of their first call.

    Args:
        net: in eval mode.
        layers: its neurons.
        example: an input of the network.

    Raises:
        ModelError: forward fails, or a neuron is given a state from elsewhere.
    """
    neurons: dict[int, Neuron] = {}

    def recording(layer: Layer) -> Callable[..., Any]:
        own, described = layer.module.forward, layer.described

        def forward(*args: Any, **kwargs: Any) -> Any:
            where = f"module '{layer.path}' ({described.translation.framework})"
            try:
                begins = described.begins(args, kwargs)
            except ModelError as error:
                raise ModelError(f"{where}: {error}") from error
            given = described.given(args, kwargs).detach().clone()
            answer = own(*args, **kwargs)
            described.remember(answer)
            current = _current(described, given).detach()
            output = described.output(answer).detach()
            if described.layout is None:
                current, output = current.unsqueeze(0), output.unsqueeze(0)
            elif described.layout == 1:
                output = output.transpose(0, 1)
            compared = None if output.shape != current.shape else output.clone()
            neuron = neurons.setdefault(id(layer), Neuron(layer))
            if not neuron.calls and not begins:
                raise ModelError(f"{where} starts from a stale state; reset it inside forward")
            neuron.calls.append(Call(begins, current.shape[0], current, compared, given.shape))
            return answer

        return forward

    with _forwards(layers, recording), torch.no_grad():
        run(net, example)
    found = list(neurons.values())
    for neuron in found:
        _learn_recurrence(neuron)
    return found


def run(net: nn.Module, example: Tensor) -> Any:
    """Run a network, with ModelError for whatever its forward raises."""
    try:
        return net(example)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"forward of {type(net).__name__} fails for an input {list(example.shape)}: "
            f"{first_line(error)}; give the shape that it takes with --input-shape"
        ) from error


def _learn_recurrence(neuron: Neuron) -> None:
    """Write an affine recurrence as a matrix and a bias, by feeding it every single spike."""
    recurrence = neuron.described.translation.recurrence
    if recurrence is None:
        return
    where = f"module '{neuron.layer.path}' ({neuron.described.translation.framework})"
    features = neuron.features
    count = int(torch.Size(features).numel())
    if count > _MOST_RECURRENT:
        raise ModelError(f"{where}: a recurrence of {count} neurons is too large for a matrix")
    with torch.no_grad():
        bias = recurrence(torch.zeros(1, *features)).reshape(1, *features)
        single = torch.eye(count).reshape(count, *features)
        weight = recurrence(single).reshape(count, *features) - bias
        together = recurrence(torch.ones(1, *features)).reshape(1, *features)
    if not torch.allclose(weight.sum(0, keepdim=True) + bias, together, rtol=1e-3, atol=1e-4):
        raise ModelError(f"{where}: its recurrence is not linear; take Linear or Conv layers")
    neuron.weight = weight.reshape(count, count).numpy()
    if bool(bias.any()):
        first = neuron.described.first_feedback
        steps = neuron.calls[0].steps if first else 1
        late = (torch.arange(steps) >= first).float().reshape(-1, *(1 for _ in bias.shape))
        neuron.bias = late * bias


@contextmanager
def calls_as_nodes(neurons: Sequence[Neuron]) -> Iterator[Counter[int]]:
    """Let every neuron export each of its calls as one node of domain :data:`CALL_DOMAIN`.

    Yields the count of calls, which starts anew with each run of the network.
    """
    by_layer = {id(neuron.layer): (index, neuron) for index, neuron in enumerate(neurons)}
    counts: Counter[int] = Counter()
    chains: dict[int, Tensor] = {}

    def symbolic(layer: Layer) -> Callable[..., Any]:
        index, neuron = by_layer[id(layer)]
        described = layer.described

        def forward(*args: Any, **kwargs: Any) -> Any:
            current = _current(described, described.given(args, kwargs))
            if neuron.bias is not None:
                current = current + (neuron.bias[0] if described.layout is None else neuron.bias)
            number = counts[index]
            counts[index] += 1
            goes_on = number < len(neuron.calls) and not neuron.calls[number].begins
            outputs = torch.onnx.ops.symbolic_multi_out(
                f"{CALL_DOMAIN}::{CALL}",
                [current, chains[index]] if goes_on else [current],
                attrs={LAYER: index, NUMBER: number},
                dtypes=[current.dtype] * 4,
                shapes=[current.shape] * 4,
                version=1,
            )
            chains[index] = outputs[CHAIN]
            outputs = list(outputs)[:CHAIN]
            if described.layout == 1:
                outputs = [output.transpose(0, 1) for output in outputs]
            return described.answer(Signals(*outputs))

        return forward

    with _forwards([neuron.layer for neuron in neurons], symbolic):
        yield counts


@contextmanager
def fresh_states(layers: Sequence[Layer], others: Sequence[nn.Module]) -> Iterator[None]:
    """Run with fresh states, and leave every state as it was: torch may trace the inside.

    Args:
        layers: the neurons.
        others: further modules that keep a state, which their ``reset()`` forgets.
    """
    modules = [*(layer.module for layer in layers), *others]
    held = [_snapshot(module) for module in modules]
    reset_all(layers)
    for module in others:
        module.reset()  # type: ignore[operator]
    try:
        yield
    finally:
        for module, (attributes, inner) in zip(modules, held, strict=True):
            own = vars(module)
            own.clear()
            own.update(attributes)
            for name, content in inner.items():
                own[name].clear()
                own[name].update(content)


def _snapshot(module: nn.Module) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return a module's attributes, and the content of those dicts in which it keeps tensors."""
    attributes = dict(vars(module))
    inner = {n: dict(v) for n, v in attributes.items() if n in ("_buffers", "_memories")}
    return attributes, inner
