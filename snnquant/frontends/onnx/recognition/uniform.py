"""Whether all steps of a layer are alike in what random currents would hardly tell."""

from __future__ import annotations

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.polynomials import Coefficient, Poly, same
from snnquant.frontends.onnx.recognition.step_equation import LowerBound, unbounded
from snnquant.frontends.onnx.recognition.symbols import Spike

#: Relative difference between constants that is rounding of another order of operations.
_TOLERANCE = 1e-5
#: A threshold below this is 0 to the recognition, whose coefficients are about 1.
_SMALLEST = 1e-7


def check_thresholds(chain: Chain, chains: Chains, fires: Spike) -> None:
    """Raise ModelError where a step compares with another threshold than ``fires``.

    Computed thresholds are left to the reading of adaptive neurons.
    """
    if fires.threshold.atoms():
        return
    size = np.abs(np.asarray(fires.threshold.coefficient()))
    if not (size <= np.finfo(np.float32).max).all():
        raise ModelError("its threshold is infinite, so that it always fires, or never")
    if (size[size > 0] < _SMALLEST).any():
        raise ModelError(
            f"its threshold is {float(size[size > 0].min()):.3g}, which is too small to be told "
            "from rounding; scale its weights and threshold up alike"
        )
    for state in chain.states:
        for spike in chains.spikes_of(state):
            if not isinstance(spike, Spike) or spike.threshold.atoms():
                continue
            if spike.on_equal != fires.on_equal:
                first, last = (">=" if s.on_equal else ">" for s in (spike, fires))
                raise ModelError(
                    f"it fires at {first} its threshold at step {state.time} and at {last} at step "
                    f"{fires.time}; compare alike at every step"
                )
            if not spike.threshold.equals(fires.threshold, _TOLERANCE):
                raise ModelError(
                    f"its threshold is {_text(spike.threshold)} at step {state.time} and "
                    f"{_text(fires.threshold)} at step {fires.time}; use one for all steps"
                )


def check_bounds(chain: Chain, chains: Chains, low: LowerBound | None) -> None:
    """Raise ModelError where a step has another lower bound than ``low``.

    The first two steps are left out: bounds on what is 0, or an input, are folded away there.
    """
    last = chain.model.time
    for state in chain.states:
        before = state.follows
        if before is None or before.follows is None or state.time > last:
            continue
        _, other = unbounded(state, chains)
        alike = (
            low is other
            if low is None or other is None
            else low.now == other.now
            and same(low.low, other.low, _TOLERANCE)
            and same(low.share, other.share, _TOLERANCE)
        )
        if not alike:
            raise ModelError(
                f"its membrane is bounded from below otherwise at step {state.time} than at step "
                f"{last}; bound it alike at every step"
            )


def _text(threshold: Poly) -> str:
    value: Coefficient = threshold.coefficient()
    return f"{value:.7g}" if isinstance(value, float) else f"{np.min(value):.7g}.."
