"""Counting over batches how far a model with integers is from the float one, layer and output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.analyze.layers import Layer
from snnquant.analyze.mixed import CURRENT, MEMBRANE, SPIKES, Mixed, Watch
from snnquant.calibrate import RealSamples
from snnquant.errors import NumericalError
from snnquant.spike_counter import LayerCounter, agreement_of

Array = npt.NDArray[Any]
#: Ratios that are 0 or infinite are shown as this many decibels.
LIMIT_DB = 200.0


@dataclass(frozen=True)
class LayerMeasure:
    """One layer against the same layer of the float model.

    Attributes:
        error: squared error of what the layer gives out (spikes, else membranes, else currents),
            relative to the float model's power.
        spike_agreement: share of equal (sample, step, neuron) entries, None without spikes.
        spike_f1: harmonic mean of precision and recall of the spikes.
        membrane_snr: power of the float membrane over that of the difference, in dB.
        membrane_snr_agreeing: the same up to the first spike of a neuron that differs.
        current_snr: the same of the input current, all steps.
    """

    error: float
    spike_agreement: float | None
    spike_f1: float | None
    membrane_snr: float | None
    membrane_snr_agreeing: float | None
    current_snr: float | None


@dataclass(frozen=True)
class OutputMeasure:
    """The output of a model against the float model's; accuracies are None without labels.

    Attributes:
        error: squared error of the scores, relative to the power of the float model's.
        prediction_agreement: share of samples with the same prediction.
        spike_agreement: of the spiking layers next to the outputs, None without any.
        accuracy: share of right predictions.
        drop: accuracy of the float model less that.
    """

    error: float
    prediction_agreement: float
    spike_agreement: float | None
    accuracy: float | None
    drop: float | None


class Power:
    """Adds up squares of a signal and of its error.

    Args:
        what: they are of, for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.signal = self.error = 0.0

    def add(self, real: Array, other: Array, where: Array | None = None) -> None:
        """Add what the float model gives, and what is compared with it.

        Raises:
            NumericalError: it gives NaN or infinity.
        """
        with np.errstate(invalid="ignore"):
            signal = np.square(real, dtype=np.float64)
            error = np.subtract(real, other, dtype=np.float64)
            np.square(error, out=error)
        everywhere: Any = True if where is None else where
        self.signal += float(signal.sum(where=everywhere))
        self.error += float(error.sum(where=everywhere))
        if not math.isfinite(self.signal + self.error):
            raise NumericalError(
                f"{self._what} is NaN or infinite in the float model on these samples; "
                "repair or retrain the model"
            )

    @property
    def decibels(self) -> float:
        """Signal to error in dB, at most :data:`LIMIT_DB` either way."""
        if self.error == 0:
            return LIMIT_DB
        if self.signal == 0:
            return -LIMIT_DB
        ratio = 10 * (math.log10(self.signal) - math.log10(self.error))
        return max(-LIMIT_DB, min(LIMIT_DB, ratio))

    @property
    def ratio(self) -> float:
        """Error relative to the signal; 0: there is none."""
        if self.error == 0:
            return 0.0
        largest: float = 10 ** (LIMIT_DB / 10)
        return largest if self.signal == 0 else min(self.error / self.signal, largest)


