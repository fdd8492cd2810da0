"""Leaky integrator: a read-out that never fires and gives its membrane."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from snnquant.neurons import dynamics
from snnquant.neurons.definition import Choice, Constants, NeuronModel, State

SYNAPTIC = Choice("synaptic", 0, 0, 1, "1: the input is a leaky synaptic current (alpha_syn)")


def step(ops: Any, state: State, current: Any, p: Constants) -> tuple[Any, State, Any]:
    """Integrate and leak; the output is the membrane before the leak.

    where ``i`` is the synaptic current, kept at 0 without ``synaptic``.
    """
    i = state["i"]
    seen = ops.align(current)
    if p.synaptic:
        i = ops.saturate(ops.scale(p.alpha_syn, i) + seen)
        seen = i
    v3 = dynamics.integrate(ops, state["v"], seen)
    v = ops.saturate(dynamics.leak(ops, v3, p.alpha, p.leak_bias))
    return v3, {"v": v, "i": i}, v3


LI = NeuronModel(
    name="LI",
    equation="v3 = v + u; v = alpha * v3 + leak_bias; the output is v3",
    parameters=(
        dynamics.ALPHA,
        dynamics.ALPHA_SYN,
        dynamics.LEAK_BIAS,
        dynamics.V_INIT_WITHOUT_RESET,
    ),
    states=(dynamics.V_STATE, replace(dynamics.I_STATE, only_with=SYNAPTIC.name)),
    choices=(SYNAPTIC,),
    step=step,
    spiking=False,
)
