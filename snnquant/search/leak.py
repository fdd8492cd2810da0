"""Levels of a neuron moved to where its rounded leak moves the membrane, where samples agree.

A membrane that remembers for long leaks little per step, so that rounding matters: floored, it
comes to lie ``0.5 / (1 - alpha)`` steps too low (:mod:`snnquant.lowering.leak`); and a target with
shifts has few decays, so that a threshold may have to be another one. Nothing is tried where
neither matters, as with a leak that is rounded to nearest, nor where a threshold is so few steps
that the mean error says little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from snnquant.lowering.integers import aligned_scale
from snnquant.lowering.leak import can_be_centred, membrane_offset
from snnquant.neurons import Reset
from snnquant.neurons.dynamics import ALPHA, RESET, V_THRESHOLD
from snnquant.numerics import FloatArray
from snnquant.ops.schema import schemas
from snnquant.passes.edit import int_attribute
from snnquant.search.correction import NeuronTrials
from snnquant.target import Target

#: Shares of the threshold by which rounding has to move the membrane, at least and at most: a
#: membrane that has few states to take is not moved evenly, and there it did not help.
_MATTERS, _TOO_MUCH = 0.01, 0.25
#: Relative error of ``1 - alpha`` that matters, too.
_MATTERS_PER_STEP = 0.02
#: A change has to bring the distance of the spikes below this share.
WORTH = 0.95
#: Shares of the way that levels are moved.
_SHARES = (0.5, 1.0)
#: Factors for all thresholds of a layer whose leak is looked at.
STARTS = (0.7, 0.85, 1.0, 1.15, 1.35, 1.6)


def leak_matters(
    neuron: ir.Node, real: Mapping[str, FloatArray], step: FloatArray, target: Target
) -> bool:
    """Whether the leak of a neuron errs enough to look at it.

    Args:
        neuron: of the float graph.
        real: its parameters by name.
        step: real value of one step of its membrane, as its current's flow has it.
        target: arithmetic profile.
    """
    schema = schemas()[neuron.op_type]
    soft = int_attribute(neuron, RESET.name, RESET.default) == Reset.SOFT
    alpha = real.get(ALPHA.name)
    if alpha is None or not can_be_centred(schema, target, soft=soft) or (alpha == 1).all():
        return False
    current = neuron.inputs[0]
    rank = 1 if current is None or current.shape is None else len(current.shape) - 2
    scale = aligned_scale(step, rank)
    moved = float(np.abs(membrane_offset(real, scale, target, rank) * scale).max(initial=0.0))
    threshold = float(np.abs(real[V_THRESHOLD.name]).max(initial=0.0))
    if moved > _TOO_MUCH * threshold:
        return False
    left = 1 - alpha[alpha < 1]
    given = 1 - target.decay(alpha[alpha < 1]) / 2**target.leak_shift
    forgets = bool((np.abs(given - left) > _MATTERS_PER_STEP * left).any())
    return forgets or moved > _MATTERS * threshold


def search_levels(
    plain: NeuronTrials, trials_of: Callable[[float], NeuronTrials]
) -> tuple[float, NeuronTrials]:
    """Return the share by which moved levels bring the spikes closest, and trials with it.

    Args:
        plain: runs the neuron with its levels where they are.
        trials_of: makes trials with levels that are moved by a share of what rounding asks for.
    """
    tried = [(0.0, plain), *((share, trials_of(share)) for share in _SHARES)]
    return min(tried, key=lambda pair: pair[1].as_it_is().searched)
