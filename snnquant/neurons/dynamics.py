"""Building blocks that the neurons share, in the order in which a step uses them.

``ops`` is an arithmetic (:class:`snnquant.neurons.arithmetic.Arithmetic`, which lists all that a
step may use); the text here is the same for real numbers and for integers. Intermediates are exact;
``ops.saturate`` marks the only places where an integer state is limited to its width.
"""

from __future__ import annotations

from typing import Any

from snnquant.neurons.definition import (
    Choice,
    Constants,
    Parameter,
    Quantization,
    Reset,
    StateVariable,
)

V_THRESHOLD = Parameter(
    "v_threshold", Quantization.THRESHOLD, 1.0, "the neuron fires above it", constant="fire_above"
)
DV = Parameter(
    "dv",
    Quantization.MEMBRANE,
    None,
    "what one spike subtracts in a soft reset",
    default_from="v_threshold",
    constant="reset_by",
)
V_RESET = Parameter("v_reset", Quantization.MEMBRANE, 0.0, "membrane after a hard reset")
V_INIT = Parameter(
    "v_init", Quantization.MEMBRANE, None, "membrane before the first step", default_from="v_reset"
)
#: Where nothing resets the membrane, so that there is no ``v_reset`` to start from.
V_INIT_WITHOUT_RESET = Parameter(
    "v_init", Quantization.MEMBRANE, 0.0, "membrane before the first step"
)
ALPHA = Parameter("alpha", Quantization.MULTIPLIER, 1.0, "share of the membrane that a step keeps")
ALPHA_SYN = Parameter(
    "alpha_syn", Quantization.MULTIPLIER, 0.0, "share of the synaptic current that a step keeps"
)
LEAK_BIAS = Parameter(
    "leak_bias", Quantization.MEMBRANE, 0.0, "added to the membrane at every leak"
)
REFRACTORY_STEPS = Parameter(
    "refractory_steps", Quantization.STEPS, 0.0, "steps after a spike whose input is lost"
)
V_MIN = Parameter(
    "v_min", Quantization.MEMBRANE, -3.0e38, "lower bound of membrane and threshold", limit=True
)
THRESHOLD_DECAY = Parameter(
    "threshold_decay", Quantization.MULTIPLIER, 1.0, "share of the adaptation a step keeps"
)
THRESHOLD_BIAS = Parameter(
    "threshold_bias", Quantization.MEMBRANE, 0.0, "added to the adaptation at every step"
)
THRESHOLD_INCREMENT = Parameter(
    "threshold_increment", Quantization.MEMBRANE, 0.0, "added to the adaptation per spike"
)

V_STATE = StateVariable("v", "membrane after the leak", initial="v_init")
I_STATE = StateVariable("i", "synaptic current")
A_STATE = StateVariable("a", "adaptation of the threshold")

RESET = Choice("reset", Reset.HARD, 0, max(Reset), "0 hard, 1 soft, 2 soft by dv, 3 none")
RESET_AFTER_LEAK = Choice("reset_after_leak", 0, 0, 1, "1: the leak comes first, then the reset")
FIRE_ON_EQUAL = Choice("fire_on_equal", 0, 0, 1, "1: fires at v == threshold too", float_only=True)
MAX_SPIKES = Choice("max_spikes", 1, 1, 255, "most spikes that one step can give")
REFRACTORY = Choice("refractory", 0, 0, 1, "0: refractory_steps is not read")
SPIKING_CHOICES = (RESET, RESET_AFTER_LEAK, FIRE_ON_EQUAL, MAX_SPIKES, REFRACTORY)

R_STATE = StateVariable(
    "r", "steps for which input is still blocked", counter=True, only_with=REFRACTORY.name
)


def block(ops: Any, r: Any, current: Any, p: Constants) -> Any:
    """Return the current that reaches the membrane: none while the neuron is refractory."""
    return ops.where(ops.equal(r, 0), current, ops.zeros_like(current)) if p.refractory else current


def integrate(ops: Any, v: Any, current: Any) -> Any:
    """Return ``v + current``, saturated."""
    return ops.saturate(v + current)


def leak(ops: Any, v: Any, alpha: Any, bias: Any) -> Any:
    """Return ``alpha * v + bias``, not yet saturated."""
    return ops.add(ops.scale(alpha, v), bias)


def reset_and_leak(ops: Any, v3: Any, spike: Any, reset_by: Any, p: Constants) -> Any:
    """Return the membrane that the next step starts from.

    ``alpha * reset(v3) + leak_bias``, or ``reset(alpha * v3 + leak_bias)`` with
    ``reset_after_leak``; saturated once, at the end.
    """
    if p.reset_after_leak:
        leaked = leak(ops, v3, p.alpha, p.leak_bias)
        return ops.saturate(reset(ops, leaked, spike, reset_by, p))
    return ops.saturate(leak(ops, reset(ops, v3, spike, reset_by, p), p.alpha, p.leak_bias))


def reset(ops: Any, v: Any, spike: Any, reset_by: Any, p: Constants) -> Any:
    """Return the membrane after the spikes of this step (``reset_by`` per spike where soft)."""
    if p.reset == Reset.HARD:
        return hard_update(ops, v, spike, p.v_reset)
    if p.reset == Reset.NONE:
        return v
    return v - spike * reset_by


def hard_update(ops: Any, x: Any, spike: Any, value: Any) -> Any:
    """Return ``value`` where the neuron fired, else ``x``."""
    return ops.where(ops.equal(spike, 0), x, value)


def soft_update(ops: Any, x: Any, spike: Any, value: Any) -> Any:
    """Return ``x + spike * value``, not yet saturated."""
    return ops.add(x, spike * value)


def count_down(ops: Any, r: Any, spike: Any, p: Constants) -> Any:
    """Return the refractory counter: restarted by a spike, else one less, never below 0."""
    if not p.refractory:
        return r
    return ops.where(ops.equal(spike, 0), ops.maximum(r - 1, 0), p.refractory_steps)


def bound_below(ops: Any, v: Any, v_min: Any) -> Any:
    """Return ``max(v, v_min)``, for membranes and thresholds."""
    return ops.maximum(v, v_min)


def adapted(ops: Any, threshold: Any, a: Any) -> Any:
    """Return ``threshold + a``, saturated, where ``a`` is the adaptation."""
    return ops.saturate(threshold + a)


def adapt(ops: Any, a: Any, spike: Any, p: Constants) -> Any:
    """Return the adaptation that the next step starts from, saturated.

    ``threshold_decay * a + threshold_bias + spike * threshold_increment``.
    """
    decayed = leak(ops, a, p.threshold_decay, p.threshold_bias)
    return ops.saturate(soft_update(ops, decayed, spike, p.threshold_increment))
