"""From the coefficients of a step to the neuron that they are.

Written in the compared membrane ``h``, one step of every neuron that is understood is::

    h[t] = A*h[t-1] + w[t] + C + s[t-1]*(D + E*h[t-1] + G)        s[t] = h[t] > threshold

where ``w`` is what the synapses deliver, directly or through a leaky synaptic current. The reset
follows from ``D``, ``E`` and ``G``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.adaptation import adapt
from snnquant.frontends.onnx.chains import Chain, Chains
from snnquant.frontends.onnx.currents import Seen, SynapticCurrent, synaptic_current
from snnquant.frontends.onnx.polynomials import (
    Coefficient,
    Poly,
    Product,
    is_zero,
    reduced,
    same,
    total_of,
)
from snnquant.frontends.onnx.recurrence import recurrent_bias
from snnquant.frontends.onnx.symbols import Atom, Bounded, Count, Spike, State
from snnquant.neurons import CUBALIF, EXTENDEDLIF, LIF, NeuronModel, Reset
from snnquant.neurons.dynamics import MAX_SPIKES


@dataclass
class FoundNeuron:
    """A layer of neurons as it was read.

    Attributes:
        model: the definition.
        parameters: real parameters by name.
        choices: structural choices by name.
        current: what it sees, at step :attr:`time`.
        time: the step at which the currents stand for all steps.
        fires: the atom of its spikes at that step.
        chain: its membranes.
        floor: the membranes of the source are never below (those of the op may be, until the leak).
    """

    model: NeuronModel
    parameters: dict[str, Coefficient]
    choices: dict[str, int]
    current: Poly
    time: int
    fires: Spike | Count
    chain: Chain
    floor: Coefficient | None = None


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
    """

    keep: Coefficient
    constant: Coefficient
    by_spike: Coefficient
    by_spike_and_membrane: Coefficient
    by_spike_and_threshold: Coefficient
    lost: Poly
    seen: Poly


def read_spiking(chain: Chain, chains: Chains) -> FoundNeuron:
    """Read a chain of membranes as a neuron.

    Raises:
        ModelError: no neuron has these equations; the message says which part has no equal.
    """
    last = chain.model
    if last.follows is None:
        raise ModelError("its membrane does not go on from step to step")
    fires = _fires(chain, chains)
    _, low = _unbounded(last, chains)
    step, own = _split(last, chains)
    drive = synaptic_current([_seen(s, chain, chains) for s in _telling(chain, last)])
    step = replace(step, by_spike=drive.by_spike)
    found = _named_reset(step, drive, fires, own)
    found = replace(found, chain=chain, time=last.time)
    if low is not None:
        found.model = EXTENDEDLIF
        carried = _times(low.share, low.low)
        if low.now:
            # A bound on the membrane before it fires is a bound on what the leak leaves of it.
            found.floor, carried = low.low, _times(step.keep, low.low)
        found.parameters["v_min"] = _plus(carried, found.parameters["leak_bias"])
    if isinstance(fires, Spike) and fires.threshold.atoms():
        adapt(found, fires, chain, chains)
    if drive.alpha is not None:
        if found.model is not LIF:
            raise ModelError(
                "it has both a leaky synaptic current and a bounded membrane or an adaptive "
                "threshold, which no neuron here has together"
            )
        found.model = CUBALIF
        found.parameters["alpha_syn"] = drive.alpha
    return found


def _fires(chain: Chain, chains: Chains) -> Spike | Count:
    """Return the spikes of the last step that has any; all of a layer must be alike."""
    for state in reversed(chain.states):
        found = chains.spikes_of(state)
        counts = [atom for atom in found if isinstance(atom, Count)]
        if len(counts) == 1:
            return counts[0]
        if len(found) > 1:
            thresholds = ", ".join(str(s.threshold) for s in state.spikes)
            raise ModelError(
                f"its membrane is compared with several thresholds ({thresholds}), as in "
                "ternary or graded neurons"
            )
        if found:
            return found[0]
    raise ModelError("its membrane is compared with nothing")


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


def _unbounded(state: State, chains: Chains) -> tuple[Poly, LowerBound | None]:
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


def _telling(chain: Chain, last: State) -> list[State]:
    """Return the first three steps and the last two, which tell all that a layer does."""
    states = [s for s in chain.states if 0 <= s.time <= last.time]
    return [s for k, s in enumerate(states) if k < 3 or k >= len(states) - 2]


def _seen(state: State, chain: Chain, chains: Chains) -> Seen:
    """Return what a step sees beside its membrane; the biases of its recurrent synapse added up."""
    if state.follows is None:
        poly, own = _unbounded(state, chains)[0], None
    else:
        step, own = _split(state, chains)
        poly = step.seen + Poly.constant(step.constant)
        if own is not None:
            by_spike = step.by_spike
            if step.lost.terms:
                # With the currents a spike takes their constants away.
                by_spike = _plus(by_spike, step.constant)
            poly = poly + Poly.of(own).scaled(by_spike)
    biases = [
        Poly.constant(reduced(np.multiply(c, bias)))
        for product, c in poly.terms.items()
        if len(product) == 1 and (bias := recurrent_bias(product[0], chain, chains)) is not None
    ]
    return Seen(total_of([poly, *biases]), own, state.time)


