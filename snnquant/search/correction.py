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
from snnquant.ops.schema import CURRENT, schemas
from snnquant.search.moments import filtered
from snnquant.search.segments import needed_nodes, submodel

Array = npt.NDArray[Any]

#: Thresholds that are tried, as factors, and then shifts of the current, in thresholds.
_FACTORS = np.linspace(0.85, 1.15, 13)
_SHIFTS = np.linspace(-0.12, 0.12, 13)


@dataclass(frozen=True)
class Correction:
    """What is to be moved, per channel, and what that did to the samples that were held out.

    Attributes:
        threshold_factor: ``[channels]``.
        current_shift: integer steps that are added to the current, ``[channels]``.
        distance, distance_before: mean squared distance of the spike trains per neuron and step.
    """

    threshold_factor: FloatArray
    current_shift: IntArray
    distance: float
    distance_before: float


class NeuronTrials:
    """Runs one layer of integer neurons with other thresholds and other currents.

    Args:
        model: integer model.
        node: the neuron, with one threshold or one per channel.
        batches: what the neuron needs of each batch: its current, states that are inputs.
        spikes: those of the float neuron, ``[T, B, channels, ...]`` for each batch.
        leaks: decays of the membrane.
        held_out: so many of the last batches are not searched.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        node: onnx.NodeProto,
        batches: Sequence[Mapping[str, Array]],
        spikes: Sequence[Array],
        leaks: Sequence[float],
        held_out: int,
    ) -> None:
        ports = [port.name for port in schemas()[node.op_type].inputs]
        self._current = node.input[ports.index(CURRENT)]
        self._fire = node.input[ports.index(V_THRESHOLD.constant_name)]
        held = {tensor.name: tensor for tensor in model.graph.initializer}
        self.fire_above = numpy_helper.to_array(held[self._fire])
        examples = {**batches[0], self._fire: self.fire_above}
        nodes = needed_nodes(model, set(examples), [node.output[0]])
        piece = submodel(model, nodes, examples, [node.output[0]])
        self._session = runtime.load_session(piece.SerializeToString(), spinning=False)
        self._inputs = [value.name for value in piece.graph.input]
        self._batches = batches
        self._spikes = spikes
        self._leaks = leaks
        self._split = len(batches) - held_out
        self.channels = int(batches[0][self._current].shape[2])

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

    def entries(self) -> int:
        """Return the number of neurons and steps that are held out."""
        return sum(spikes.size for spikes in self._spikes[self._split :])


def correct(trials: NeuronTrials) -> Correction | None:
    """Search thresholds and shifts of the current; None: nothing helps, or nothing can be moved."""
    held = trials.fire_above
    if held.ndim != 1 or held.size not in (1, trials.channels):
        return None
    threshold = np.broadcast_to(held, (trials.channels,)).astype(np.int64)
    factor, shift = np.ones(trials.channels), np.zeros(trials.channels, np.int64)
    best, checked = trials.distances(threshold, shift)
    before = checked.sum()
    for tried in _FACTORS:
        distance, other = trials.distances(np.floor(threshold * tried).astype(np.int64), shift)
        better = distance < best
        best, checked = np.where(better, distance, best), np.where(better, other, checked)
        factor[better] = tried
    moved = np.floor(threshold * factor).astype(np.int64)
    for share in _SHIFTS:
        steps = np.rint(np.abs(threshold) * share).astype(np.int64)
        distance, other = trials.distances(moved, steps)
        better = distance < best
        best, checked = np.where(better, distance, best), np.where(better, other, checked)
        shift[better] = steps[better]
    if not checked.sum() < before:
        return None
    entries = max(trials.entries(), 1)
    return Correction(factor, shift, float(checked.sum() / entries), float(before / entries))
