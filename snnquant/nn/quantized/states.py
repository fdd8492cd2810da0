"""The states that callers hand to a quantized neuron, as integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnquant.errors import NumericalError, UsageError
from snnquant.numerics import INT32, IntRange
from snnquant.ops.schema import LAST_SPIKES

if TYPE_CHECKING:
    from snnquant.nn.quantized.neuron import QNeuron
    from snnquant.nn.quantized.running import NeuronSettings


def integer_states(
    layer: QNeuron,
    current: Tensor,
    settings: NeuronSettings,
    held: Mapping[str, Tensor],
    v: Any,
) -> dict[str, Tensor]:
    """Return all states of a neuron before the first step, as int64 ``[B, ...]``.

    Args:
        layer: the neuron.
        current: ``[T, B, ...]``.
        settings: what was decided for this current.
        held: integer constants by parameter name.
        v: states as the caller gave them; a floating-point one is a real value.

    Raises:
        UsageError: a state has another shape, is no tensor of numbers, or leaves its range.
        NumericalError: a state holds NaN or infinite values.
    """
    shape = current.shape[1:]
    start = {
        s.name: held[s.initial].expand(shape)
        if s.initial
        else torch.zeros(shape, dtype=torch.int64, device=current.device)
        for s in layer.model.states
    }
    if layer.recurrent_weight is not None:
        start[LAST_SPIKES] = torch.zeros(shape, dtype=torch.int64, device=current.device)
    for name, value in layer.named(v).items():
        if not isinstance(value, Tensor) or value.is_complex() or value.dtype is torch.bool:
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(
                f"{layer.label}: state {name} is {kind}, must be a tensor of integers on the "
                "membrane's scale or of real values"
            )
        start[name] = _integers(layer, name, layer.fitting(name, value, shape), settings)
    return start


def _integers(layer: QNeuron, name: str, value: Tensor, settings: NeuronSettings) -> Tensor:
    limits, counts = settings.target.state_range, name in counted_states(layer)
    if counts:
        limits = IntRange(0, layer.max_spikes if name == LAST_SPIKES else INT32.high)
    if value.is_floating_point():
        if not bool(torch.isfinite(value).all()):
            raise NumericalError(f"{layer.label}: state {name} holds NaN or infinite values")
        value = (value.double() / state_scale(layer, name, settings, value.device)).round()
        if not counts:
            return value.clamp(limits.low, limits.high).to(torch.int64)
    # A narrow type cannot be compared with limits beyond it.
    value = value.to(torch.int64)
    if bool(((value < limits.low) | (value > limits.high)).any()):
        raise UsageError(
            f"{layer.label}: state {name} leaves {limits.low} to {limits.high}; in integers a "
            f"membrane has the {settings.target.state_bits} bits of target "
            f"{settings.target.name} and is on its own scale"
        )
    return value


def counted_states(layer: QNeuron) -> set[str]:
    """Return the names of the states that are counts, and not on the membrane's scale."""
    return {s.name for s in layer.model.states if s.counter} | {LAST_SPIKES}


def state_scale(
    layer: QNeuron, name: str, settings: NeuronSettings, device: torch.device
) -> Tensor:
    """Return the real value of one step of a state: 1 for counts."""
    scale = np.ones(1) if name in counted_states(layer) else settings.membrane_scale
    return torch.as_tensor(scale, dtype=torch.float64, device=device)