def _own_spikes(definition: Poly, before: State, chains: Chains) -> Spike | Count | None:
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


def _split(state: State, chains: Chains) -> tuple[Step, Spike | Count | None]:
    """Split a step's equation into its parts; also return the spikes that reset it."""
    before = state.follows
    if before is None:
        raise ModelError("its membrane does not go on from step to step")
    definition, _ = _unbounded(state, chains)
    own = _own_spikes(definition, before, chains)
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
            raise ModelError("its membrane is multiplied by a value that is no constant")
    step = Step(
        keep=definition.coefficient(before),
        constant=definition.coefficient(),
        by_spike=definition.coefficient(*spike) if own is not None else 0.0,
        by_spike_and_membrane=definition.coefficient(before, *spike) if own is not None else 0.0,
        by_spike_and_threshold=(
            0.0 if own is None or adaptive is None else definition.coefficient(adaptive, own)
        ),
        lost=Poly(lost),
        seen=seen,
    )
    return step, own


def _named_reset(
    step: Step, drive: SynapticCurrent, fires: Spike | Count, own: Spike | Count | None
) -> FoundNeuron:
    """Return the neuron whose reset has the step's coefficients."""
    keep, by_spike = step.keep, step.by_spike
    threshold, taken = _threshold(fires), _taken(fires)
    parameters: dict[str, Coefficient] = {
        "alpha": keep,
        "leak_bias": drive.leak_bias,
        "v_init": drive.v_init,
        "v_threshold": threshold,
    }
    choices = {"reset": int(Reset.NONE)}
    choices |= _firing(fires)
    input_lost = bool(step.lost.terms)
    if input_lost and not step.lost.equals(step.seen.scaled(-1.0)):
        raise ModelError(
            "a spike changes a part of its input at the next step, which no reset here does"
        )
    if input_lost:
        by_spike = _plus(by_spike, -np.asarray(drive.leak_bias))
        choices["refractory"] = 1
        parameters["refractory_steps"] = 1.0
    if _hard(step):
        choices["reset"] = int(Reset.HARD)
        parameters["v_reset"] = _quotient(by_spike, keep)
        if isinstance(own, Count):
            raise ModelError("it resets by a number of spikes, to a fixed value")
    elif not is_zero(step.by_spike_and_membrane):
        raise ModelError(
            f"a spike keeps {_text(step.by_spike_and_membrane)} of its membrane, where no reset "
            f"keeps other than nothing (-{_text(keep)}) or all"
        )
    elif not is_zero(step.by_spike_and_threshold):
        if not is_zero(by_spike):
            raise ModelError("a spike takes both its threshold and another amount away")
        after = _same(-np.asarray(step.by_spike_and_threshold), 1.0) and not _same(keep, 1.0)
        if not after and not _same(-np.asarray(step.by_spike_and_threshold), keep):
            raise ModelError("a spike takes a share of its computed threshold away")
        choices |= {"reset": int(Reset.SOFT), "reset_after_leak": int(after)}
    elif not is_zero(by_spike):
        amount, after = -np.asarray(by_spike), True
        if not is_zero(keep) and not np.any(np.asarray(keep) == 0):
            immediate = amount / np.asarray(keep)
            if not _same(amount, taken) or _same(immediate, taken):
                amount, after = immediate, False
        soft = _same(amount, threshold)
        choices["reset"] = int(Reset.SOFT if soft else Reset.SOFT_CONSTANT)
        choices["reset_after_leak"] = int(after)
        if not soft:
            parameters["dv"] = _coefficient(amount)
    elif input_lost:
        raise ModelError("a spike blocks its input at the next step without any reset")
    return FoundNeuron(LIF, parameters, choices, drive.current, 0, fires, Chain())


def _hard(step: Step) -> bool:
    return not is_zero(step.keep) and _same(
        -np.asarray(step.by_spike_and_membrane), step.keep
    )


def _threshold(fires: Spike | Count) -> Coefficient:
    if isinstance(fires, Count):
        return float(fires.divisor - fires.offset)
    return reduced(fires.threshold.coefficient())


def _taken(fires: Spike | Count) -> Coefficient:
    """Return what a soft reset usually takes away per spike."""
    return float(fires.divisor) if isinstance(fires, Count) else fires.threshold.coefficient()


def _firing(fires: Spike | Count) -> dict[str, int]:
    if isinstance(fires, Count):
        most = min(fires.most or MAX_SPIKES.high, MAX_SPIKES.high)
        return {"fire_on_equal": 1, "max_spikes": most}
    return {"fire_on_equal": int(fires.on_equal)}


def _same(a: object, b: object) -> bool:
    return same(_coefficient(a), _coefficient(b), 1e-5)


def _coefficient(value: object) -> Coefficient:
    return reduced(value)


def _quotient(a: Coefficient, b: Coefficient) -> Coefficient:
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.where(np.asarray(b) == 0, 0.0, np.divide(a, b))
    return _coefficient(result)


def _plus(a: Coefficient, b: Coefficient) -> Coefficient:
    return _coefficient(np.add(a, b))


def _times(a: Coefficient, b: Coefficient) -> Coefficient:
    return _coefficient(np.multiply(a, b))


def _text(c: Coefficient) -> str:
    return f"{c:.4g}" if isinstance(c, float) else f"{np.min(c):.4g}..{np.max(c):.4g}"
