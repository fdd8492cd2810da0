"""Thresholds and biases moved a little, so that spikes come where the float neurons' come.

What counts is the distance of two spike trains behind the leak (van Rossum, Neural Computation 13,
2001): it sees how many spikes there are, and when. Every channel is moved for itself, on one part
of the samples; the layer stays as it was unless it comes closer on the other part too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from snnquant import runtime
from snnquant.neurons.dynamics import V_THRESHOLD
from snnquant.numerics import INT32, FloatArray, IntArray
from snnquant.ops.schema import CURRENT, DOMAIN, schemas
from snnquant.search.moments import filtered
from snnquant.search.segments import needed_nodes, submodel

Array = npt.NDArray[Any]

#: Thresholds that are tried, as factors, and then shifts of the current, in thresholds.
_FACTORS = np.linspace(0.85, 1.15, 13)
_SHIFTS = np.linspace(-0.12, 0.12, 13)


@dataclass(frozen=True)
class Correction:
    """What is to be moved, per channel, and how far the spike trains are off then.

    Attributes:
        threshold_factor: ``[channels]``.
        current_shift: integer steps that are added to the current, ``[channels]``.
        searched: mean squared distance of the spike trains per neuron and step, on the samples
            that were searched.
        distance: the same on those that were held out.
    """

    threshold_factor: FloatArray
    current_shift: IntArray
    searched: float
    distance: float

    @property
    def moves(self) -> bool:
        """Whether anything is moved."""
        return bool((self.threshold_factor != 1).any() or self.current_shift.any())

    def beats(self, other: Correction, share: float = 1.0) -> bool:
        """Whether the spikes are closer on either part of the samples, below a share at least."""
        return self.searched < share * other.searched and self.distance < share * other.distance


class NeuronTrials:
    """Runs one layer of integer neurons with other thresholds and other currents.

    Args:
        model: integer model.
        name: of the neuron.
        batches: what the neuron needs of each batch: its current, states that are inputs.
        spikes: those of the float neuron, ``[T, B, channels, ...]`` for each batch.
        leaks: decays of the membrane.
        held_out: so many of the last batches are not searched.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        name: str,
        batches: Sequence[Mapping[str, Array]],
        spikes: Sequence[Array],
        leaks: Sequence[float],
        held_out: int,
    ) -> None:
        (node,) = (n for n in model.graph.node if n.name == name and n.domain == DOMAIN)
        ports = [port.name for port in schemas()[node.op_type].inputs]
        self._current = node.input[ports.index(CURRENT)]
        self._fire = node.input[ports.index(V_THRESHOLD.constant_name)]
        held = {tensor.name: tensor for tensor in model.graph.initializer}
        self.fire_above = numpy_helper.to_array(held[self._fire])
        examples = {**batches[0], self._fire: self.fire_above}
        nodes = needed_nodes(model, set(examples), [node.output[0]])
        piece = submodel(model, nodes, examples, [node.output[0]])
        self._name, self._held_out = name, held_out
        self._session = runtime.load_session(piece.SerializeToString(), spinning=False)
        self._inputs = [value.name for value in piece.graph.input]
        self._batches = batches
        self._spikes = spikes
        self._leaks = leaks
        self._split = len(batches) - held_out
        self.channels = int(batches[0][self._current].shape[2])

    def of_model(self, model: onnx.ModelProto) -> NeuronTrials:
        """Return trials on the same samples of the neuron in a model with other constants."""
        return NeuronTrials(
            model, self._name, self._batches, self._spikes, self._leaks, self._held_out
        )

    def as_it_is(self) -> Correction:
        """Return what moves nothing."""
        nothing = np.zeros(self.channels, np.int64)
        return self.correction(
            np.ones(self.channels), nothing, *self.distances(self.fire_above, nothing)
        )

    def correction(
        self, factor: FloatArray, shift: IntArray, searched: FloatArray, held_out: FloatArray
    ) -> Correction:
        """Return a correction with distances per neuron and step, of sums per channel."""
        sizes = [spikes.size for spikes in self._spikes]
        parts = sum(sizes[: self._split]), sum(sizes[self._split :])
        means = (
            float(d.sum() / max(n, 1)) for d, n in zip((searched, held_out), parts, strict=True)
        )
        return Correction(factor, shift, *means)

    def distances(self, fire_above: IntArray, shift: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return squared distances per channel, on what is searched and on what is held out."""
        totals = np.zeros((2, self.channels))
        for index, (batch, wanted) in enumerate(zip(self._batches, self._spikes, strict=True)):
            current = batch[self._current]
            along = shift.reshape(-1, *([1] * (current.ndim - 3)))
            moved = INT32.saturate(current.astype(np.int64) + along).astype(np.int32)
            given = {**batch, self._current: moved, self._fire: fire_above.astype(np.int32)}
            (spikes,) = self._session.run(None, {name: given[name] for name in self._inputs})
            error = filtered(spikes.astype(np.float64) - wanted, self._leaks)
            rest = tuple(axis for axis in range(error.ndim) if axis != 2)
            totals[int(index >= self._split)] += np.square(error).sum(axis=rest)
        return totals[0], totals[1]


def correct(
    trials: NeuronTrials, starts: Sequence[float] = (1.0,), *, alone: bool = True
) -> Correction:
    """Search thresholds and shifts of the current, and keep them if unseen samples agree.

    Args:
        trials: runs the layer.
        starts: factors of which one is chosen for all thresholds, before channels are looked at.
        alone: channels may be moved for themselves.
    """
    held, unmoved = trials.fire_above, trials.as_it_is()
    if held.ndim != 1 or held.size not in (1, trials.channels):
        return unmoved
    threshold = np.broadcast_to(held, (trials.channels,)).astype(np.int64)
    shift = np.zeros(trials.channels, np.int64)

    def tried(factor: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        return trials.distances(np.floor(threshold * factor).astype(np.int64), shift)

    results = [(*tried(start), start) for start in starts]
    best, checked, start = min(results, key=lambda result: float(result[0].sum()))
    factor = np.full(trials.channels, start)
    if alone:
        for other in start * _FACTORS:
            distance, unseen = tried(other)
            better = distance < best
            best, checked = np.where(better, distance, best), np.where(better, unseen, checked)
            factor[better] = other
        moved = np.floor(threshold * factor).astype(np.int64)
        for share in _SHIFTS:
            steps = np.rint(np.abs(threshold) * share).astype(np.int64)
            distance, unseen = trials.distances(moved, steps)
            better = distance < best
            best, checked = np.where(better, distance, best), np.where(better, unseen, checked)
            shift[better] = steps[better]
    found = trials.correction(factor, shift, best, checked)
    return found if found.distance < unmoved.distance else unmoved
