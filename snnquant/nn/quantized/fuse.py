"""Folds batch normalization into the synapse in front of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snnquant.errors import UsageError
from snnquant.nn.quantized.follower import Follower, NeuronCall
from snnquant.nn.quantized.link import following
from snnquant.nn.quantized.mode import Mode
from snnquant.nn.quantized.module import QModule
from snnquant.nn.quantized.names import Effect, function_of
from snnquant.nn.quantized.tracker import values_of
from snnquant.nn.quantized.wire import Wire, stand_in, without_data

_SYNAPSES = (nn.Linear, nn.Conv1d, nn.Conv2d)
_FUNCTIONS = frozenset({"linear", "conv1d", "conv2d"})
#: What leaves the channels of a current where batch normalization sees them.
_IN_ORDER = (Effect.SAME, Effect.RESHAPED)
#: Questions about a value that do not use it.
_ASKING = frozenset({"size", "dim", "__get__", "__len__", "numel", "is_floating_point"})


def fuse_conv_bn(model: nn.Module, example_input: Any = None) -> nn.Module:
    """Fold every batch normalization behind a linear map or convolution into its weights.

    ``W' = W * gamma / sqrt(var + eps)`` per output channel, ``b' = (b - mean) * gamma /
    sqrt(var + eps) + beta``, in float64; the normalization becomes an ``nn.Identity``. Which layer
    stands in front of which is found by following forward, not by names or order.

    Args:
        model: in eval mode; changed in place.
        example_input: an input (or tuple of forward's arguments), for models whose forward
            decides by shapes. Without one, a ``BatchNorm1d`` behind a linear map is taken to
            normalize the map's features.

    Returns:
        The model.

    Raises:
        UsageError: the model is in training mode, forward cannot be followed, or a current goes
            somewhere else besides its normalization.
    """
    norms = {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm)}
    for name, norm in norms.items():
        if norm.training:
            raise UsageError(
                f"fuse_conv_bn: batch normalization '{name}' is in training mode; "
                "call model.eval() first"
            )
        if norm.running_mean is None or norm.running_var is None:
            raise UsageError(
                f"fuse_conv_bn: batch normalization '{name}' keeps no running statistics, so that "
                "it depends on the batch; train it with track_running_stats=True"
            )
    if not norms:
        return model
    if any(isinstance(m, QModule) and m.mode is not Mode.FLOAT for m in model.modules()):
        raise UsageError(
            f"fuse_conv_bn: {type(model).__name__} is not in float mode; call dequantize() first"
        )
    finder = _Finder(model)
    with following(model, finder), torch.no_grad():
        if example_input is None:
            remedy = "give example_input, a batch of any size"
            with without_data(f"fuse_conv_bn: forward of {type(model).__name__}", remedy):
                finder.read_out(model(Wire(finder)))
        else:
            arguments = example_input if isinstance(example_input, tuple) else (example_input,)
            with finder:
                finder.read_out(model(*arguments))
    for synapse, norm in finder.pairs():
        _fold(synapse, norm)
        _replace(model, norm)
    return model


class _Finder(Follower):
    """Notes which normalization sees the current of which synapse."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {module: name for name, module in model.named_modules()}
        self._owners: dict[int, list[nn.Module]] = {}
        for module in model.modules():
            for parameter in module._parameters.values():
                self._owners.setdefault(id(parameter), []).append(module)
        self._by_weight = {
            id(m._parameters["weight"]): m
            for m in model.modules()
            if isinstance(m, _SYNAPSES) and "weight" in m._parameters
        }
        self._by_mean = {
            id(m.running_mean): m for m in model.modules() if isinstance(m, _BatchNorm)
        }
        self._currents: dict[int, tuple[Any, nn.Module]] = {}
        self._norms: dict[nn.Module, nn.Module] = {}
        self._elsewhere: set[nn.Module] = set()
        self._alone: set[nn.Module] = set()

    def called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Note what a function used."""
        used = [self._currents[id(v)][1] for v in values_of(args) if id(v) in self._currents]
        if name in _FUNCTIONS:
            weight = args[1] if len(args) > 1 else kwargs.get("weight")
            if id(weight) in self._by_weight:
                self._produced(result, self._by_weight[id(weight)])
        elif name == "batch_norm":
            mean = args[1] if len(args) > 1 else kwargs.get("running_mean")
            norm = self._by_mean.get(id(mean))
            if norm is not None and used:
                self._normalized(used[0], norm, args[0] if args else kwargs.get("input"))
                return
            if norm is not None:
                self._alone.add(norm)
        elif used and (entry := function_of(name)) is not None and entry.effect in _IN_ORDER:
            self._produced(result, used[0])
            return
        if name not in _ASKING:
            self._elsewhere.update(used)

    def synapse(self, module: Any, x: Any) -> Any:
        """Note a quantizable synapse."""
        result = stand_in(self, module, x)
        self._elsewhere.update(self._users(x))
        self._produced(result, module)
        return result

    def neuron(self, module: Any, x: Any, call: NeuronCall) -> None:
        """Note that a neuron uses a current."""
        self._elsewhere.update(self._users(x))

    def _users(self, x: Any) -> Iterator[nn.Module]:
        if id(x) in self._currents:
            yield self._currents[id(x)][1]

    def _produced(self, result: Any, module: nn.Module) -> None:
        for value in values_of(result):
            self._currents[id(value)] = (value, module)

    def read_out(self, outputs: Any) -> None:
        """Note what the model returns."""
        for value in values_of(outputs):
            self._elsewhere.update(self._users(value))

    def _normalized(self, synapse: Any, norm: Any, value: Any) -> None:
        features = synapse.weight.shape[0]
        last = isinstance(synapse, nn.Linear) and isinstance(value, Tensor)
        if norm.num_features != features or (last and math.prod(value.shape[1:]) != features):
            raise UsageError(
                f"fuse_conv_bn: batch normalization '{self._names[norm]}' normalizes other axes "
                f"than the {features} channels of '{self._names[synapse]}'; they cannot become one"
            )
        known = self._norms.setdefault(synapse, norm)
        if known is not norm:
            raise UsageError(
                f"fuse_conv_bn: '{self._names[synapse]}' is used in front of several batch "
                "normalizations; give each use a layer of its own"
            )

    def pairs(self) -> list[tuple[Any, Any]]:
        """Return the synapses and their normalizations, checked."""
        if len(set(self._norms.values())) != len(self._norms):
            raise UsageError(
                "fuse_conv_bn: one batch normalization is used behind several layers; "
                "give each layer its own"
            )
        for synapse, norm in self._norms.items():
            if synapse in self._elsewhere:
                raise UsageError(
                    f"fuse_conv_bn: the current of '{self._names[synapse]}' is used besides its "
                    f"batch normalization '{self._names[norm]}'; they cannot become one"
                )
            if norm in self._alone:
                raise UsageError(
                    f"fuse_conv_bn: batch normalization '{self._names[norm]}' is used elsewhere "
                    f"besides behind '{self._names[synapse]}'; give each use a layer of its own"
                )
            own = [synapse._parameters.get(name) for name in ("weight", "bias")]
            if own[0] is None or any(len(self._owners[id(p)]) > 1 for p in own if p is not None):
                raise UsageError(
                    f"fuse_conv_bn: the weights of '{self._names[synapse]}' are shared with "
                    "another layer or computed from other parameters; give it weights of its own"
                )
        return list(self._norms.items())


def _fold(synapse: Any, norm: Any) -> None:
    """Change weight and bias of a synapse by its normalization."""
    with torch.no_grad():
        gain = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = torch.zeros_like(gain)
        if norm.affine:
            gain, shift = gain * norm.weight.double(), norm.bias.double()
        weight = synapse.weight.double() * gain.reshape(-1, *([1] * (synapse.weight.dim() - 1)))
        old = 0 if synapse.bias is None else synapse.bias.double()
        bias = (old - norm.running_mean.double()) * gain + shift
        kind = synapse.weight.dtype
        synapse.weight.copy_(weight.to(kind))
        if synapse.bias is None:
            synapse.bias = nn.Parameter(bias.to(kind), requires_grad=synapse.weight.requires_grad)
        else:
            synapse.bias.copy_(bias.to(kind))


def _replace(model: nn.Module, norm: nn.Module) -> None:
    """Put an identity in every place where a normalization stood."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is norm:
                setattr(parent, name, nn.Identity())
