"""Extended LIF: adaptive threshold, refractory time and a lower bound."""

from __future__ import annotations

from typing import Any

from snnquant.neurons import dynamics
from snnquant.neurons.definition import Constants, NeuronModel, Reset, State


def step(ops: Any, state: State, current: Any, p: Constants) -> tuple[Any, State, Any]:
    """Run a LIF step with threshold ``max(v_threshold + a, v_min)`` and membrane ``>= v_min``.

    where ``a`` is the adaptation, 0 at first. It moves what is compared with and what a soft reset
    subtracts alike; ``dv`` of a soft constant reset stays.
    """
    a = state["a"]
    fire_above = dynamics.bound_below(ops, dynamics.adapted(ops, p.fire_above, a), p.v_min)
    reset_by = p.reset_by
    if p.reset != Reset.SOFT_CONSTANT:
        reset_by = dynamics.bound_below(ops, dynamics.adapted(ops, reset_by, a), p.v_min)
    v3 = dynamics.integrate(ops, state["v"], dynamics.block(ops, state["r"], ops.align(current), p))
    spike = ops.fire(v3, fire_above, reset_by, p)
    v = dynamics.bound_below(ops, dynamics.reset_and_leak(ops, v3, spike, reset_by, p), p.v_min)
    a = dynamics.adapt(ops, a, spike, p)
    return spike, {"v": v, "r": dynamics.count_down(ops, state["r"], spike, p), "a": a}, v3


EXTENDEDLIF = NeuronModel(
    name="ExtendedLIF",
    equation="v3 = v + u; s = v3 > max(v_threshold + a, v_min); "
    "v = max(alpha * reset(v3, s) + leak_bias, v_min); "
    "a = threshold_decay * a + threshold_bias + s * threshold_increment",
    parameters=(
        dynamics.ALPHA,
        dynamics.LEAK_BIAS,
        dynamics.V_THRESHOLD,
        dynamics.DV,
        dynamics.V_RESET,
        dynamics.V_MIN,
        dynamics.THRESHOLD_DECAY,
        dynamics.THRESHOLD_BIAS,
        dynamics.THRESHOLD_INCREMENT,
        dynamics.REFRACTORY_STEPS,
        dynamics.V_INIT,
    ),
    states=(dynamics.V_STATE, dynamics.R_STATE, dynamics.A_STATE),
    choices=dynamics.SPIKING_CHOICES,
    step=step,
)
