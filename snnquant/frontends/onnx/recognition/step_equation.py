"""One step of a membrane's equation, in parts: what it keeps, what it sees, what spikes change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chain, Chains, is_steady
from snnquant.frontends.onnx.recognition.currents import Seen
from snnquant.frontends.onnx.recognition.polynomials import (
    Coefficient,
    Poly,
    Product,
    is_zero,
    plus,
    reduced,
    total_of,
)
from snnquant.frontends.onnx.recognition.reasons import why_multiplied
from snnquant.frontends.onnx.recognition.recurrence import recurrent_bias
from snnquant.frontends.onnx.recognition.refractory import unblocked
from snnquant.frontends.onnx.recognition.symbols import Atom, Bounded, Count, Spike, State


@dataclass(frozen=True)
class Step:
    """The parts of one step's equation.

    Attributes:
        keep: share of the membrane that stays (``A``).
        constant: what every step adds (``C``).
        by_spike: what a spike adds (``D``).
        by_spike_and_membrane: share of the membrane that a spike adds (``E``).
        by_spike_and_threshold: share of a computed threshold that a spike adds.
        lost: what a spike adds of the inputs of the next step (``G``).
        seen: the inputs (``w``).
        blocked: how many spikes before the last block the inputs too.
    """

    keep: Coefficient
    constant: Coefficient
    by_spike: Coefficient
    by_spike_and_membrane: Coefficient
    by_spike_and_threshold: Coefficient
    lost: Poly
    seen: Poly
    blocked: int = 0


@dataclass(frozen=True)
class LowerBound:
    """A lower bound in a step's equation.

    Attributes:
        low: the bound.
        share: how much of what is bounded the membrane holds.
        now: the bound is on the membrane itself, rather than on what goes on from the last step.
    """

    low: Coefficient
    share: Coefficient
    now: bool


def unbounded(state: State, chains: Chains) -> tuple[Poly, LowerBound | None]:
    """Return a step without its lower bound, and the bound."""
    definition = chains.equation(state)
    bounded = [atom for atom in definition.atoms() if isinstance(atom, Bounded)]
    if not bounded:
        return definition, None
    if len(bounded) > 1:
        raise ModelError("its membrane has several lower bounds")
    (atom,) = bounded
    inner = chains.opened(atom.of)
    bound = LowerBound(atom.low, definition.coefficient(atom), definition.single is atom)
    return definition.replaced(lambda a: inner if a is atom else None), bound


def telling_steps(chain: Chain, last: State) -> list[State]:
    """Return the first three steps and the last two, which tell all that a layer does."""
    states = [s for s in chain.states if 0 <= s.time <= last.time]
    return [s for k, s in enumerate(states) if k < 3 or k >= len(states) - 2]


def seen_at(state: State, chain: Chain, chains: Chains, model: Step) -> Seen:
    """Return what a step sees beside its membrane; the biases of its recurrent synapse added up.

    Where the first membrane is a current of all steps, the second step may hold both as one: what
    is more than the ``model`` keeps is the current.
    """
    if state.follows is None:
        poly, own = unbounded(state, chains)[0], None
    else:
        step, own = split_step(state, chains)
        poly = step.seen + Poly.constant(step.constant)
        if own is not None:
            by_spike = step.by_spike
            if step.lost.terms:
                # With the currents a spike takes their constants away.
                by_spike = plus(by_spike, step.constant)
            poly = poly + Poly.of(own).scaled(by_spike)
        if is_zero(step.keep) and not is_zero(model.keep):
            # The membrane before is held as the currents that it was.
            poly = poly.minus(chains.equation(state.follows).scaled(model.keep))
        elif is_steady(state.follows):
            more = plus(step.keep, -np.asarray(model.keep))
            poly = poly + state.follows.definition.scaled(more)
    biases = [
        Poly.constant(reduced(np.multiply(c, bias)))
        for product, c in poly.terms.items()
        if len(product) == 1 and (bias := recurrent_bias(product[0], chain, chains)) is not None
    ]
    return Seen(total_of([poly, *biases]), own, state.time)


def _own_spikes(definition: Poly, before: State) -> Spike | Count | None:
    """Return the spikes of the step before that reset the membrane."""
    found = {
        atom
        for product in definition.terms
        for atom in product
        if isinstance(atom, (Spike, Count)) and atom.state is before
    }
    counts = {atom for atom in found if isinstance(atom, Count)}
    if len(counts or found) > 1:
        raise ModelError("two kinds of spikes of one membrane reset it")
    return (counts or found).pop() if found else None


def split_step(state: State, chains: Chains) -> tuple[Step, Spike | Count | None]:
    """Split a step's equation into its parts; also return the spikes that reset it."""
    before = state.follows
    if before is None:
        raise ModelError("its membrane does not go on from step to step")
    definition, _ = unbounded(state, chains)
    own = _own_spikes(definition, before)
    lost: dict[Product, Coefficient] = {}
    adaptive = own.threshold.single if isinstance(own, Spike) else None
    for product, c in definition.terms.items():
        rest = tuple(a for a in product if a is not own)
        if len(rest) < len(product) and rest not in ((), (before,), (adaptive,)):
            lost[rest] = c
    spike: tuple[Atom, ...] = () if own is None else (own,)
    seen = definition.only(
        lambda product: bool(product) and product != (before,) and own not in product
    )
    for product in seen.terms:
        if before in product:
            raise ModelError(why_multiplied(product, before))
    constant = definition.coefficient()
    blocked = 0
    if Poly(lost).equals(seen.scaled(-1.0)):
        whole, blocked = unblocked(seen + Poly.constant(constant), state, chains)
        seen = whole.without(())
        lost = seen.scaled(-1.0).terms
    step = Step(
        keep=definition.coefficient(before),
        constant=constant,
        by_spike=definition.coefficient(*spike) if own is not None else 0.0,
        by_spike_and_membrane=definition.coefficient(before, *spike) if own is not None else 0.0,
        by_spike_and_threshold=(
            0.0 if own is None or adaptive is None else definition.coefficient(adaptive, own)
        ),
        lost=Poly(lost),
        seen=seen,
        blocked=blocked,
    )
    return step, own
