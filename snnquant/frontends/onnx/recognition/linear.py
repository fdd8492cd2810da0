"""Silent states: leaky integrators that read a network out, and running sums.

What goes in ``k`` steps before counts ``c[k]`` times as much as what goes in now. A leak makes
``c[k] = alpha**k``; a leaky synaptic current before it makes ``c[k]`` the sum of
``alpha**j * alpha_syn**(k - j)`` over ``j = 0..k``, so that ``c[1] = alpha + alpha_syn`` and
``c[1]**2 - c[2] = alpha * alpha_syn``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chains
from snnquant.frontends.onnx.recognition.mixtures import leading
from snnquant.frontends.onnx.recognition.polynomials import (
    Coefficient,
    Poly,
    is_zero,
    product_of,
    quotient,
    reduced,
    same,
    sum_of,
    total_of,
)
from snnquant.frontends.onnx.recognition.symbols import STATIC, Bounded, Computed, State

_BOUNDS = frozenset({"Max", "Min", "Relu", "Clip", "Tanh", "Sigmoid"})


@dataclass(frozen=True)
class Integrator:
    """A state ``v[t] = alpha*v[t-1] + i[t]``, ``i[t] = alpha_syn*i[t-1] + current[t]``.

    Attributes:
        current: at step :attr:`time`.
        time: the step.
        alpha: share of itself that a step keeps.
        alpha_syn: share of the synaptic current that a step keeps; None: there is none.
        leak_bias: constant that the leak adds at every step.
        v_init: membrane before the first step.
    """

    current: Poly
    time: int
    alpha: Coefficient
    alpha_syn: Coefficient | None = None
    leak_bias: Coefficient = 0.0
    v_init: Coefficient = 0.0

    def resting(self, time: int) -> Coefficient:
        """Return what it holds at a step without any current."""
        value = self.v_init
        for _ in range(time):
            value = sum_of(product_of(value, self.alpha), self.leak_bias)
        return value

    def shares(self, steps: int) -> list[Coefficient]:
        """Return how much the currents of the last steps count, the latest first."""
        found: list[Coefficient] = []
        membrane: Coefficient = 0.0
        synaptic: Coefficient = 1.0
        for _ in range(steps):
            membrane = sum_of(product_of(membrane, self.alpha), synaptic)
            synaptic = product_of(synaptic, self.alpha_syn or 0.0) if _given(self) else 0.0
            found.append(membrane)
        return found

    @property
    def is_running_sum(self) -> bool:
        """Whether it keeps all of itself, and only adds up."""
        alpha = self.alpha
        return self.alpha_syn is None and isinstance(alpha, float) and same(alpha, 1.0)

    @property
    def is_momentary(self) -> bool:
        """Whether it keeps nothing: a sum of values of one step."""
        return self.alpha_syn is None and is_zero(self.alpha)


def _given(found: Integrator) -> bool:
    return found.alpha_syn is not None


def read_linear(state: State, chains: Chains) -> Integrator:
    """Read a silent state as an integrator.

    Raises:
        ModelError: it is no linear filter of first or second order.
    """
    flat = chains.opened(state.definition)
    if flat.time == STATIC:
        return _of_static(state, flat, chains)
    found = read_sum(flat, chains)
    return found if is_zero(flat.coefficient()) else _with_rest(found, flat, chains)


def _with_rest(found: Integrator, flat: Poly, chains: Chains) -> Integrator:
    """Return an integrator whose constant is its leak's, where the step before tells so.

    Several states of that step can differ by a constant; the simplest reading is taken: a value at
    which it rests, a bias of the synapse, a leak that starts from 0.
    """
    last = flat.coefficient()
    bare = replace(found, current=found.current.without(()))
    before = _rests_before(bare, chains)
    whole = at_step(found, found.time - 1, chains)
    leak_bias = product_of(last, reduced(np.subtract(1.0, found.alpha)))
    resting = replace(bare, leak_bias=leak_bias, v_init=last)
    unit = replace(bare, leak_bias=1.0).resting(found.time)
    rising = replace(bare, leak_bias=quotient(last, unit))
    readings = [
        (last, resting),
        (0.0 if whole is None else whole.coefficient(), found),
        (rising.resting(max(found.time - 1, 0)), rising),
    ]
    for expected, reading in readings:
        if any(same(value, expected, 1e-5) for value in before):
            return reading
    return found


def _rests_before(found: Integrator, chains: Chains) -> list[Coefficient]:
    """Return the constants that an integrator may hold one step before, as states say."""
    expected = at_step(found, found.time - 1, chains)
    if expected is None or not expected.terms:
        return []
    constants = []
    for state in chains.values.states:
        if state.time != found.time - 1 or not chains.opens(state):
            continue
        equation = chains.equation(state)
        bare = equation.without(())
        factor = leading(expected) / leading(bare)
        if bare.scaled(factor).equals(expected, 1e-5):
            constants.append(product_of(equation.coefficient(), factor))
    return constants


def read_sum(flat: Poly, chains: Chains) -> Integrator:
    """Read a sum over currents of successive steps as an integrator at the last of them.

    Raises:
        ModelError: it is no linear filter of first or second order.
    """
    time = flat.time
    now = flat.only(lambda p: _time(p) == time)
    steady = flat.only(lambda p: _time(p) == STATIC)
    first, second = _share(now, flat, 1, chains), _share(now, flat, 2, chains)
    alpha, alpha_syn = _decays(first, second)
    found = Integrator(now, time, alpha, alpha_syn)
    total: Coefficient = 0.0
    for share in found.shares(time + 1):
        total = sum_of(total, share)
    if steady.terms and np.any(np.asarray(total) == 0):
        raise ModelError("the export has too few steps to tell what a read-out keeps")
    current = now + steady.scaled(quotient(1.0, total)) if steady.terms else now
    found = Integrator(current, time, alpha, alpha_syn)
    expected = at_step(found, time, chains)
    if expected is None or not expected.equals(flat, 1e-5):
        raise ModelError(_why_not(flat))
    return found


def _why_not(flat: Poly) -> str:
    """Return why a sum over steps is no leaky integrator."""
    for atom in sorted(flat.atoms(), key=lambda a: a.number):
        operation = atom.node.op_type if isinstance(atom, Computed) else ""
        if isinstance(atom, Bounded) or (operation in _BOUNDS and atom.time < flat.time):
            return (
                f"a read-out goes through {operation or 'a lower bound'} ('{atom.value}') from "
                "step to step, as with a lower bound on the membrane, which no leaky integrator "
                "here has"
            )
    return (
        "a value that never fires adds up earlier steps in other shares than a leaky integrator "
        "does"
    )


def at_step(found: Integrator, time: int, chains: Chains) -> Poly | None:
    """Return what an integrator holds at a step, in terms of its currents.

    None: the graph lacks one of the currents.
    """
    timed = found.current.only(lambda p: _time(p) != STATIC)
    steady = found.current.only(lambda p: _time(p) == STATIC)
    parts = []
    whole: Coefficient = 0.0
    for k, share in enumerate(found.shares(time + 1)):
        moved = chains.shift(timed, time - k - found.time)
        if moved is None:
            return None
        parts.append(moved.scaled(share))
        whole = sum_of(whole, share)
    return total_of([*parts, steady.scaled(whole), Poly.constant(found.resting(time))])


def _time(product: tuple[object, ...]) -> int:
    return max((getattr(atom, "time", STATIC) for atom in product), default=STATIC)


def _share(now: Poly, flat: Poly, steps: int, chains: Chains) -> Coefficient | None:
    """Return how much a current of some steps before counts; None if there is no such current."""
    largest = sorted(now.terms, key=lambda p: -float(np.abs(now.terms[p]).max()))
    for product in largest:
        earlier = chains.shift(Poly({product: 1.0}), -steps)
        if earlier is None or not earlier.terms:
            continue
        part = max(earlier.terms, key=lambda p: float(np.abs(earlier.terms[p]).max()))
        expected = product_of(earlier.terms[part], now.terms[product])
        return quotient(flat.terms.get(part, 0.0), expected)
    return None


def _decays(
    first: Coefficient | None, second: Coefficient | None
) -> tuple[Coefficient, Coefficient | None]:
    """Return the decays of membrane and synaptic current from the first two shares."""
    if first is None:
        return 0.0, None
    square = np.square(first)
    if second is None or same(reduced(square), second, 1e-5):
        return first, None
    product = np.subtract(square, second)
    apart = square - 4 * product
    apart = np.where(np.abs(apart) <= 1e-6 * square, 0.0, apart)
    if (apart < 0).any():
        raise ModelError("a value that never fires oscillates, as no leaky integrator does")
    root = np.sqrt(apart)
    return reduced((np.asarray(first) + root) / 2), reduced((np.asarray(first) - root) / 2)


def _of_static(state: State, flat: Poly, chains: Chains) -> Integrator:
    """Read an integrator whose current is the same at every step from how it goes on."""
    silent = [a for a in state.definition.atoms() if isinstance(a, State) and chains.opens(a)]
    if len(silent) != 1 or state.definition.coefficient(silent[0]) is None:
        raise ModelError("the export has too few steps to tell what a read-out keeps")
    (before,) = silent
    alpha = state.definition.coefficient(before)
    found = Integrator(state.definition.without((before,)), state.time, alpha)
    expected = at_step(found, state.time, chains)
    if expected is None or not expected.equals(flat, 1e-5):
        raise ModelError("the export has too few steps to tell what a read-out keeps")
    return found
