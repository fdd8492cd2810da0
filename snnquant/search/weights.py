"""The grid, the integer weights and the biases of one layer, from what its synapses receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from snnquant.lowering.decided import Decided
from snnquant.lowering.plan import Plan
from snnquant.numerics import FloatArray, IntArray, IntRange, quantize
from snnquant.quantize_options import QuantizeOptions
from snnquant.rounding import METHODS
from snnquant.search.layers import SearchLayer
from snnquant.search.moments import Moments

#: How much the weights of the float model hold against what the samples ask for, in shares of the
#: mean second moment.
HOLD = 1.0


@dataclass
class WeightFinding:
    """What the choice of one layer's weights did, in sums over all that was looked at.

    Attributes:
        total: squares of what the currents of the float layer add up to in the membranes.
        chosen: squares of the error of that.
        nearest: the same with nearest rounding on the same grid, biases left alone.
    """

    total: float = 0.0
    chosen: float = 0.0
    nearest: float = 0.0

    def shares(self) -> dict[str, float]:
        """Return both errors as shares of the total; nothing where nothing was measured."""
        if not self.total:
            return {}
        shares = {"error": self.chosen, "error_nearest": self.nearest}
        return {name: float(error / self.total) for name, error in shares.items()}


def choose_weights(
    layer: SearchLayer,
    plan: Plan,
    moments: Mapping[ir.Node, Moments],
    options: QuantizeOptions,
) -> tuple[dict[str, Decided], WeightFinding]:
    """Choose the scale of a layer, and the integers of its synapses.

    Args:
        layer: its group gets its scale here.
        plan: holds the weights.
        moments: of what synapses and recurrent neurons of the layer receive; where one is not
            known the layer has the nearest weights.
        options: granularity of the scales, method of rounding.
    """
    weighted = (*layer.synapses, *layer.recurrent)
    real = {node: plan.terms[node].rows for node in weighted}
    measured = all(node in moments for node in weighted)
    hessians = {node: moments[node].hessian for node in weighted} if measured else {}
    for node, hessian in hessians.items():
        plan.terms[node].hessian = hessian
        plan.terms[node].rows = moments[node].best_rows(real[node], HOLD)
    scale = layer.group.choose_scale(options.target, options.per_channel)
    decided = {
        member.name: Decided(
            scale, 1 if member.term is None else member.term.gain, layer.group.current_shift
        )
        for member in layer.members
    }
    finding = WeightFinding()
    for node in hessians:
        term, known = plan.terms[node], moments[node]
        limits = IntRange.signed(term.bits)
        step = term.gain * np.broadcast_to(scale, (len(term.rows),))[:, None]
        integers = rounded(term.rows / step, limits, hessians[node], options)
        shift = known.best_bias(integers * step, real[node])
        nearest = quantize(real[node], step, limits)
        finding.total += known.energy(real[node]).sum()
        finding.chosen += known.error(integers * step, real[node], shift).sum()
        finding.nearest += known.error(nearest * step, real[node], 0 * shift).sum()
        name = node.name or ""
        decided[name] = replace(decided[name], integers=integers)
        # Recurrent weights have no bias of their own.
        owner = layer.synapses[-1].name or "" if node in layer.recurrent else name
        before = decided[owner].bias_shift
        if before is None or before.shape == shift.shape:
            decided[owner] = decided[owner].with_bias(shift)
    return decided, finding


def rounded(
    steps: FloatArray, limits: IntRange, hessians: FloatArray, options: QuantizeOptions
) -> IntArray:
    """Return integers for weights, as the method of rounding says.

    Args:
        steps: real weights in units of their scale, ``[channels, weights]``.
        limits: of the integers.
        hessians: second moments of the inputs, ``[groups, weights, weights]``.
        options: names the method.
    """
    method = METHODS[options.rounding]
    parts = np.split(steps, len(hessians))
    return np.concatenate(
        [method.round(part, limits, own) for part, own in zip(parts, hessians, strict=True)]
    )
