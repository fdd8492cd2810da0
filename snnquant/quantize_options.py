"""What a user may choose of a quantization, checked, and the plan that a model has with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from snnquant.errors import UsageError
from snnquant.lowering.layer_options import LayerOptions
from snnquant.lowering.plan import InputScale, Plan, make_plan
from snnquant.observers import OBSERVERS
from snnquant.ops.schema import STATE_BITS
from snnquant.rounding import AUTO, METHODS, WITH_SAMPLES, WITHOUT_SAMPLES
from snnquant.target import Target

#: What to do where states can leave the width that they are to have.
SATURATE, ERROR = OVERFLOWS = ("saturate", "error")


@dataclass(frozen=True)
class QuantizeOptions:
    """What a user may choose.

    Attributes:
        target: arithmetic profile.
        weight_bits: 2 to 8.
        input_bits: 2 to 8, for analog inputs.
        per_channel: one weight scale per output channel.
        readout_as: "float" (dequantized) or "int" (integers, scale in the metadata).
        fuse: make one op of a synapse and the neurons behind it.
        rounding: name of a method of :data:`snnquant.rounding.METHODS`.
        layers: other widths of single layers, by the name of the synapse or neuron.
        state_bits: width that all states are to have; None: as they need, up to the target's.
        overflow: one of :data:`OVERFLOWS`, where that is not proved to suffice.
    """

    target: Target
    weight_bits: int
    input_bits: int
    per_channel: bool
    readout_as: str = "float"
    fuse: bool = False
    rounding: str = WITHOUT_SAMPLES
    layers: Mapping[str, LayerOptions] = field(default_factory=dict)
    state_bits: int | None = None
    overflow: str = SATURATE

    def wanted_state_bits(self, plan: Plan) -> dict[str, int]:
        """Return the widths that states are to have, by neuron, where one was asked for."""
        found = {}
        for key in plan.neurons:
            own = self.layers.get(key.name or "", LayerOptions()).state_bits
            bits = self.state_bits if own is None else own
            if bits is not None:
                found[key.name or ""] = bits
        return found


def choose_options(
    target: Target,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    per_channel: bool | None = None,
    readout_as: str = "float",
    *,
    fuse: bool = False,
    rounding: str = AUTO,
    samples: bool = False,
    layers: Mapping[str, LayerOptions] | None = None,
    state_bits: int | None = None,
    overflow: str = SATURATE,
) -> QuantizeOptions:
    """Fill what the user left open with the target's defaults, and check it against the target.

    With samples to look at the method of rounding is the best that does, else the best that does
    not.

    Raises:
        UsageError: the target does not have that width or granularity, or the method of rounding
            looks at samples and there are none.
    """
    if target.input_observer not in OBSERVERS:
        known = ", ".join(OBSERVERS)
        raise UsageError(
            f"target {target.name} names the observer '{target.input_observer}'; use one of {known}"
        )
    bits = target.weight_bits if weight_bits is None else weight_bits
    _check_weight_bits(bits, target)
    for name, chosen in (layers or {}).items():
        if chosen.weight_bits is not None:
            _check_weight_bits(chosen.weight_bits, target, f"layer '{name}': ")
        _check_state_bits(chosen.state_bits, target, f"layer '{name}': ")
    _check_state_bits(state_bits, target)
    inputs = target.input_bits if input_bits is None else input_bits
    if type(inputs) is not int or not 2 <= inputs <= 8:
        raise UsageError(f"analog inputs can have 2 to 8 bits, not {inputs!r}")
    if rounding == AUTO:
        rounding = WITH_SAMPLES if samples else WITHOUT_SAMPLES
    if METHODS[rounding].needs_samples and not samples:
        raise UsageError(f"--rounding {rounding} looks at samples; give --data")
    return QuantizeOptions(
        target,
        bits,
        inputs,
        target.per_channel if per_channel is None else per_channel,
        readout_as,
        fuse,
        rounding,
        dict(layers or {}),
        state_bits,
        overflow,
    )


def _check_state_bits(bits: int | None, target: Target, where: str = "") -> None:
    """Raise UsageError for a width of states that the target does not have."""
    if bits is not None and not STATE_BITS.low <= bits <= target.state_bits:
        raise UsageError(
            f"{where}target {target.name} has states of {STATE_BITS.low} to {target.state_bits} "
            f"bits, not {bits}"
        )


def _check_weight_bits(bits: int, target: Target, where: str = "") -> None:
    """Raise UsageError for a width that the target does not have."""
    if bits not in target.weight_bits_allowed:
        allowed = ", ".join(map(str, target.weight_bits_allowed))
        raise UsageError(f"{where}target {target.name} has no {bits}-bit weights, only {allowed}")


def plan_model(
    model: ir.Model,
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float] | None = None,
    keep_float: Collection[str] = (),
    float_spikes: Mapping[str, InputScale] | None = None,
    *,
    analog: bool = True,
) -> Plan:
    """Return what becomes of a model's values, before scales are chosen.

    Args:
        model: canonical float graph.
        scales: calibrated input scales by value name.
        options: target, widths.
        rates: calibrated firing rates by neuron name, where known.
        keep_float: names of nodes that are not to become integers.
        float_spikes: how the spikes of neurons that stay float enter the integers, by value name.
        analog: see :func:`~snnquant.lowering.plan.make_plan`.
    """
    return make_plan(
        model,
        options.target,
        scales,
        rates=rates,
        input_bits=options.input_bits,
        weight_bits=options.weight_bits,
        layers=options.layers,
        keep_float=keep_float,
        float_spikes=float_spikes,
        analog=analog,
    )
