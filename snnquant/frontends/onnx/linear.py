"""Silent states: leaky integrators that read a network out, and running sums."""

from __future__ import annotations

from dataclasses import dataclass

from snnquant.errors import ModelError
from snnquant.frontends.onnx.chains import Chains
from snnquant.frontends.onnx.currents import self_recurrence
from snnquant.frontends.onnx.polynomials import Coefficient, Poly, is_zero
from snnquant.frontends.onnx.symbols import State


@dataclass(frozen=True)
class Integrator:
    """A state ``v[t] = alpha*v[t-1] + i[t]``, ``i[t] = alpha_syn*i[t-1] + current[t]``.

    Attributes:
        current: at step :attr:`time`.
        time: the step.
        alpha: share of itself that a step keeps.
        alpha_syn: share of the synaptic current that a step keeps; None: there is none.
    """

    current: Poly
    time: int
    alpha: Coefficient
    alpha_syn: Coefficient | None = None


def read_linear(state: State, chains: Chains) -> Integrator:
    """Read a silent state as an integrator.

    Raises:
        ModelError: it is no linear filter of first or second order.
    """
    definition = chains.equation(state)
    silent = [a for a in definition.atoms() if isinstance(a, State) and a not in chains.fires]
    if len(silent) == 1:
        (before,) = silent
        alpha, rest = self_recurrence(before, chains)
        direct = definition.without((before,))
        current = _entering(direct, definition.coefficient(before), alpha, rest, chains)
        return Integrator(current, state.time, alpha)
    if len(silent) == 2 and state.follows in silent:
        own = state.follows
        other = next(a for a in silent if a is not own)
        alpha, rest = self_recurrence(other, chains)
        direct = definition.without((own,), (other,))
        current = _entering(direct, definition.coefficient(other), alpha, rest, chains)
        return Integrator(current, state.time, definition.coefficient(own), alpha)
    if not silent:
        alpha, rest = self_recurrence(state, chains)
        return Integrator(rest, state.time, alpha)
    raise ModelError("a state that never fires goes on from more than itself and one other")


def _entering(
    direct: Poly, kappa: Coefficient, alpha: Coefficient, rest: Poly, chains: Chains
) -> Poly:
    earlier = chains.shift(direct, -1)
    if earlier is None:
        raise ModelError("a read-out sees other currents at its last step than before")
    return direct + rest.scaled(kappa) - earlier.scaled(alpha)


def at_step(found: Integrator, time: int, chains: Chains) -> Poly | None:
    """Return what an integrator holds at an early step, in terms of its currents."""
    membrane = Poly({})
    synaptic = Poly({})
    for step in range(time + 1):
        current = chains.shift(found.current, step - found.time)
        if current is None:
            return None
        synaptic = current + synaptic.scaled(found.alpha_syn or 0.0)
        membrane = membrane.scaled(found.alpha) + synaptic
    return membrane


def is_running_sum(found: Integrator) -> bool:
    """Whether an integrator keeps all of itself, and only adds up."""
    return found.alpha_syn is None and isinstance(found.alpha, float) and is_zero(found.alpha - 1.0)
