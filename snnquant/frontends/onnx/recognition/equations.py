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
from snnquant.frontends.onnx.recognition.adaptation import adapt
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.currents import SynapticCurrent, synaptic_current
from snnquant.frontends.onnx.recognition.polynomials import (
    Coefficient,
    Poly,
    is_zero,
    plus,
    quotient,
    reduced,
    same,
    times,
)
from snnquant.frontends.onnx.recognition.reasons import why_alone, why_through, why_twice
from snnquant.frontends.onnx.recognition.step_equation import (
    Step,
    seen_at,
    split_step,
    telling_steps,
    unbounded,
)
from snnquant.frontends.onnx.recognition.symbols import Count, Spike
from snnquant.frontends.onnx.recognition.uniform import check_bounds, check_thresholds
from snnquant.neurons import CUBALIF, EXTENDEDLIF, LIF, NeuronModel, Reset
from snnquant.neurons.dynamics import MAX_SPIKES, THRESHOLD_INCREMENT


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

    @property
    def adaptive(self) -> bool:
        """Whether spikes move the threshold."""
        return THRESHOLD_INCREMENT.name in self.parameters


def read_spiking(chain: Chain, chains: Chains) -> FoundNeuron:
    """Read a chain of membranes as a neuron.

    Raises:
        ModelError: no neuron has these equations; the message says which part has no equal.
    """
    last = chain.model
    if last.follows is None:
        raise ModelError(why_alone(last, chains))
    twice = why_twice(chain, chains)
    if twice is not None:
        raise ModelError(twice)
    fires = _fires(chain, chains)
    if isinstance(fires, Spike):
        check_thresholds(chain, chains, fires)
    _, low = unbounded(last, chains)
    check_bounds(chain, chains, low)
    step, own = split_step(last, chains)
    through = why_through(step.seen, chain, chains)
    if through is not None:
        raise ModelError(through)
    telling = telling_steps(chain, last)
    drive = synaptic_current([seen_at(state, chain, chains, step) for state in telling])
    step = replace(step, by_spike=drive.by_spike)
    found = _named_reset(step, drive, fires, own)
    found = replace(found, chain=chain, time=last.time)
    if low is not None:
        found.model = EXTENDEDLIF
        carried = times(low.share, low.low)
        if low.now:
            # A bound on the membrane before it fires is a bound on what the leak leaves of it.
            found.floor, carried = low.low, times(step.keep, low.low)
        found.parameters["v_min"] = plus(carried, found.parameters["leak_bias"])
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
        by_spike = plus(by_spike, -np.asarray(drive.leak_bias))
        choices["refractory"] = 1
        parameters["refractory_steps"] = 1.0 + step.blocked
    if _hard(step):
        choices["reset"] = int(Reset.HARD)
        parameters["v_reset"] = quotient(by_spike, keep)
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
        if isinstance(fires, Count) and not _same(amount, taken):
            raise ModelError(
                f"it counts its spikes by {_text(taken)}, but each takes "
                f"{_text(reduced(amount))} away; set both to the same"
            )
        choices["reset"] = int(Reset.SOFT if soft else Reset.SOFT_CONSTANT)
        choices["reset_after_leak"] = int(after)
        if not soft:
            parameters["dv"] = reduced(amount)
    elif input_lost:
        raise ModelError("a spike blocks its input at the next step without any reset")
    return FoundNeuron(LIF, parameters, choices, drive.current, 0, fires, Chain())


def _hard(step: Step) -> bool:
    return not is_zero(step.keep) and _same(-np.asarray(step.by_spike_and_membrane), step.keep)


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
    return same(reduced(a), reduced(b), 1e-5)


def _text(c: Coefficient) -> str:
    return f"{c:.4g}" if isinstance(c, float) else f"{np.min(c):.4g}..{np.max(c):.4g}"
