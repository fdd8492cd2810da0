"""How a quantizable neuron runs over time: in integers, and in integers with real gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnquant.lowering.integers import aligned_scale
from snnquant.neurons import Constants, Quantization, constants_of
from snnquant.neurons.arithmetic import FloatArithmetic, IntegerArithmetic
from snnquant.nn.loop import run_steps
from snnquant.nn.quantized.aware import AwareArithmetic, Pair, onto
from snnquant.nn.quantized.exact import exact_sum, round_through
from snnquant.nn.quantized.mode import QParam
from snnquant.nn.quantized.states import integer_states, state_scale
from snnquant.nn.torch_backend import TorchBackend
from snnquant.numerics import FloatArray, IntRange
from snnquant.ops.schema import RECURRENT_WEIGHT
from snnquant.target import Target

if TYPE_CHECKING:
    from snnquant.nn.quantized.neuron import QNeuron


@dataclass(frozen=True)
class NeuronSettings:
    """What was decided for a neuron on the current of one group of synapses.

    Attributes:
        group: name of the group's first synapse.
        rank: number of feature axes.
        scale: real value of one step of the current, broadcastable along the features.
        current_shift: the membrane's step is ``scale / 2**current_shift``.
        target: arithmetic profile.
        bits: width of recurrent weights.
        gain: power of two of recurrent weights.
    """

    group: str
    rank: int
    scale: FloatArray = field(repr=False)
    current_shift: int
    target: Target
    bits: int
    gain: int = 1

    @property
    def membrane_scale(self) -> FloatArray:
        """Real value of one step of the membrane, broadcastable along the features."""
        return aligned_scale(self.scale / 2**self.current_shift, self.rank)

    def arithmetic(self) -> IntegerArithmetic:
        """Return the arithmetic of the target on torch tensors."""
        return IntegerArithmetic.of_width(
            TorchBackend(),
            leak_shift=self.target.leak_shift,
            leak_rounding=self.target.leak_rounding,
            current_shift=self.current_shift,
            bits=self.target.state_bits,
        )


def run_integers(
    layer: QNeuron, current: Tensor, settings: NeuronSettings, v: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run over time in exact integers.

    Args:
        layer: the neuron, with its integers for these settings.
        current: ``[T, B, ...]``, an integer type.
        settings: what was decided for this current.
        v: states to start from, as the caller gave them.

    Returns:
        Spikes (or real membranes) in float32, and all states as int64.
    """
    held = layer.held(settings.group)
    with torch.no_grad():
        weight = held.get(RECURRENT_WEIGHT)
        outputs, after = run_steps(
            layer.model,
            settings.arithmetic(),
            current.to(torch.int64).unbind(0),
            integer_states(layer, current, settings, held, v),
            _constants(layer, held),
            None if weight is None else lambda last: _recurrent_sum(layer, last, weight, settings),
        )
        return _given_out(layer, torch.stack(outputs), settings), after


def _constants(layer: QNeuron, values: Mapping[str, Any]) -> Constants:
    """Return what the step reads, of values by parameter name."""
    by_constant = {p.constant_name: values[p.name] for p in layer.model.parameters}
    return constants_of(layer.model, by_constant, layer.choices)


def _given_out(layer: QNeuron, output: Tensor, settings: NeuronSettings) -> Tensor:
    """Return spikes in floating point; a read-out's membranes as real values."""
    if layer.model.spiking:
        return output.to(torch.float32)
    return QParam("", scale=settings.membrane_scale).dequantize(output)


def _recurrent_sum(
    layer: QNeuron, last: Tensor, weight: Tensor, settings: NeuronSettings
) -> Tensor:
    """Return the current of the last spikes, as int64."""
    bound = len(weight) * -IntRange.signed(settings.bits).low * settings.gain * layer.max_spikes
    return exact_sum(torch.matmul, last.flatten(1), weight, bound).to(torch.int64).view(last.shape)


def run_aware(
    layer: QNeuron, current: Tensor, settings: NeuronSettings, v: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run over time in exact integers, with the gradients of the real step.

    Args:
        layer: the neuron.
        current: ``[T, B, ...]``, integers in floating point, with gradients.
        settings: what was decided for this current.
        v: states to start from, as the caller gave them.

    Returns:
        Spikes (or real membranes) in float32, and all states as real values in float64, which
        holds every integer that they stand for.
    """
    device, kind = current.device, torch.float32
    integers = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in layer.integers(settings).items()
    }
    scale = torch.as_tensor(settings.membrane_scale, dtype=torch.float64, device=device)
    step = torch.as_tensor(settings.scale, dtype=torch.float64, device=device)
    constants = {
        p.name: _pair(layer, p.name, integers[p.name], settings) for p in layer.model.parameters
    }
    initial = {s.name: constants[s.initial].real for s in layer.model.states if s.initial}
    start, given = {}, layer.named(v)
    for name, whole in integer_states(layer, current, settings, integers, v).items():
        value = (whole * state_scale(layer, name, settings, device)).to(kind)
        source = given[name].to(kind) if name in given else initial.get(name, value)
        start[name] = Pair(whole, onto(source, value))
    currents = [
        Pair(seen.detach().round().to(torch.int64), seen.to(kind) * step.to(kind))
        for seen in current.unbind(0)
    ]
    weight = layer.recurrent_weight
    outputs, after = run_steps(
        layer.model,
        AwareArithmetic(
            settings.arithmetic(), FloatArithmetic(TorchBackend(layer.surrogate)), scale.to(kind)
        ),
        currents,
        start,
        _constants(layer, constants),
        None
        if weight is None
        else lambda last: _aware_recurrent_sum(layer, last, weight, settings, step),
    )
    states = {
        name: onto(pair.real.double(), pair.integer * state_scale(layer, name, settings, device))
        for name, pair in after.items()
    }
    whole = torch.stack([pair.integer for pair in outputs])
    smooth = torch.stack([pair.real for pair in outputs])
    return onto(smooth, _given_out(layer, whole, settings)), states


def _pair(layer: QNeuron, name: str, integers: Tensor, settings: NeuronSettings) -> Pair:
    """Return a constant as integers and as the real value that they stand for."""
    rule = layer.model.parameter(name).rule
    if rule is Quantization.MULTIPLIER:
        value = integers / 2**settings.target.leak_shift
    elif rule is Quantization.STEPS:
        value = integers.double()
    else:
        scale = torch.as_tensor(settings.membrane_scale, dtype=torch.float64)
        value = integers * scale.to(integers.device)
    real = layer.parameter_value(name)
    if real.numel() > 1:
        real = real.reshape(*real.shape, *([1] * (settings.rank - real.dim())))
    real = real.to(torch.float32).expand(value.shape)
    return Pair(integers, onto(real, value))


def _aware_recurrent_sum(
    layer: QNeuron, last: Pair, weight: Tensor, settings: NeuronSettings, step: Tensor
) -> Pair:
    """Return the current of the last spikes; rounded weights have straight gradients."""
    limits = IntRange.signed(settings.bits)
    unit = settings.gain * step.reshape(-1)
    rounded = round_through(weight.double() / unit, limits.low, limits.high)
    exact = _recurrent_sum(layer, last.integer, rounded.detach() * settings.gain, settings)
    smooth = last.real.flatten(1) @ (rounded * unit).to(last.real.dtype)
    return Pair(exact, smooth.view(last.real.shape))
