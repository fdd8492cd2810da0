"""Holds what a file says of a layer to what quantization can have made of that layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnquant.lowering.integers import SynapseIntegers, sum_bound
from snnquant.neurons import Parameter, Quantization
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.running import NeuronSettings
from snnquant.nn.quantized.synapse import QSynapse, SynapseSettings
from snnquant.numerics import INT32, FloatArray, IntRange
from snnquant.ops.schema import CURRENT_SHIFT, RECURRENT_WEIGHT
from snnquant.target import Target

_MAX_RANK = 32


def check_layer(layer: QSynapse | QNeuron, settings: Any, integers: Any) -> None:
    """Raise ValueError for settings or integers that this layer cannot have.

    Args:
        layer: synapse or neuron.
        settings: of a synapse its settings, of a neuron a list of them.
        integers: of a synapse its integers, of a neuron constants by group and name.
    """
    try:
        if isinstance(layer, QSynapse):
            _check_synapse(layer, settings, integers)
            return
        _require(len({use.group for use in settings}) == len(settings), "groups")
        for use in settings:
            _check_neuron(layer, use, integers[use.group])
    except ValueError as error:
        raise ValueError(f"{layer.label} cannot have the {error} that are stored") from None


def _check_synapse(layer: QSynapse, settings: SynapseSettings, made: SynapseIntegers) -> None:
    channels = layer.weight.shape[layer.channel_axis]
    _check_shared(settings, settings.scale, 1)
    _require(settings.scale.size in (1, channels), "scales")
    flags = (settings.encoder, settings.enters, settings.reads_out)
    _require(all(type(flag) is bool for flag in flags), "flags")
    _require(type(settings.factor) is float and 0 < settings.factor < math.inf, "factor")
    whole = type(settings.low) is type(settings.high) is int
    _require(whole and INT32.low <= settings.low <= settings.high <= INT32.high, "limits")
    weight, bias = made.weight, made.bias
    _require(weight.shape == tuple(layer.weight.shape) and bias.shape == (channels,), "shapes")
    _require(_within(weight, IntRange.signed(settings.bits)), "weights")
    sums = settings.gain * sum_bound(weight, layer.channel_axis, settings.source.reach)
    _require(_within(bias, INT32) and _within(sums + np.abs(bias), INT32), "sums")


def _check_neuron(layer: QNeuron, settings: NeuronSettings, held: Mapping[str, Any]) -> None:
    _require(type(settings.rank) is int and 0 <= settings.rank <= _MAX_RANK, "axes")
    axes = max(settings.rank, 1)
    _check_shared(settings, settings.scale, axes)
    size = None if layer.recurrent_weight is None else layer.recurrent_weight.shape
    wanted = {p.name for p in layer.model.parameters}
    _require(set(held) == wanted | (set() if size is None else {RECURRENT_WEIGHT}), "constants")
    _require(all(array.dtype == np.int64 and array.size for array in held.values()), "types")
    np.broadcast_shapes(settings.membrane_scale.shape, *(held[name].shape for name in wanted))
    for parameter in layer.model.parameters:
        _require(held[parameter.name].ndim == axes, "shapes")
        limits = _limits(parameter, settings.target)
        _require(_within(held[parameter.name], limits), f"values of {parameter.name}")
    if size is not None:
        weight, limits = held[RECURRENT_WEIGHT], IntRange.signed(settings.bits)
        limits = IntRange(limits.low * settings.gain, limits.high * settings.gain)
        _require(weight.shape == tuple(size) and _within(weight, limits), "recurrent weights")


def _check_shared(
    settings: SynapseSettings | NeuronSettings, scale: FloatArray, most_axes: int
) -> None:
    """Check what synapses and neurons both have."""
    _require(
        scale.dtype == np.float64 and 1 <= scale.ndim <= most_axes and scale.size > 0, "scales"
    )
    _require(bool((np.isfinite(scale) & (scale > 0)).all()), "scales")
    _require(type(settings.group) is str, "group")
    _require(type(settings.bits) is int and 2 <= settings.bits <= 8, "widths")
    gain, shift = settings.gain, settings.current_shift
    _require(type(gain) is int and 1 <= gain <= INT32.high and gain & (gain - 1) == 0, "gain")
    _require(
        type(shift) is int and CURRENT_SHIFT.low <= shift <= CURRENT_SHIFT.high, "current shift"
    )


def _limits(parameter: Parameter, target: Target) -> IntRange:
    if parameter.rule is Quantization.MULTIPLIER:
        return IntRange(0, 2**target.leak_shift)
    if parameter.rule is Quantization.STEPS:
        return IntRange(0, INT32.high)
    return target.state_range


def _within(values: Any, limits: IntRange) -> bool:
    return bool((values >= limits.low).all() and (values <= limits.high).all())


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
