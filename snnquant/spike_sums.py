"""Spikes counted by the graph itself, which leaves nothing but sums to hand over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant.names import take_name


@dataclass(frozen=True)
class SpikeSum:
    """Names of the outputs that tell of one layer's spikes ``[T, B, ...]``.

    Attributes:
        sums: spikes of all neurons, ``[T*B]``; exact below 2**24 in one step of one sample.
        shape: of the spikes.
    """

    sums: str
    shape: str

    @property
    def names(self) -> tuple[str, str]:
        """Both names."""
        return self.sums, self.shape

    def read(self, values: Mapping[str, npt.NDArray[Any]], samples: int) -> tuple[float, int, int]:
        """Return what a run of the graph says of the first samples of its batch.

        Args:
            values: results by output name.
            samples: so many count, and none of those that fill up a fixed batch.

        Returns:
            Spikes, entries that could have been some, and steps.
        """
        steps, batch, *neurons = values[self.shape].tolist()
        sums = values[self.sums].reshape(steps, batch)[:, :samples]
        return float(sums.sum(dtype=np.float64)), sums.size * prod(neurons), steps


def with_spike_sums(
    model: onnx.ModelProto, spikes: Iterable[str]
) -> tuple[onnx.ModelProto, dict[str, SpikeSum]]:
    """Return a copy of a float graph that sums spikes, and by value what it has to output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    taken = {value.name for value in (*graph.input, *graph.initializer)}
    taken.update(name for node in graph.node for name in (node.name, *node.input, *node.output))
    axes = take_name("spike_sums.axes", taken)
    graph.initializer.append(helper.make_tensor(axes, onnx.TensorProto.INT64, [1], [1]))
    found = {}
    for name in spikes:
        rows, sums, shape = (
            take_name(f"{name}.{part}", taken) for part in ("rows", "sums", "shape")
        )
        # Axis 2 is the first of the neurons, of whatever rank the layer is.
        graph.node.append(helper.make_node("Flatten", [name], [rows], name=rows, axis=2))
        graph.node.append(helper.make_node("ReduceSum", [rows, axes], [sums], sums, keepdims=0))
        graph.node.append(helper.make_node("Shape", [name], [shape], name=shape))
        found[name] = SpikeSum(sums, shape)
    return copy, found
