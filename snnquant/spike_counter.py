"""Counting the spikes of one layer over batches, in integers beside the float model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LayerReport:
    """Spikes of one neuron layer, integer against float.

    Attributes:
        name: of the layer.
        neurons: number of neurons.
        firing_rate: spikes per neuron and step.
        firing_rate_float: the same in the reference, None without one.
        agreement: share of equal (sample, step, neuron) entries, None without a reference.
        spike_f1: harmonic mean of precision and recall of the integer spikes.
        dead: share of neurons that never fired.
        saturated: share of neurons that fired at every step of every sample.
        rate_drift: difference of the two firing rates relative to the float one, where a silent
            float layer counts as having fired once; None without a reference.
        rate_emd: earth mover's distance between the distributions of the neurons' firing rates,
            in spikes per step; None without a reference.
        overflow: share of (sample, step, neuron) entries whose membrane is at a limit of its
            state; 0 where that is proved, or there is none, None where it is not known.
    """

    name: str
    neurons: int
    firing_rate: float
    dead: float
    saturated: float
    firing_rate_float: float | None = None
    agreement: float | None = None
    spike_f1: float | None = None
    rate_drift: float | None = None
    rate_emd: float | None = None
    overflow: float | None = None


class LayerCounter:
    """Adds up the spikes of one layer over batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries = 0
        self.steps = 0
        self.total = 0
        self.total_float = 0.0
        self.equal = 0
        self.both = 0
        self.fired: Array | None = None
        self.active: Array | None = None
        self.fired_float: Array | None = None

    def add(self, spikes: Array, reference: Array | None) -> None:
        """Add one batch ``[T, B, ...]``; UsageError if the reference's has another shape."""
        if reference is not None and reference.shape != spikes.shape:
            raise UsageError(
                f"layer '{self.name}' gives [T, B, ...] = {list(spikes.shape)} here and "
                f"{list(reference.shape)} in the reference; give the float model that this one "
                "was made from"
            )
        active = (spikes != 0).sum(axis=(0, 1), dtype=np.int64).reshape(-1)
        fired = spikes.sum(axis=(0, 1), dtype=np.float64).reshape(-1)
        self.active = active if self.active is None else self.active + active
        self.fired = fired if self.fired is None else self.fired + fired
        self.entries += spikes.size
        self.steps += spikes.shape[0] * spikes.shape[1]
        self.total += int(fired.sum())
        if reference is not None:
            other = reference.sum(axis=(0, 1), dtype=np.float64).reshape(-1)
            self.fired_float = other if self.fired_float is None else self.fired_float + other
            self.total_float += float(other.sum())
            self.equal += int((spikes == reference).sum())
            self.both += int(np.minimum(spikes, reference).sum(dtype=np.float64))

    def report(self, with_reference: bool) -> LayerReport:
        """Return the layer's numbers."""
        active = np.zeros(0, np.int64) if self.active is None else self.active
        entries = max(self.entries, 1)
        neurons = len(active)
        agreement, f1 = agreement_of([self]) if with_reference else (None, None)
        return LayerReport(
            name=self.name,
            neurons=neurons,
            firing_rate=self.total / entries,
            dead=float((active == 0).mean()) if neurons else 0.0,
            saturated=float((active == self.steps).mean()) if neurons else 0.0,
            firing_rate_float=self.total_float / entries if with_reference else None,
            agreement=agreement,
            spike_f1=f1,
            rate_drift=self._drift() if with_reference else None,
            rate_emd=self._emd() if with_reference else None,
        )

    def _drift(self) -> float:
        return abs(self.total - self.total_float) / max(self.total_float, 1.0)

    def _emd(self) -> float:
        """Return the distance between the two distributions of rates.

        Two sets of equally many numbers: the cheapest way to move one onto the other keeps their
        order (Villani, Topics in Optimal Transportation, 2.2).
        """
        if self.fired is None or self.fired_float is None or not len(self.fired):
            return 0.0
        moved = np.abs(np.sort(self.fired) - np.sort(self.fired_float))
        return float(moved.mean() / max(self.steps, 1))


def agreement_of(counters: Sequence[LayerCounter]) -> tuple[float, float]:
    """Return the share of equal entries and the F1 of several counters together."""
    entries = max(sum(counter.entries for counter in counters), 1)
    spikes = sum(counter.total + counter.total_float for counter in counters)
    both = sum(counter.both for counter in counters)
    equal = sum(counter.equal for counter in counters)
    return equal / entries, 2 * both / spikes if spikes else 1.0
