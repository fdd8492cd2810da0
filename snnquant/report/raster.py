"""Spikes of single samples, neuron by neuron and step by step, of a model beside its reference."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
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
        differing: how many of all neurons differ from the reference on any sample.
        cells: per sample two bits per entry ``[step, neuron]``, four to a byte, lowest first, in
            base64.
        counts: per sample.
    """

    name: str
    neurons: int
    steps: int
    shown: tuple[int, ...]
    differing: int
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
    shape: dict[str, tuple[int, int]] = {}
    differing: dict[str, Array] = {}
    counts: dict[str, list[RasterCounts]] = {name: [] for name in outputs}
    graded = False

    def compared(sample: KeptSample) -> Iterator[tuple[str, Array, Array | None]]:
        values = runner.run(sample.inputs)
        expected = {} if floats is None else floats.run(sample.inputs)
        for name, value in outputs.items():
            other = _flat(expected[shared[name]]) if name in shared and expected else None
            yield name, _flat(channels_third(values[value], nodes[name])), other

    for sample in samples:
        for name, spikes, other in compared(sample):
            graded |= bool((spikes > 1).any())
            shape.setdefault(name, (spikes.shape[1], spikes.shape[0]))
            code = _code(spikes, other)
            counts[name].append(_counts(spikes, other, code))
            unlike = ((code == _MORE) | (code == _FEWER))[:MAX_STEPS].sum(axis=0)
            differing[name] = differing.get(name, 0) + unlike
    entries = _MAX_ENTRIES // max(len(samples) * len(outputs), 1)
    chosen = {name: _choose(differing[name], steps, entries) for name, (_, steps) in shape.items()}
    # Once more, rather than to keep all entries of all neurons until it is known which are shown.
    cells: dict[str, list[str]] = {name: [] for name in outputs}
    for sample in samples:
        for name, spikes, other in compared(sample):
            cells[name].append(_packed(_code(spikes, other)[:MAX_STEPS, list(chosen[name])]))
    made = tuple(
        RasterLayer(
            name,
            *shape[name],
            chosen[name],
            int(np.count_nonzero(differing[name])),
            tuple(cells[name]),
            tuple(counts[name]),
        )
        for name in shape
    )
    return Raster(tuple(samples), made, floats is not None, graded)


def _flat(spikes: Array) -> Array:
    """Return the spikes of the first sample, ``[T, neurons]``."""
    return spikes[:, 0].reshape(len(spikes), -1)


def _choose(differing: Array, steps: int, entries: int) -> tuple[int, ...]:
    """Return the neurons to show, as many as there is room for.

    Where not all are, half the room is for those that differ most; the others are evenly spaced.
    """
    neurons = len(differing)
    room = max(entries // max(min(steps, MAX_STEPS), 1), _LEAST_NEURONS)
    count = min(neurons, MAX_NEURONS, room)
    if count == neurons:
        return tuple(range(neurons))
    order = np.argsort(-differing, kind="stable")
    most = order[: min(count // 2, int(np.count_nonzero(differing)))]
    left = np.setdiff1d(np.arange(neurons), most)
    even = left[np.linspace(0, len(left) - 1, count - len(most)).round().astype(np.int64)]
    return tuple(int(n) for n in np.sort(np.concatenate([most, even])))


def _code(spikes: Array, other: Array | None) -> Array:
    """Return what every entry is, ``[step, neuron]``."""
    seen = spikes if other is None else other
    code = np.where(spikes > seen, _MORE, np.where(spikes < seen, _FEWER, _EQUAL))
    return np.where((spikes == 0) & (seen == 0), _NONE, code).astype(np.uint8)


def _counts(spikes: Array, other: Array | None, code: Array) -> RasterCounts:
    return RasterCounts(
        int(spikes.sum(dtype=np.float64)),
        None if other is None else int(other.sum(dtype=np.float64)),
        int((code == _EQUAL).sum()),
        int((code == _MORE).sum()),
        int((code == _FEWER).sum()),
        int(code.size),
    )


def _packed(code: Array) -> str:
    """Return entries, four to a byte, in base64."""
    entries = code.reshape(-1)
    four = np.pad(entries, (0, -len(entries) % 4)).reshape(-1, 4)
    packed = four[:, 0] | four[:, 1] << 2 | four[:, 2] << 4 | four[:, 3] << 6
    return base64.b64encode(packed.astype(np.uint8).tobytes()).decode()
