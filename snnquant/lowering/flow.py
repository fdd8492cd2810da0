"""What is known of a value on its way to integers: integer, current on a scale, or float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from snnquant.lowering.terms import (
    FLOAT_STEPS,
    Constant,
    Term,
    choose_gains,
    coarsened,
    common_shift,
    float_step,
    fraction_bits,
    largest_constants,
    room_for,
)
from snnquant.numerics import FloatArray, IntArray, IntRange
from snnquant.ops.schema import CURRENT_SHIFT
from snnquant.rounding.weight_grid import DEFAULT_COHERENCE, WeightRows, grid_scales
from snnquant.target import Target


class Kind(Enum):
    """How a value of the float graph is carried in the integer graph."""

    INTEGER = "spikes, counts, or a quantized analog value: integers times one factor"
    CURRENT = "a sum of weighted integers: int32 times the scale of its group"
    FLOAT = "as it is"


class StaysFloat(Exception):  # noqa: N818 - a verdict, not an error
    """A node cannot be carried in integers; the message is the reason, for people."""


@dataclass
class Group:
    """Synapses whose currents are added up, and so need one membrane scale (per channel).

    Attributes:
        name: first synapse of the group, for reports.
        terms: all weights.
        per_tensor: one scale for all channels is needed.
        constants: real constants on the membrane scale.
        largest_current: largest calibrated magnitude of float currents that join.
        current_shift: left shift of the current in the neuron, for targets without gains; elsewhere
            gains hold the fraction bits. Negative where states are coarser than currents.
        coarser: bits by which membranes are to be coarser than their constants ask for,
            ``[channels]`` or ``[1]``; None: none.
        scale: of the current, ``[channels]`` or ``[1]``, once chosen; the membrane's is
            ``scale / 2**current_shift``.
        merged_into: the group that this one became part of.
        twins: terms that have the gain of another one, of which they are a copy.
        summands: how many currents are added up where most are, in windows that are averaged.
    """

    name: str
    terms: list[Term] = field(default_factory=list)
    per_tensor: bool = False
    constants: list[Constant] = field(default_factory=list)
    largest_current: float = 0.0
    current_shift: int = 0
    coarser: IntArray | None = None
    scale: FloatArray | None = None
    merged_into: Group | None = None
    twins: list[tuple[Term, Term]] = field(default_factory=list)
    summands: int = 1

    def root(self) -> Group:
        """Return the group that this one became part of."""
        group = self
        while group.merged_into is not None:
            group = group.merged_into
        return group

    def merge(self, other: Group, same_channels: bool, in_turn: bool = False) -> Group:
        """Join two groups; scales stay per channel only if both count channels alike.

        Args:
            other: the group that becomes part of this one.
            same_channels: equal channel indices mean one channel.
            in_turn: the currents arrive at different steps and are never added up, so that the
                same weights at both count once.
        """
        first, second = self.root(), other.root()
        if first is second:
            first.per_tensor |= not same_channels
            return first
        second.merged_into = first
        first.terms += first._without_copies(second.terms) if in_turn else second.terms
        first.twins += second.twins
        first.per_tensor |= second.per_tensor or not same_channels
        first.constants += second.constants
        first.largest_current = max(first.largest_current, second.largest_current)
        first.summands = max(first.summands, second.summands)
        return first

    def _without_copies(self, terms: Sequence[Term]) -> list[Term]:
        """Return the terms that this group does not have yet; the others become twins."""
        free, new = list(self.terms), []
        for term in terms:
            same = next((k for k, known in enumerate(free) if term.equals(known)), None)
            if same is None:
                new.append(term)
            else:
                self.twins.append((term, free.pop(same)))
        return new

    def choose_scale(self, target: Target, per_channel: bool) -> FloatArray:
        """Choose and keep the membrane scale (current scale, before ``current_shift``)."""
        scale = self._choose(target, per_channel)
        if self.coarser is not None:
            self.scale = scale = self._coarsened(scale, self.coarser)
        # A twin may be of a term that became a twin itself, of one that came before.
        for term, known in self.twins:
            term.gain, term.bits = known.gain, known.bits
        return scale

    def _coarsened(self, scale: FloatArray, asked: IntArray) -> FloatArray:
        """Make membranes coarser: by a shift of all currents, what is left by coarser weights."""
        weighted = [term for term in self.terms if not term.every_channel]
        bits = np.broadcast_to(asked, scale.shape) if scale.size > 1 else asked.max(keepdims=True)
        peaks = largest_constants(
            self.constants, self.terms, self.largest_current, scale.size if scale.size > 1 else 0
        )
        shared = common_shift(bits, scale, peaks, weighted)
        less, more = coarsened([term.gain for term in weighted], shared)
        for term in weighted:
            term.gain >>= less
        self.current_shift = max(self.current_shift - more, CURRENT_SHIFT.low)
        own = np.maximum(bits - shared, 0)
        return np.asarray(scale * 2.0 ** (less + own), np.float64)

    def _choose(self, target: Target, per_channel: bool) -> FloatArray:
        weighted = [t for t in self.terms if not t.every_channel]
        if target.weight_gains:
            choose_gains(weighted)
        counts = {len(t.rows) for t in weighted}
        split = per_channel and not self.per_tensor and len(counts) == 1
        channels = counts.pop() if split else 1
        # Spikes alone have no weights: a step is then a fraction of what one spike adds.
        parts = [
            WeightRows(
                (term.rows / term.gain).reshape(channels, -1),
                IntRange.signed(term.bits),
                term.coherence,
                term.hessian,
            )
            for term in weighted or self.terms
        ]
        peaks = largest_constants(
            self.constants, self.terms, self.largest_current, channels if split else 0
        )
        if parts:
            scale = grid_scales(parts, target.weight_grid)
        else:
            scale = np.array([float_step(self.largest_current, float(peaks.max(initial=0.0)))])
        # A constant beyond the state would be cut off, so that it limits how fine its channel is.
        floor = np.maximum(
            peaks / 2 ** (target.state_bits - 2),
            max(self.largest_current / FLOAT_STEPS, float(np.finfo(np.float32).tiny)),
        )
        # A channel without weights follows its biases only: any scale that resolves them will do.
        idle = scale.max(initial=0.0) or float(peaks.max(initial=0.0)) / 2**10 or 1.0
        coarse = np.maximum(np.where(scale > 0, scale, idle), floor)
        fraction = fraction_bits(self.terms, coarse, peaks, target) if weighted else 0
        wider = (self.summands - 1).bit_length()
        if not target.weight_gains:
            room = max(0, room_for(self.terms, coarse, peaks, target.state_bits) - wider)
            self.current_shift = min(fraction, room, CURRENT_SHIFT.high)
            self.scale = coarse
            return self.scale
        # Beyond 24 bits a sum would no longer be exact in one float32 operation.
        fraction = min(fraction, max(0, room_for(self.terms, coarse, peaks, 24) - wider))
        for term in weighted:
            term.gain *= 2**fraction
        self.scale = np.asarray(coarse / 2**fraction, np.float64)
        return self.scale


@dataclass(frozen=True)
class Flow:
    """What is known of one value.

    Attributes:
        kind: how it is carried.
        factor: real value of one integer step; of a CURRENT, in units of its group's scale.
        low, high: bounds of the integers (INTEGER only).
        group: whose scale it is on (CURRENT only).
        channels: channel index per element of the trailing axes, broadcastable against the
            value's last axes (CURRENT only); None: one scale for all.
        coherence: ``mean**2 / variance`` of the values (INTEGER only).
        membrane: on the scale of the group's membrane, which ``current_shift`` makes finer
            (CURRENT only).
    """

    kind: Kind
    factor: float = 1.0
    low: int = 0
    high: int = 1
    group: Group | None = None
    channels: IntArray | None = None
    coherence: float = DEFAULT_COHERENCE
    membrane: bool = False

    @property
    def reach(self) -> int:
        """Largest magnitude of the integers (INTEGER only)."""
        return max(abs(self.low), abs(self.high))

    def scale(self) -> FloatArray:
        """Return the real value of one integer step, broadcastable against the value."""
        if self.kind is Kind.INTEGER:
            return np.array([self.factor])
        group = self.group.root() if self.group else None
        if group is None or group.scale is None:
            raise RuntimeError("the scale of a current was asked for before it was chosen")
        step = self.factor / 2**group.current_shift if self.membrane else self.factor
        if group.scale.size == 1:
            return group.scale * step
        if self.channels is None:
            raise RuntimeError(f"the channels of a current of '{group.name}' were lost")
        return np.asarray(group.scale[self.channels] * step, np.float64)


FLOAT = Flow(Kind.FLOAT)


def join(name: str, flows: Sequence[Flow], same_place: bool = True) -> Group:
    """Merge the groups of several currents into one.

    Args:
        name: name for a group that is new.
        flows: currents.
        same_place: the values are aligned axis by axis, so equal channel indices mean one channel.
    """
    first = flows[0]
    group = (first.group or Group(name)).root()
    for other in flows[1:]:
        alike = same_place and _same_channels(first.channels, other.channels)
        group = group.merge(other.group or Group(name), alike)
    return group


def continue_group(name: str, before: Flow, flow: Flow) -> Group:
    """Merge the groups of a state and of the neuron that goes on from it, at the next step."""
    group = (before.group or Group(name)).root()
    alike = _same_channels(before.channels, flow.channels)
    return group.merge(flow.group or Group(name), alike, in_turn=True)


def _same_channels(a: IntArray | None, b: IntArray | None) -> bool:
    if a is None or b is None:
        return a is None and b is None
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return bool((np.broadcast_to(a, shape) == np.broadcast_to(b, shape)).all())
