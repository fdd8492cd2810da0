"""Thresholds that follow the neuron's own spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.linear import read_sum
from snnquant.frontends.onnx.recognition.polynomials import reduced
from snnquant.frontends.onnx.recognition.symbols import Spike
from snnquant.neurons import EXTENDEDLIF

if TYPE_CHECKING:
    from snnquant.frontends.onnx.recognition.equations import FoundNeuron


def adapt(found: FoundNeuron, fires: Spike, chain: Chain, chains: Chains) -> None:
    """Add an adaptive threshold to a neuron.

    The threshold must be ``threshold[t] = decay*threshold[t-1] + c + increment*s[t-1]``.

    Raises:
        ModelError: it follows something else than the neuron's own last spikes.
    """
    first = chain.states[0].spikes
    if not first or first[0].threshold.atoms():
        raise ModelError("its threshold is computed from more than its own spikes")
    threshold = chains.opened(fires.threshold, thresholds=True)
    constant = threshold.coefficient()
    try:
        filtered = read_sum(threshold.without(()), chains)
    except ModelError as error:
        raise ModelError(f"its adaptive threshold is not understood: {error}") from error
    spikes = [a for a in filtered.current.atoms() if isinstance(a, Spike)]
    own = len(spikes) == 1 and spikes[0].state is fires.state.follows
    rest = filtered.current.without((spikes[0],)) if spikes else filtered.current
    if not own or rest.terms or filtered.alpha_syn is not None:
        raise ModelError("its threshold follows something else than its own last spikes")
    start = first[0].threshold.coefficient()
    # Without spikes a threshold goes on as decay*threshold + c; the constants tell c.
    before = spikes[0].threshold
    earlier = chains.opened(before, thresholds=True).coefficient()
    drift = np.subtract(constant, np.multiply(filtered.alpha, earlier))
    drift = np.subtract(drift, np.multiply(np.subtract(1.0, filtered.alpha), start))
    found.model = EXTENDEDLIF
    found.parameters |= {
        "v_threshold": start,
        "threshold_decay": filtered.alpha,
        "threshold_increment": filtered.current.coefficient(spikes[0]),
        "threshold_bias": reduced(np.where(np.abs(drift) < 1e-6, 0.0, drift)),
    }
