"""Histograms of membranes, in units of the threshold, so that integers and real numbers compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.data import Dataset
from snnquant.instrument import Runner
from snnquant.membranes import MembraneProbe, NeuronLayer
from snnquant.neurons.dynamics import V_THRESHOLD
from snnquant.neurons.simulate import along_channels
from snnquant.report.histogram import Histogram, histogram_for
from snnquant.stepping import StepRunner, open_runner

Array = npt.NDArray[Any]
BINS = 60
#: Shares of the membranes that may lie outside of the bins: what matters is near the threshold.
_OUTSIDE = (0.02, 0.001)
#: Samples that are looked at, at most, and entries (step, neuron) in all and of one batch.
_MAX_SAMPLES, _MAX_ENTRIES, _BATCH_ENTRIES = 64, 1 << 25, 1 << 22
#: Constant that holds the threshold: the integer above which a neuron fires, or the real one.
_THRESHOLD = V_THRESHOLD.constant_name


@dataclass(frozen=True)
class MembraneLayer:
    """Membranes of one layer.

    Attributes:
        name: of the layer.
        unit: of the values: "thresholds", "real", or "steps" of an integer.
        histogram: of the models that can be given in that unit.
        thresholds: smallest and largest number above which a neuron fires, in the model's own
            numbers; None without one.
    """

    name: str
    unit: str
    histogram: Histogram
    thresholds: tuple[float, float] | None


@dataclass(frozen=True)
class Membranes:
    """Membranes of all layers on the first samples of the data."""

    samples: int
    layers: tuple[MembraneLayer, ...]


class _Model:
    """One model whose membranes are looked at."""

    def __init__(self, model: onnx.ModelProto, custom_ops: bool, threads: int | None) -> None:
        self.probe = MembraneProbe(model)
        self.runner: Runner | StepRunner = open_runner(
            self.probe.model, self.probe.values, custom_ops=custom_ops, threads=threads
        )
        self.layers = {layer.name: layer for layer in self.probe.layers}

    def run(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Return the membranes of every layer, ``[T, B, channels, ...]``."""
        fixed = self.runner.layout.fixed_batch
        values = self.probe.started(self.runner.run(inputs), count, fixed)
        return {n: self.probe.membranes(x, values, count, fixed) for n, x in self.layers.items()}


def membrane_histograms(
    model: onnx.ModelProto,
    reference: onnx.ModelProto | None,
    dataset: Dataset,
    *,
    names: tuple[str, str],
    samples: int,
    entries: int,
    scales: Mapping[str, Any],
    custom_ops: bool = True,
    threads: int | None = None,
) -> Membranes:
    """Run both models on the first samples and count their membranes.

    Args:
        model: the model that was evaluated.
        reference: canonical float graph, None without one.
        dataset: samples.
        names: what the two models are called.
        samples: at most this many.
        entries: steps and neurons of one sample, of all layers.
        scales: real value of one integer step of a membrane, per layer, where that is known.
        custom_ops: use the library.
        threads: threads of ONNX Runtime.
    """
    wanted = max(1, min(samples, _MAX_SAMPLES, _MAX_ENTRIES // max(entries, 1)))
    size = max(1, min(wanted, _BATCH_ENTRIES // max(entries, 1)))
    models = {names[0]: _Model(model, custom_ops, threads)}
    if reference is not None:
        models[names[1]] = _Model(reference, False, threads)
    own = models[names[0]]
    units = {name: _Unit(name, models, scales) for name in own.layers}
    found: dict[str, Histogram] = {}
    done = 0
    for batch in dataset.batches(own.runner.batch_size(size), wanted):
        seen = {name: each.run(batch.inputs, len(batch)) for name, each in models.items()}
        for layer, unit in units.items():
            values = {
                name: unit.of(name, membranes[layer])
                for name, membranes in seen.items()
                if layer in membranes and name in unit.divisors
            }
            if layer not in found:
                joined = np.concatenate([v.reshape(-1) for v in values.values()])
                inside = (0.0, 1.0) if unit.unit == "thresholds" else (0.0,)
                found[layer] = histogram_for(joined, BINS, include=inside, outside=_OUTSIDE)
            for name, array in values.items():
                found[layer].add(name, array)
        done += len(batch)
    return Membranes(
        done,
        tuple(
            MembraneLayer(layer, unit.unit, found[layer], unit.thresholds)
            for layer, unit in units.items()
            if layer in found
        ),
    )


class _Unit:
    """The unit in which the membranes of one layer compare, and what a model's are divided by."""

    def __init__(self, name: str, models: Mapping[str, _Model], scales: Mapping[str, Any]) -> None:
        first = next(iter(models))
        found = {
            model: _threshold(each.probe, each.layers[name])
            for model, each in models.items()
            if name in each.layers
        }
        own = found[first]
        exact = 0.5 if models[first].layers[name].op.integer else 0.0
        self.thresholds = None
        if own is not None:
            self.thresholds = float(own.min()) - exact, float(own.max()) - exact
        self.divisors: dict[str, Array] = {}
        if all(t is not None and (t > 0).all() for t in found.values()):
            self.unit = "thresholds"
            self.divisors = {model: t for model, t in found.items() if t is not None}
            return
        one = np.ones(1)
        integer = models[first].layers[name].op.integer
        if integer and name not in scales:
            self.unit = "steps"
            self.divisors = {first: one}
            return
        self.unit = "real"
        self.divisors = dict.fromkeys(found, one)
        if integer:
            self.divisors[first] = 1 / np.asarray(scales[name], np.float64)

    def of(self, model: str, membranes: Array) -> Array:
        """Return membranes ``[T, B, channels, ...]`` in the unit."""
        return np.asarray(membranes / along_channels(self.divisors[model], membranes.shape[1:]))


def _threshold(probe: MembraneProbe, layer: NeuronLayer) -> Array | None:
    """Return what a neuron fires above; of integers the middle of the step in which it does."""
    held = probe.constants(layer).get(_THRESHOLD)
    if held is None or not layer.op.neuron.spiking:
        return None
    return np.asarray(held, np.float64) + (0.5 if layer.op.integer else 0.0)
