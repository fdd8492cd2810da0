"""Spikes of single samples, neuron by neuron and step by step, of a model beside its reference."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.evaluate import spiking_outputs
from snnquant.instrument import Runner
from snnquant.model_file import neuron_nodes
from snnquant.ops.fused import channels_third
from snnquant.report.samples import KeptSample
from snnquant.stepping import StepRunner, open_runner

Array = npt.NDArray[Any]
#: Most neurons and steps of a layer that are shown, and entries of the whole raster.
MAX_NEURONS, MAX_STEPS, _MAX_ENTRIES = 128, 512, 4_000_000
_LEAST_NEURONS = 8
#: What an entry is: nothing, more spikes in the model, more in the reference, as many in both.
_NONE, _MORE, _FEWER, _EQUAL = range(4)


@dataclass(frozen=True)
class RasterCounts:
    """Entries (step, neuron) of one layer on one sample, all neurons and steps.

    Attributes:
        spikes, spikes_float: of the model and of the reference.
        equal: entries with spikes, as many in both.
        more, fewer: entries in which the model gives more or fewer spikes.
        entries: number of entries.
    """

    spikes: int
    spikes_float: int | None
    equal: int
    more: int
    fewer: int
    entries: int


@dataclass(frozen=True)
class RasterLayer:
    """One layer on all samples.

    Attributes:
        name: of the layer.
        neurons, steps: of the layer.
        shown: indices of the neurons that are shown.
        cells: per sample two bits per entry ``[step, neuron]``, four to a byte, lowest first, in
            base64.
        counts: per sample.
    """

    name: str
    neurons: int
    steps: int
    shown: tuple[int, ...]
    cells: tuple[str, ...]
    counts: tuple[RasterCounts, ...]

    @property
    def shown_steps(self) -> int:
        """Steps that are shown, from the first on."""
        return min(self.steps, MAX_STEPS)


@dataclass(frozen=True)
class Raster:
    """Spikes of all spiking layers on the kept samples; graded: a step can give several."""

    samples: tuple[KeptSample, ...]
    layers: tuple[RasterLayer, ...]
    compared: bool
    graded: bool


def spike_raster(
    model: onnx.ModelProto,
    reference: onnx.ModelProto | None,
    samples: Sequence[KeptSample],
    *,
    custom_ops: bool = True,
    threads: int | None = None,
) -> Raster:
    """Run both models on single samples and compare their spikes.

    Args:
        model: the model that was evaluated.
        reference: canonical float graph, None without one.
        samples: to run.
        custom_ops: use the library.
        threads: threads of ONNX Runtime.
    """
    outputs = spiking_outputs(model)
    nodes = {node.name: node for node in neuron_nodes(model)}
    origin = {} if reference is None else spiking_outputs(reference)
    shared = {name: origin[name] for name in outputs if name in origin}
    runner = open_runner(model, list(outputs.values()), custom_ops=custom_ops, threads=threads)
    floats: Runner | StepRunner | None = None
    if reference is not None and shared:
        floats = Runner(reference, list(shared.values()), custom_ops=False, threads=threads)
    layers: dict[str, list[tuple[str, RasterCounts]]] = {name: [] for name in outputs}
    shape: dict[str, tuple[int, int]] = {}
    chosen: dict[str, tuple[int, ...]] = {}
    graded = False
    for sample in samples:
        values = runner.run(sample.inputs)
        expected = {} if floats is None else floats.run(sample.inputs)
        for name, value in outputs.items():
            spikes = _flat(channels_third(values[value], nodes[name]))
            other = _flat(expected[shared[name]]) if name in shared and expected else None
            graded |= bool((spikes > 1).any())
            if name not in shape:
                shape[name] = spikes.shape[1], spikes.shape[0]
                entries = _MAX_ENTRIES // max(len(samples) * len(outputs), 1)
                chosen[name] = _choose(spikes.shape[1], spikes.shape[0], entries)
            layers[name].append(_compare(spikes, other, chosen[name]))
    made = tuple(
        RasterLayer(
            name,
            *shape[name],
            chosen[name],
            tuple(cells for cells, _ in found),
            tuple(counts for _, counts in found),
        )
        for name, found in layers.items()
        if found
    )
    return Raster(tuple(samples), made, floats is not None, graded)


def _flat(spikes: Array) -> Array:
    """Return the spikes of the first sample, ``[T, neurons]``."""
    return spikes[:, 0].reshape(len(spikes), -1)


def _choose(neurons: int, steps: int, entries: int) -> tuple[int, ...]:
    """Return evenly spaced neurons, as many as there is room for."""
    room = max(entries // max(min(steps, MAX_STEPS), 1), _LEAST_NEURONS)
    count = min(neurons, MAX_NEURONS, room)
    return tuple(int(n) for n in np.linspace(0, max(neurons - 1, 0), count).round())


def _compare(
    spikes: Array, other: Array | None, chosen: tuple[int, ...]
) -> tuple[str, RasterCounts]:
    """Return the packed entries of the chosen neurons, and counts over all."""
    seen = spikes if other is None else other
    code = np.where(spikes > seen, _MORE, np.where(spikes < seen, _FEWER, _EQUAL))
    code = np.where((spikes == 0) & (seen == 0), _NONE, code)
    counts = RasterCounts(
        int(spikes.sum(dtype=np.float64)),
        None if other is None else int(other.sum(dtype=np.float64)),
        int((code == _EQUAL).sum()),
        int((code == _MORE).sum()),
        int((code == _FEWER).sum()),
        int(code.size),
    )
    shown = code[:MAX_STEPS, list(chosen)].reshape(-1).astype(np.uint8)
    four = np.pad(shown, (0, -len(shown) % 4)).reshape(-1, 4)
    packed = four[:, 0] | four[:, 1] << 2 | four[:, 2] << 4 | four[:, 3] << 6
    return base64.b64encode(packed.astype(np.uint8).tobytes()).decode(), counts
