"""What each width costs each layer: the error of its weights in the membranes they act on.

One pass over the layers, each behind integer layers in the widths that the options say. The second
moments of what a layer receives are measured once, whatever widths are tried on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from snnquant.data import Dataset
from snnquant.lowering.layer_options import weighted_layers
from snnquant.lowering.plan import InputScale, Plan
from snnquant.lowering.terms import Term
from snnquant.numerics import FloatArray, IntRange
from snnquant.ops.schema import DOMAIN
from snnquant.progress import Progress, silent
from snnquant.quantize_options import QuantizeOptions
from snnquant.rounding.weight_grid import WeightRows, expected_error, grid_scales
from snnquant.search.layers import SearchLayer, search_layers
from snnquant.search.moments import Moments
from snnquant.search.run import DEFAULT_SAMPLES, Search
from snnquant.search.weights import HOLD, rounded


@dataclass(frozen=True)
class WidthErrors:
    """What widths do to the weights of one layer.

    Attributes:
        name: of the synapse, or of the neuron with recurrent weights.
        recurrent: the latter.
        weights: how many there are.
        errors: by width, the squared error in the membranes as a share of the squares of all that
            the currents add up to there.
    """

    name: str
    recurrent: bool
    weights: int
    errors: dict[int, float]


def width_errors(
    model: ir.Model,
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
    dataset: Dataset,
    widths: Sequence[int],
    *,
    samples: int = DEFAULT_SAMPLES,
    threads: int | None = None,
    progress: Progress = silent,
) -> list[WidthErrors]:
    """Measure what each width costs each layer that has weights.

    Args:
        model: canonical float graph.
        scales: calibrated input scales by value name.
        options: target, widths of the layers in front, method of rounding.
        rates: calibrated firing rates by neuron name.
        dataset: calibration samples.
        widths: to try.
        samples: use at most the first so many.
        threads: threads of ONNX Runtime.
        progress: told after every layer.
    """
    search = Search(model, scales, options, rates, dataset, samples, threads, {})
    found: list[WidthErrors] = []
    progress(0, len(search.layers))
    for done, layer in enumerate(search.layers, 1):
        moments = search.measured(layer)
        found += _of_layer(layer, search.plan, moments, options, widths)
        search.choose(layer, moments)
        progress(done, len(search.layers))
    return found


def layer_sizes(model: ir.Model, plan: Plan) -> dict[str, int]:
    """Return how many weights each layer has of which :func:`width_errors` tells.

    Args:
        model: canonical float graph.
        plan: of it; no data is needed.
    """
    return {
        node.name or "": int(plan.terms[node].rows.size)
        for layer in search_layers(model, plan)
        for node in _with_width(layer, plan)
    }


def _with_width(layer: SearchLayer, plan: Plan) -> list[ir.Node]:
    """Return what has weights with a width of their own."""
    named = set(weighted_layers(plan))
    return [node for node in (*layer.synapses, *layer.recurrent) if node.name in named]


def _of_layer(
    layer: SearchLayer,
    plan: Plan,
    moments: Mapping[ir.Node, Moments],
    options: QuantizeOptions,
    widths: Sequence[int],
) -> list[WidthErrors]:
    """Return the errors of all weights whose currents are added up, as shares of their sum."""
    nodes = _with_width(layer, plan)
    measured = all(node in moments for node in nodes)
    split = options.per_channel and not layer.group.per_tensor
    errors: dict[ir.Node, dict[int, float]] = {}
    total = 0.0
    for node in nodes:
        term = plan.terms[node]
        known = moments[node] if measured else None
        errors[node] = {bits: _error(term, known, bits, split, options) for bits in widths}
        total += _energy(term, known)
    return [
        WidthErrors(
            node.name or "",
            node.domain == DOMAIN,
            int(plan.terms[node].rows.size),
            {bits: error / total if total else 0.0 for bits, error in errors[node].items()},
        )
        for node in nodes
    ]


def _error(
    term: Term, known: Moments | None, bits: int, split: bool, options: QuantizeOptions
) -> float:
    """Return the squared error of weights on the best grid of a width."""
    limits, channels = IntRange.signed(bits), len(term.rows) if split else 1
    rows = term.rows if known is None else known.best_rows(term.rows, HOLD)
    hessian = None if known is None else known.hessian
    part = WeightRows(rows.reshape(channels, -1), limits, term.coherence, hessian)
    scale = grid_scales([part], options.target.weight_grid)
    step = np.where(scale > 0, scale, 1.0)[:, None]
    if known is None or hessian is None:
        return float(expected_error(part, step).sum())
    each = np.broadcast_to(step, (len(rows), 1))
    chosen = rounded(rows / each, limits, hessian, options) * each
    return float(known.error(chosen, term.rows, known.best_bias(chosen, term.rows)).sum())


def _energy(term: Term, known: Moments | None) -> float:
    """Return the squares of what weights add up to."""
    if known is not None:
        return float(known.energy(term.rows).sum())
    rows: FloatArray = term.rows
    common = term.coherence * np.square(rows.sum(axis=1))
    return float(np.square(rows).sum() + common.sum())
