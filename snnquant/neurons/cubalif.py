"""Current-based LIF: a leaky synaptic current in front of a leaky membrane."""

from __future__ import annotations

from typing import Any

from snnquant.neurons import dynamics
from snnquant.neurons.definition import Constants, NeuronModel, State


def step(ops: Any, state: State, current: Any, p: Constants) -> tuple[Any, State, Any]:
    """Leak and feed the synaptic current, then one LIF step that sees it in the same step.

    where ``i`` is the synaptic current; the refractory time blocks what reaches the membrane,
    ``i`` goes on (snnTorch ``Synaptic``, Norse 1.1).
    """
    i = ops.saturate(ops.scale(p.alpha_syn, state["i"]) + ops.align(current))
    v3 = dynamics.integrate(ops, state["v"], dynamics.block(ops, state["r"], i, p))
    spike = ops.fire(v3, p.fire_above, p.reset_by, p)
    v = dynamics.reset_and_leak(ops, v3, spike, p.reset_by, p)
    return spike, {"v": v, "i": i, "r": dynamics.count_down(ops, state["r"], spike, p)}, v3


CUBALIF = NeuronModel(
    name="CubaLIF",
    equation="i = alpha_syn * i + u; v3 = v + i; s = v3 > v_threshold; "
    "v = alpha * reset(v3, s) + leak_bias",
    parameters=(
        dynamics.ALPHA,
        dynamics.ALPHA_SYN,
        dynamics.LEAK_BIAS,
        dynamics.V_THRESHOLD,
        dynamics.DV,
        dynamics.V_RESET,
        dynamics.REFRACTORY_STEPS,
        dynamics.V_INIT,
    ),
    states=(dynamics.V_STATE, dynamics.I_STATE, dynamics.R_STATE),
    choices=dynamics.SPIKING_CHOICES,
    step=step,
)
