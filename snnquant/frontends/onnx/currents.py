"""What the synapses deliver to a membrane: directly, or through a leaky synaptic current.

Where a membrane sees ``w[t] = kappa*J[t-1] + u[t]`` and ``J[t] = alpha*J[t-1] + r[t]``, then
``w[t] - alpha*w[t-1] = u[t] + kappa*r[t-1] - alpha*u[t-1]``: that is the current that enters the
synaptic filter, at whatever point of the loop the graph happens to hold ``J``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.chains import Chain, Chains
from snnquant.frontends.onnx.polynomials import Coefficient, Poly, is_zero, reduced, same
from snnquant.frontends.onnx.symbols import STATIC, State


if TYPE_CHECKING:
    from snnquant.frontends.onnx.equations import Step


@dataclass(frozen=True)
class SynapticCurrent:
    """What a membrane sees.

    Attributes:
        current: what enters, at the last step.
        alpha: share of the synaptic current that a step keeps; None: there is no filter.
        leak_bias: constant that the leak adds at every step.
        v_init: membrane before the first step.
    """

    current: Poly
    alpha: Coefficient | None
    leak_bias: Coefficient
    v_init: Coefficient


def synaptic_current(step: Step, first: Poly, chain: Chain, chains: Chains) -> SynapticCurrent:
    """Return what drives a membrane.

    Args:
        step: the last step's equation.
        first: the whole equation of the first step.
        chain: the membrane, whose constants count too.
        chains: the way to other steps.
    """
    seen, constant, constant_first = step.seen, step.constant, first.coefficient()
    silent = [a for a in seen.atoms() if isinstance(a, State) and a not in chains.fires]
    if not silent:
        alpha = _static_filter(seen, first, chain, chains)
        if alpha is not None:
            return SynapticCurrent(_without_constant(first), alpha, constant, constant_first)
        if same(constant, constant_first):
            # A bias of the synapse, which every step adds, the first too.
            return SynapticCurrent(seen + Poly.constant(constant), None, 0.0, 0.0)
        return SynapticCurrent(seen, None, constant, constant_first)
    if len(silent) > 1:
        raise ModelError("its membrane sees several synaptic currents, each with a leak of its own")
    (state,) = silent
    kappa = seen.coefficient(state)
    direct = seen.without((state,))
    alpha, rest = self_recurrence(state, chains)
    earlier = chains.shift(direct, -1)
    if earlier is None:
        raise ModelError("its synaptic current is built differently at the last step")
    current = direct + rest.scaled(kappa) - earlier.scaled(alpha)
    bias = current.coefficient()
    if not is_zero(alpha):
        bias = reduced(np.divide(np.multiply(kappa, rest.coefficient()), alpha))
    current = _without_constant(current) + Poly.constant(bias)
    leak_bias = reduced(np.subtract(constant, bias))
    return SynapticCurrent(current, alpha, leak_bias, reduced(np.subtract(constant_first, bias)))


def _without_constant(poly: Poly) -> Poly:
    return poly.without(())


def self_recurrence(state: State, chains: Chains) -> tuple[Coefficient, Poly]:
    """Return what share of itself a silent state keeps, and what it adds at each step.

    Raises:
        ModelError: it does not go on from itself alone.
    """
    definition = chains.equation(state)
    silent = [a for a in definition.atoms() if isinstance(a, State) and a not in chains.fires]
    if len(silent) == 1:
        return definition.coefficient(silent[0]), definition.without((silent[0],))
    if silent:
        raise ModelError("its synaptic current has more than one state")
    # At the first steps the state before is not there yet, only the current that it was made of.
    now = definition.only(lambda p: bool(p) and max(a.time for a in p) == definition.time)
    earlier = chains.shift(now, -1)
    if earlier is None or not earlier.terms or definition.time == STATIC:
        raise ModelError("the export has too few steps to tell its synaptic current")
    product = next(iter(earlier.terms))
    alpha = reduced(np.divide(definition.terms.get(product, 0.0), earlier.terms[product]))
    static = definition.only(lambda p: bool(p) and max(a.time for a in p) == STATIC)
    rest = now + static.scaled(reduced(np.divide(1.0, np.add(1.0, alpha))))
    return alpha, rest


def _static_filter(
    seen: Poly, first: Poly, chain: Chain, chains: Chains
) -> Coefficient | None:
    """Return the share that a synaptic current keeps whose input is the same at every step.

    Such a current grows as ``1, 1 + alpha, 1 + alpha + alpha**2 ...`` times its input.
    """
    start = _without_constant(first)
    product = next(iter(start.terms), None)
    if product is None or len(chain.states) < 2 or seen.time != STATIC or seen.equals(start):
        return None
    second = chains.equation(chain.states[1]).terms.get(product, 0.0)
    growth = np.divide(second, start.terms[product])
    return reduced(growth - 1.0)
