"""How the firing rates of the neurons of a layer are distributed."""

from __future__ import annotations

import numpy as np

from snnquant.report.histogram import Histogram
from snnquant.spike_counter import LayerCounter

BINS = 40


def rate_histogram(counter: LayerCounter, names: tuple[str, str]) -> Histogram | None:
    """Return the neurons of a layer by their firing rate in spikes per step; None: it has none.

    Args:
        counter: what was counted.
        names: what the model and its reference are called.
    """
    steps = max(counter.steps, 1)
    rates = [None if f is None else f / steps for f in (counter.fired, counter.fired_float)]
    known = [rate for rate in rates if rate is not None and rate.size]
    if not known:
        return None
    # Rates are ratios of counts; the last bin holds the largest.
    highest = max(float(np.max(rate)) for rate in known) or 1.0
    histogram = Histogram(0.0, highest, BINS)
    for name, rate in zip(names, rates, strict=True):
        if rate is not None:
            histogram.add(name, rate)
    return histogram
