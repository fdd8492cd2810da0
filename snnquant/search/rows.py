"""The rows of inputs that a synapse sees, by time step, from a value as the model holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.instrument import Runner
from snnquant.passes.edit import constant
from snnquant.search.patches import patches, window_of

Array = npt.NDArray[Any]


class Axes(Enum):
    """Where time and batch stand in the leading axes of a value."""

    STATIC = "[B, ...]"
    MERGED = "[T*B, ...]"
    MERGED_BATCH_FIRST = "[B*T, ...]"
    SEPARATE = "[T, B, ...]"
    SEPARATE_BATCH_FIRST = "[B, T, ...]"


def by_time(value: Array, axes: Axes, batch: int) -> Array:
    """Return a value as ``[T, B, ...]``; ``T`` is 1 where it does not change."""
    if axes is Axes.STATIC:
        return value[None]
    if axes is Axes.MERGED:
        return value.reshape(-1, batch, *value.shape[1:])
    if axes is Axes.MERGED_BATCH_FIRST:
        return np.moveaxis(value.reshape(batch, -1, *value.shape[1:]), 1, 0)
    return value if axes is Axes.SEPARATE else np.moveaxis(value, 1, 0)


def find_axes(
    runner: Runner, samples: Mapping[str, Array], synapses: Sequence[ir.Node], steps: int
) -> dict[ir.Node, Axes]:
    """Find where time and batch stand in what synapses read.

    Some samples are run, and then the same in reverse order.

    Args:
        runner: gives the inputs of the synapses.
        samples: at least one, as many as a fixed batch has.
        synapses: nodes with weights.
        steps: number of time steps of these samples.
    """
    batch = len(next(iter(samples.values())))
    feeds = [runner.feeds({k: v[::order] for k, v in samples.items()}) for order in (1, -1)]
    there, back = ({**feed, **runner.call(feed)} for feed in feeds)
    found = {}
    for node in synapses:
        name = input_of(node)
        # The second axis of what a convolution reads is that of the channels.
        separate = node.op_type != "Conv" and there[name].ndim > 2
        found[node] = _axes(there[name], back[name], batch, steps, separate)
    return found


def input_of(node: ir.Node) -> str:
    """Return the name of what a node reads first."""
    source = node.inputs[0]
    return "" if source is None else source.name or ""


def _axes(value: Array, mirrored: Array, batch: int, steps: int, separate: bool) -> Axes:
    """Return the first reading in which the samples, and nothing else, come in reverse order."""
    leads = {
        Axes.SEPARATE: separate and value.shape[:2] == (steps, batch),
        Axes.SEPARATE_BATCH_FIRST: separate and value.shape[:2] == (batch, steps),
        Axes.STATIC: len(value) == batch,
        Axes.MERGED: len(value) == batch * steps,
        Axes.MERGED_BATCH_FIRST: len(value) == batch * steps,
    }
    for axes, fits in leads.items():
        if fits:
            one, other = by_time(value, axes, batch), by_time(mirrored, axes, batch)
            if np.allclose(one[:, ::-1], other, rtol=1e-3, atol=1e-5):
                return axes
    raise ModelError(
        f"the batch axis of a value of shape {value.shape} was not found; use nearest rounding"
    )


@dataclass
class SynapseRows:
    """Turns a synapse's input into rows; positions of maps are drawn once and then stay.

    Attributes:
        node: of the float graph.
        axes: of its input.
        most: positions that are looked at.
        seed: of the draw.
    """

    node: ir.Node
    axes: Axes
    most: int
    seed: int = 0

    def of(self, value: Array, batch: int) -> Array:
        """Return rows ``[groups, T, n, weights]`` of a value."""
        if self.node.op_type != "Conv":
            timed = by_time(value, self.axes, batch)
            return timed.reshape(1, len(timed), -1, timed.shape[-1])
        weight = constant(self.node.inputs[1])
        if weight is None:
            raise RuntimeError(f"the weights of '{self.node.name}' are not constant")
        kernel = weight.shape[2:]
        window = window_of(self.node, kernel, value.shape[2:])
        rng = np.random.default_rng(self.seed)
        cut = patches(value, window, self.most, rng)
        steps = by_time(np.moveaxis(cut, 0, 1), self.axes, batch)
        moved = np.moveaxis(steps, 2, 0)
        return moved.reshape(len(moved), moved.shape[1], -1, moved.shape[-1])