class LayerMeter:
    """Compares one layer.

    Args:
        layer: the layer.
        runs: names of its neurons, those that go on from one another together, in order.
        real: the float model.
        mixed: the other model.
    """

    def __init__(
        self, layer: Layer, runs: Sequence[Sequence[str]], real: Mixed, mixed: Mixed
    ) -> None:
        self._layer = layer
        self._runs = runs
        self._real, self._mixed = real.watches, mixed.watches
        self._counters = [LayerCounter(layer.name) for _ in runs]
        self._spiking = bool(runs) and (runs[0][0], SPIKES) in real.watches
        whose = f"layer '{layer.name}'"
        self._membrane = Power(f"the membrane of {whose}")
        self._agreeing = Power(f"the membrane of {whose}")
        self._current = Power(f"the current into {whose}")
        self._output = Power(whose)

    def add(
        self, real: Mapping[str, Array], mixed: Mapping[str, Array], samples: RealSamples
    ) -> None:
        """Add one batch of both models."""
        for run, counter in zip(self._runs, self._counters, strict=True):
            pairs = {
                kind: (
                    _together(self._real, run, kind, real, samples),
                    _together(self._mixed, run, kind, mixed, samples),
                )
                for kind in (SPIKES, MEMBRANE, CURRENT)
                if kind != SPIKES or self._spiking
            }
            self._membrane.add(*pairs[MEMBRANE])
            self._current.add(*pairs[CURRENT])
            self._output.add(*pairs[SPIKES if self._spiking else MEMBRANE])
            if self._spiking:
                wanted, found = pairs[SPIKES]
                counter.add(found, wanted)
                differs = np.logical_or.accumulate(wanted != found, axis=0)
                # The membrane before the first spike that differs is compared at that step too.
                before = np.ones_like(differs)
                before[1:] = ~differs[:-1]
                self._agreeing.add(*pairs[MEMBRANE], before)
        for name in () if self._runs else self._layer.synapses:
            sides = ((self._real, real), (self._mixed, mixed))
            pair = [_values(side[name, CURRENT], values, samples) for side, values in sides]
            self._current.add(*pair)
            self._output.add(*pair)

    def result(self) -> LayerMeasure:
        """Return what was found."""
        agreement = f1 = None
        if self._spiking:
            agreement, f1 = agreement_of(self._counters)
        return LayerMeasure(
            error=self._output.ratio,
            spike_agreement=agreement,
            spike_f1=f1,
            membrane_snr=self._membrane.decibels if self._runs else None,
            membrane_snr_agreeing=self._agreeing.decibels if self._spiking else None,
            current_snr=self._current.decibels,
        )


class OutputMeter:
    """Compares scores, predictions, and the spikes of the layers next to the outputs.

    Args:
        ends: names of these neurons.
        real: the float model.
        mixed: the other model.
        labelled: whether there are labels.
    """

    def __init__(self, ends: Sequence[str], real: Mixed, mixed: Mixed, labelled: bool) -> None:
        self._real, self._mixed = real.watches, mixed.watches
        self._counters = {name: LayerCounter(name) for name in ends}
        self._labelled = labelled
        self._scores = Power("a score")
        self._samples = self._same = self._right = self._right_float = 0

    def add(
        self,
        scores: tuple[Array, Array],
        labels: Array | None,
        real: Mapping[str, Array],
        mixed: Mapping[str, Array],
        samples: RealSamples,
    ) -> None:
        """Add one batch: scores ``[B, classes]`` of the float model and of the other."""
        wanted, found = (np.asarray(side, np.float64) for side in scores)
        self._scores.add(wanted, found)
        predicted = [side.argmax(axis=1) for side in (wanted, found)]
        self._samples += len(wanted)
        self._same += int((predicted[0] == predicted[1]).sum())
        if labels is not None:
            self._right_float += int((predicted[0] == labels).sum())
            self._right += int((predicted[1] == labels).sum())
        for name, counter in self._counters.items():
            expected = _values(self._real[name, SPIKES], real, samples)
            counter.add(_values(self._mixed[name, SPIKES], mixed, samples), expected)

    def result(self) -> OutputMeasure:
        """Return what was found."""
        done = max(self._samples, 1)
        right = self._right / done if self._labelled else None
        drop = (self._right_float - self._right) / done if self._labelled else None
        agreement = agreement_of([*self._counters.values()])[0] if self._counters else None
        return OutputMeasure(self._scores.ratio, self._same / done, agreement, right, drop)


def _together(
    watches: Mapping[tuple[str, str], Watch],
    run: Sequence[str],
    kind: str,
    values: Mapping[str, Array],
    samples: RealSamples,
) -> Array:
    """Return the values of neurons that go on from one another, one after the other in time."""
    parts = [_values(watches[name, kind], values, samples) for name in run]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _values(watch: Watch, values: Mapping[str, Array], samples: RealSamples) -> Array:
    return samples.of(watch.real(values), None)
