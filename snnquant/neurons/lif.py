"""Leaky integrate-and-fire neuron; with ``alpha = 1`` and no bias it is integrate-and-fire (IF)."""

from __future__ import annotations

from typing import Any

from snnquant.neurons import dynamics
from snnquant.neurons.definition import Constants, NeuronModel, State


def step(ops: Any, state: State, current: Any, p: Constants) -> tuple[Any, State, Any]:
    """Integrate, fire, reset, leak (seed, figure "spike input").

    where ``v`` is the membrane after the last leak, ``r`` the refractory counter.
    """
    v3 = dynamics.integrate(ops, state["v"], dynamics.block(ops, state["r"], ops.align(current), p))
    spike = ops.fire(v3, p.fire_above, p.reset_by, p)
    v = dynamics.reset_and_leak(ops, v3, spike, p.reset_by, p)
    return spike, {"v": v, "r": dynamics.count_down(ops, state["r"], spike, p)}, v3


LIF = NeuronModel(
    name="LIF",
    equation="v3 = v + u; s = v3 > v_threshold; v = alpha * reset(v3, s) + leak_bias",
    parameters=(
        dynamics.ALPHA,
        dynamics.LEAK_BIAS,
        dynamics.V_THRESHOLD,
        dynamics.DV,
        dynamics.V_RESET,
        dynamics.REFRACTORY_STEPS,
        dynamics.V_INIT,
    ),
    states=(dynamics.V_STATE, dynamics.R_STATE),
    choices=dynamics.SPIKING_CHOICES,
    step=step,
)
