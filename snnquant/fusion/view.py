"""What a value of the integer graph is in the fused one: channels last, leading axes apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from snnquant.numerics import IntArray
from snnquant.ops.fused import Synapse

#: A size, or what stands for one: equal names are equal sizes.
Dim = int | str


class NotFusedError(Exception):
    """Something stays as it is; the message is the reason."""


@dataclass(frozen=True)
class Lead:
    """The axes in front of the features.

    Attributes:
        axes: how many the value has in the integer graph: 2 (time and batch), or 1 where these are
            merged, or where there is no time.
        timed: in the fused graph there are two; else only the batch.
        steps: number of steps; without ``timed``: how often the value is repeated over time, None
            where it is not.
        batch: number of samples.
        rows: further axes along which features are the same, as tokens are.
    """

    axes: int
    timed: bool
    steps: Dim | None
    batch: Dim
    rows: tuple[Dim, ...] = ()

    @property
    def rank(self) -> int:
        """Leading axes in the fused graph."""
        return (2 if self.timed else 1) + len(self.rows)

    def reshaped(self, dims: tuple[Dim, ...]) -> Lead:
        """Return the same behind a reshape of the leading axes.

        Args:
            dims: the new ones in the integer graph; as many values as before.

        Raises:
            NotFusedError: they may be other steps and samples than before.
        """
        if len(dims) == self.axes == 1:
            return self
        if dims != (self.steps, self.batch, *self.rows) and (self.rows or len(dims) > 2):
            raise NotFusedError(f"a reshape to {list(dims)} splits or joins rows of features")
        if self.steps is None and len(dims) == 2:
            if dims[0] != 1:
                raise NotFusedError("its input has no time axis before the currents do")
            return replace(self, axes=2, steps=1)
        if len(dims) == 2 and self.steps != dims[0] and self.batch != dims[1]:
            raise NotFusedError(
                f"a reshape to {list(dims)} may not lead back to steps and samples, "
                f"{[self.steps, self.batch]}"
            )
        return replace(self, axes=len(dims))

    def matches(self, other: Lead) -> bool:
        """Whether two values have the same steps and samples."""
        own = (self.axes, self.steps, self.batch, self.rows)
        return own == (other.axes, other.steps, other.batch, other.rows)


@dataclass(frozen=True)
class View:
    """Spikes, or an input, in the fused graph.

    Attributes:
        value: uint8, ``[T, B, *space, channels]``, without T where the lead is not timed.
        lead: leading axes.
        space: sizes of the spatial axes.
        channels: number of channels.
        high: largest integer in ``value``.
        zero: the integer that counts as 0.
        flat: in the integer graph channels and space are one axis, channels in front.
        native: computed channels last; else it was transposed.
    """

    value: ir.Value
    lead: Lead
    space: tuple[int, ...]
    channels: int
    high: int
    zero: int = 0
    flat: bool = False
    native: bool = False

    @property
    def reach(self) -> int:
        """Largest magnitude."""
        return max(self.high - self.zero, self.zero)

    @property
    def features(self) -> tuple[int, ...]:
        """Axes behind the leading ones in the integer graph."""
        full = (self.channels, *self.space)
        return (math.prod(full),) if self.flat else full


@dataclass(frozen=True)
class Pending:
    """A synapse that is not emitted yet.

    Attributes:
        name: of its node.
        note: what its node says about the steps it counts in.
        view: what it reads; a linear one reads all channels and space as one axis.
        kind: linear or convolution.
        weight: ``[channels, fan_in]`` as fused ops want them.
        bias: ``[channels]``.
        gain: factor of the sums.
        window: lists of a convolution.
        group: groups of channels.
    """

    name: str
    note: str
    view: View
    kind: Synapse
    weight: IntArray
    bias: IntArray
    gain: int
    window: dict[str, tuple[int, ...]]
    group: int = 1


@dataclass(frozen=True)
class Current:
    """A sum of synapses and of int32 values in the fused graph.

    Attributes:
        lead: leading axes.
        space: sizes of the spatial axes.
        channels: number of channels.
        synapses: of the sum.
        extras: further int32 values ``[T, B, *space, channels]``, or without T.
        written: synapses that are part of the extras already.
    """

    lead: Lead
    space: tuple[int, ...]
    channels: int
    synapses: tuple[Pending, ...] = ()
    extras: tuple[ir.Value, ...] = ()
    written: tuple[Pending, ...] = ()

    @property
    def sources(self) -> tuple[Pending, ...]:
        """All synapses that it is a sum of."""
        return self.synapses + self.written

    @property
    def features(self) -> tuple[int, ...]:
        """Axes behind the leading ones in the integer graph."""
        return (self.channels, *self.space)
