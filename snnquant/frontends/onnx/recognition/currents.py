"""What the synapses deliver to a membrane: directly, or through a leaky synaptic current.

What a membrane sees is ``w[t] = alpha*w[t-1] + r[t]``, where ``r`` is the current that enters the
synaptic filter. Written in currents and spikes alone, ``r[t]`` is what is new in ``w[t]``, and all
that ``w[t-1]`` holds already stands in ``w[t]`` times ``alpha``, at whatever point of the loop the
graph happens to hold the filter. A current that is the same at every step adds up to
``1, 1 + alpha, 1 + alpha + alpha**2 ...`` times itself.

The neuron's own spikes appear twice: they reset the membrane once, and they may feed back through
the filter. ``w[t] - alpha*w[t-1]`` holds the reset of the step before times ``-alpha``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.polynomials import (
    Coefficient,
    Poly,
    Product,
    is_zero,
    product_of,
    quotient,
    reduced,
    same,
    sum_of,
)
from snnquant.frontends.onnx.recognition.symbols import STATIC, Count, Spike

#: Decay below which there is no synaptic filter.
_NO_DECAY = 1e-6


@dataclass(frozen=True)
class Seen:
    """What one step's equation holds beside the membrane and what spikes make of it.

    Attributes:
        poly: currents, and spikes of the neuron itself.
        own: the neuron's spikes of the step before, or None.
        time: the step.
    """

    poly: Poly
    own: Spike | Count | None
    time: int

    @property
    def currents(self) -> Poly:
        """The currents without the constant and without the last spikes."""
        return self.poly.without((), () if self.own is None else (self.own,))


@dataclass(frozen=True)
class SynapticCurrent:
    """What a membrane sees.

    Attributes:
        current: what enters, at the last step.
        alpha: share of the synaptic current that a step keeps; None: there is no filter.
        leak_bias: constant that the leak adds at every step.
        v_init: membrane before the first step.
        by_spike: what a spike adds to the next membrane, its way through the filter aside.
    """

    current: Poly
    alpha: Coefficient | None
    leak_bias: Coefficient
    v_init: Coefficient
    by_spike: Coefficient


def synaptic_current(steps: Sequence[Seen]) -> SynapticCurrent:
    """Return what drives a membrane.

    Args:
        steps: what it sees at the first step and those after, the last two of all among them.

    Raises:
        ModelError: there is more than one filter.
    """
    last = steps[-1]
    by_spike: Coefficient = 0.0
    if last.own is not None:
        by_spike = last.poly.coefficient(last.own)
    alpha = _decay(steps)
    if alpha is None:
        constant = last.poly.coefficient()
        first = steps[0].poly.coefficient() if steps[0].time == 0 else constant
        current = last.currents
        if same(constant, first):
            # A bias of the synapse, which every step adds, the first too.
            return SynapticCurrent(current + Poly.constant(constant), None, 0.0, 0.0, by_spike)
        return SynapticCurrent(current, None, constant, first, by_spike)
    before = steps[-2]
    current = _new(last.currents, before, alpha)
    if before.own is not None and last.own is not None:
        reset = quotient(-np.asarray(current.coefficient(before.own)), alpha)
        if (before.own,) in {*before.poly.terms, *last.poly.terms}:
            fed_back = reduced(np.subtract(by_spike, reset))
            current = current.without((before.own,))
            if not _negligible(fed_back, by_spike):
                current = current + Poly.of(last.own).scaled(fed_back)
                by_spike = reset
    bias, leak_bias, v_init = _constants(steps, alpha)
    return SynapticCurrent(current + Poly.constant(bias), alpha, leak_bias, v_init, by_spike)


def _decay(steps: Sequence[Seen]) -> Coefficient | None:
    """Return the decay of the filter, if there is one."""
    if len(steps) < 2:
        return None
    last, before = steps[-1], steps[-2]
    own = {step.own for step in steps}
    shared = [
        p
        for p in last.currents.terms
        if p in before.currents.terms and _time(p) != STATIC and p != (before.own,)
    ]
    # Spikes of the neuron itself reset it too, at the step right after.
    shared.sort(key=lambda p: (p[0] in own, -_size(before.poly.terms[p])))
    if shared:
        return _kept(quotient(last.poly.terms[shared[0]], before.poly.terms[shared[0]]))
    steady = [p for p in last.currents.terms if _time(p) == STATIC]
    for product in sorted(steady, key=lambda p: -_size(last.poly.terms[p])):
        held = [step.poly.terms.get(product, 0.0) for step in steps]
        if steps[0].time == 0 and steps[1].time == 1 and not is_zero(held[0]):
            return _kept(reduced(np.subtract(quotient(held[1], held[0]), 1.0)))
        if len(steps) > 2 and steps[0].time + 2 == steps[2].time:
            grown = reduced(np.subtract(held[1], held[0]))
            if not is_zero(grown):
                return _kept(quotient(reduced(np.subtract(held[2], held[1])), grown))
    return None


def _kept(alpha: Coefficient) -> Coefficient | None:
    return None if bool((np.abs(alpha) <= _NO_DECAY).all()) else alpha


def _new(currents: Poly, before: Seen, alpha: Coefficient) -> Poly:
    """Return what is new at a step: ``w[t] - alpha*w[t-1]`` without rounding."""
    earlier = before.poly.without(())
    found: dict[Product, Coefficient] = {}
    for product in currents.terms.keys() | earlier.terms.keys():
        now = currents.terms.get(product, 0.0)
        faded = product_of(earlier.terms.get(product, 0.0), alpha)
        new = sum_of(now, product_of(faded, -1.0))
        if _negligible(new, now if not is_zero(now) else faded):
            continue
        if product in earlier.terms and _time(product) != STATIC and product != (before.own,):
            raise ModelError(
                "its membrane sees several synaptic currents, each with a leak of its own, or a "
                "delayed one"
            )
        found[product] = new
    return Poly(found)


def _constants(
    steps: Sequence[Seen], alpha: Coefficient
) -> tuple[Coefficient, Coefficient, Coefficient]:
    """Return (bias of the synapse, leak bias, first membrane) from the constants of the steps.

    Step ``t`` holds ``bias*(1 + alpha + ... + alpha**t)``, and the leak bias or, at the first
    step, the first membrane. The simplest reading is taken: a bias alone, else no first membrane.
    """
    known = {step.time: step.poly.coefficient() for step in steps}
    if 0 not in known or 1 not in known:
        last, before = steps[-1].poly.coefficient(), steps[-2].poly.coefficient()
        rest = reduced(np.subtract(last, product_of(before, alpha)))
        return rest, 0.0, 0.0
    first, second = known[0], known[1]
    bias, grown = first, reduced(np.multiply(first, np.add(1.0, alpha)))
    if not same(grown, second, 1e-5) and 2 in known:
        square = reduced(np.square(alpha))
        bias = quotient(reduced(np.subtract(known[2], second)), square)
        if _negligible(bias, second):
            bias = 0.0
        grown = reduced(np.multiply(bias, np.add(1.0, alpha)))
    leak_bias = _unless_rounding(np.subtract(second, grown), second)
    return bias, leak_bias, _unless_rounding(np.subtract(first, bias), first)


def _unless_rounding(value: object, beside: Coefficient) -> Coefficient:
    found = reduced(value)
    return 0.0 if _negligible(found, beside) else found


def _negligible(c: Coefficient, beside: Coefficient) -> bool:
    """Whether a coefficient is rounding beside another."""
    return bool((np.abs(np.asarray(c)) <= 2e-6 * np.abs(np.asarray(beside)).max() + 1e-9).all())


def _time(product: Product) -> int:
    return max((atom.time for atom in product), default=STATIC)


def _size(c: Coefficient) -> float:
    return float(np.abs(np.asarray(c)).max())
