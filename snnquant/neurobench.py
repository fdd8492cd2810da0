"""NeuroBench's metrics of a model and of what it does with data.

By the definitions of the ``neurobench`` package 2.3 (Yik et al., The NeuroBench framework,
Nature Communications 16, 2025): zero inputs and zero weights cost no synaptic operation, biases
are none, an operation is an accumulation where all inputs of its layer are -1, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from snnquant.connections import connections_of, held_constants
from snnquant.errors import UsageError
from snnquant.membranes import MembraneProbe
from snnquant.ops.packing import stored_bits
from snnquant.spike_counter import LayerCounter
from snnquant.stepping import is_step_model

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NeuroBench:
    """NeuroBench's metrics; operations and updates are means over the samples.

    Attributes:
        footprint: bytes of all weights, biases and constants of neurons, as the file holds them.
        connection_sparsity: share of weights that are 0.
        activation_sparsity: share of the outputs of spiking neurons that are 0.
        effective_macs: multiplications of inputs and weights that are not 0.
        effective_acs: the same in layers whose inputs are all -1, 0 or 1: additions.
        dense: operations if nothing were 0.
        membrane_updates: neurons and steps at which the membrane that the threshold sees changed;
            at the first step all.
        weights: number of weights.
        weight_bits: bits of all weights, packed to 2, 4 or 8 each where they are that narrow.
    """

    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    membrane_updates: float
    weights: int
    weight_bits: int


#: Metrics that are operations or updates per sample, and those that are shares, as people call
#: them.
PER_SAMPLE = {
    "effective_macs": "effective MACs",
    "effective_acs": "effective ACs",
    "dense": "dense operations",
    "membrane_updates": "membrane updates",
}
SHARES = {
    "activation_sparsity": "activation sparsity",
    "connection_sparsity": "connection sparsity",
}


class NeuroBenchCounter:
    """Counts what a model does, batch by batch.

    Args:
        model: canonical float model, or integer model, fused or not.

    Attributes:
        model: the same with what computes the currents inside of fused ops.
        probe: of its membranes.
        values: inner values that :meth:`add` needs.

    Raises:
        UsageError: a model of single steps.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        if is_step_model(model):
            raise UsageError(
                "--neurobench needs whole sequences; evaluate the model without --mode step"
            )
        self.probe = MembraneProbe(model)
        self.model = self.probe.model
        self._connections = connections_of(model, held_constants(model, stored=True))
        wanted = [connection.source for connection in self._connections]
        self.values = list(dict.fromkeys([*wanted, *self.probe.values]))
        self._footprint = _footprint(model)
        self._samples = 0
        self._updates = 0
        self._dense = [0.0] * len(self._connections)
        self._effective = [0.0] * len(self._connections)
        self._binary = [True] * len(self._connections)

    def add(self, values: Mapping[str, Array], count: int, fixed_batch: int | None) -> None:
        """Add one batch.

        Args:
            values: arrays by name, as the model gives them.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        for index, connection in enumerate(self._connections):
            found = connection.count(values[connection.source], count, fixed_batch)
            self._dense[index] += found.dense
            self._effective[index] += found.effective
            self._binary[index] &= found.binary
        for layer in self.probe.layers:
            membranes = self.probe.membranes(layer, values, count, fixed_batch)
            # At how many neurons and steps the membrane that the threshold sees changes.
            self._updates += int(membranes[0].size + (membranes[1:] != membranes[:-1]).sum())
        self._samples += count

    def result(self, layers: list[LayerCounter]) -> NeuroBench:
        """Return the metrics, with the spikes that were counted per layer."""
        samples = max(self._samples, 1)
        entries = sum(layer.entries for layer in layers)
        active = sum(int(layer.active.sum()) for layer in layers if layer.active is not None)
        weights = [connection.weight for connection in self._connections]
        total = sum(weight.size for weight in weights)
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        kinds = list(zip(self._effective, self._binary, strict=True))
        return NeuroBench(
            footprint=self._footprint,
            connection_sparsity=zeros / total if total else 0.0,
            activation_sparsity=1 - active / entries if entries else 0.0,
            effective_macs=sum(n for n, binary in kinds if not binary) / samples,
            effective_acs=sum(n for n, binary in kinds if binary) / samples,
            dense=sum(self._dense) / samples,
            membrane_updates=self._updates / samples,
            weights=total,
            weight_bits=sum(_bits(weight) for weight in weights),
        )


def _footprint(model: onnx.ModelProto) -> int:
    """Return the bytes of all constants but int64, which only say shapes and axes."""
    return sum(
        numpy_helper.to_array(tensor).nbytes
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.INT64
    )


def _bits(weight: Array) -> int:
    """Return the bits of some weights, packed if they are narrow integers."""
    if weight.dtype.kind == "f":
        return int(weight.nbytes * 8)
    try:
        return int(weight.size * stored_bits(weight.astype(np.int64)))
    except ValueError:
        return int(weight.nbytes * 8)
