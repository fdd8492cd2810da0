"""What is known of a value on its way to integers: integer, current on a scale, or float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from snnquant.numerics import FLOAT32_EXACT, FloatArray, IntArray
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
class Term:
    """Real weights, in units of their integer input, that share a membrane scale.

    Attributes:
        rows: ``[channels, weights]``, or one row that counts for every channel.
        every_channel: the row is a factor common to all channels (a shortcut of spikes); its
            integer is not limited to the weight bits.
        coherence: ``mean**2 / variance`` of the inputs (see :mod:`snnquant.rounding.weight_grid`).
        reach: largest magnitude of the integer inputs.
        gain: the power of two chosen, so that small weights beside large ones keep their bits.
    """

    rows: FloatArray
    every_channel: bool = False
    coherence: float = DEFAULT_COHERENCE
    reach: int = 1
    gain: int = 1


@dataclass(frozen=True)
class Constant:
    """Real values on the membrane scale of a group.

    Attributes:
        values: aligned with the neuron's features.
        channels: channel of each value, broadcastable with them; None: they hold for all channels.
        threshold: matters only as far as the membrane can get.
    """

    values: FloatArray
    channels: IntArray | None
    threshold: bool = False


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
            gains hold the fraction bits.
        scale: of the current, ``[channels]`` or ``[1]``, once chosen; the membrane's is
            ``scale / 2**current_shift``.
    """

    name: str
    terms: list[Term] = field(default_factory=list)
    per_tensor: bool = False
    constants: list[Constant] = field(default_factory=list)
    largest_current: float = 0.0
    current_shift: int = 0
    scale: FloatArray | None = None
    merged_into: Group | None = None

    def root(self) -> Group:
        """Return the group that this one became part of."""
        group = self
        while group.merged_into is not None:
            group = group.merged_into
        return group

    def merge(self, other: Group, same_channels: bool) -> Group:
        """Join two groups; scales stay per channel only if both count channels alike."""
        first, second = self.root(), other.root()
        if first is second:
            first.per_tensor |= not same_channels
            return first
        second.merged_into = first
        first.terms += second.terms
        first.per_tensor |= second.per_tensor or not same_channels
        first.constants += second.constants
        first.largest_current = max(first.largest_current, second.largest_current)
        return first

    def choose_scale(self, bits: int, target: Target, per_channel: bool) -> FloatArray:
        """Choose and keep the membrane scale (current scale, before ``current_shift``)."""
        weighted = [t for t in self.terms if not t.every_channel]
        if target.weight_gains:
            _choose_gains(weighted)
        counts = {len(t.rows) for t in weighted}
        split = per_channel and not self.per_tensor and len(counts) == 1
        channels = counts.pop() if split else 1
        # Spikes alone have no weights: a step is then a fraction of what one spike adds.
        parts = [
            WeightRows((term.rows / term.gain).reshape(channels, -1), term.coherence)
            for term in weighted or self.terms
        ]
        peaks = _largest_constants(
            self.constants, self.terms, self.largest_current, channels if split else 0
        )
        if parts:
            scale = grid_scales(parts, bits, target.weight_grid)
        else:
            scale = np.array([_float_step(self.largest_current, float(peaks.max(initial=0.0)))])
        # A constant beyond the state would be cut off, so that it limits how fine its channel is.
        floor = np.maximum(
            peaks / 2 ** (target.state_bits - 2),
            max(self.largest_current / _FLOAT_STEPS, float(np.finfo(np.float32).tiny)),
        )
        # A channel without weights follows its biases only: any scale that resolves them will do.
        idle = scale.max(initial=0.0) or float(peaks.max(initial=0.0)) / 2**10 or 1.0
        coarse = np.maximum(np.where(scale > 0, scale, idle), floor)
        fraction = _fraction_bits(self.terms, coarse, peaks, target) if weighted else 0
        if not target.weight_gains:
            room = _room(self.terms, coarse, peaks, target.state_bits)
            self.current_shift = min(fraction, room, CURRENT_SHIFT.high)
            self.scale = coarse
            return self.scale
        # Beyond 24 bits a sum would no longer be exact in one float32 operation.
        fraction = min(fraction, _room(self.terms, coarse, peaks, 24))
        for term in weighted:
            term.gain *= 2**fraction
        self.scale = np.asarray(coarse / 2**fraction, np.float64)
        return self.scale


#: Most steps that a float current is divided into; float32 still holds each of them.
_FLOAT_STEPS = FLOAT32_EXACT // 2


def _float_step(largest_current: float, largest_constant: float) -> float:
    """Return the scale of a current that was computed in float: as fine as its constants need."""
    step = largest_current / 2**15
    if largest_constant > 0:
        step = min(step, largest_constant / 2**10) or largest_constant / 2**10
    return step or 1.0


#: A threshold that takes more steps than this to reach need not be held exactly; it saturates.
_STEPS_WITHIN_REACH = 2**16


def _largest_constants(
    constants: Sequence[Constant], terms: Sequence[Term], largest_current: float, channels: int
) -> FloatArray:
    """Return the largest magnitude per channel, or one for all where ``channels`` is 0."""
    others = [_peaks(c, channels) for c in constants if not c.threshold]
    peaks = np.max([np.zeros(channels or 1), *others], axis=0)
    per_step = peaks + largest_current
    for term in terms:
        sums = np.abs(term.rows).sum(axis=1) * term.reach
        per_step += sums if len(sums) == len(per_step) else sums.max(initial=0.0)
    for constant in constants:
        if constant.threshold:
            reachable = np.minimum(_peaks(constant, channels), _STEPS_WITHIN_REACH * per_step)
            peaks = np.maximum(peaks, reachable)
    return np.asarray(peaks, np.float64)


def _peaks(constant: Constant, channels: int) -> FloatArray:
    """Return the largest magnitude of one constant per channel (or of all)."""
    magnitudes = np.abs(constant.values)
    peaks = np.zeros(channels or 1)
    if channels and constant.channels is not None:
        where, spread = np.broadcast_arrays(constant.channels, magnitudes)
        np.maximum.at(peaks, where.reshape(-1), spread.reshape(-1))
        return peaks
    return np.asarray(np.maximum(peaks, magnitudes.max(initial=0.0)), np.float64)


def _fraction_bits(
    terms: Sequence[Term], scale: FloatArray, peaks: FloatArray, target: Target
) -> int:
    """Return by how many bits the state is finer than the weights.

    With few weight bits a threshold is a handful of steps, and a rounded leak, reset or bias is
    far off; so is a shortcut of spikes beside large weights. Fraction bits cost nothing but state
    width.
    """
    if not target.fraction_bits:
        return 0
    wanted = [peaks] + [np.abs(t.rows).reshape(1) for t in terms if t.every_channel]
    steps = [np.min(np.broadcast_to(real, scale.shape) / scale) for real in wanted if real.any()]
    bits = [target.fraction_bits - int(np.ceil(np.log2(step))) for step in steps if step > 0]
    return max([0, *bits])


def _room(terms: Sequence[Term], scale: FloatArray, peaks: FloatArray, bits: int) -> int:
    """Return by how many bits currents on ``scale`` can be made finer and still fit into ``bits``.

    Constants that are tiny beside the weights (a bias of 1e-6) would ask for more.
    """
    peak = float((peaks / scale).max(initial=0.0)) + 1
    for term in terms:
        steps = np.abs(term.rows).sum(axis=1) / scale
        # Rounding adds up to half a step per weight.
        peak += float(steps.max(initial=0.0) + term.rows.shape[1] * term.gain / 2) * term.reach
    return max(0, bits - 1 - int(np.ceil(np.log2(peak))))


#: Weights further apart than this do not matter to each other.
_MAX_GAIN = 2**12


def _choose_gains(terms: Sequence[Term]) -> None:
    """Give terms with larger weights a gain, so that the smallest decides how fine the scale is."""
    peaks = [float(np.abs(term.rows).max(initial=0.0)) for term in terms]
    smallest = min((peak for peak in peaks if peak > 0), default=0.0)
    for term, peak in zip(terms, peaks, strict=True):
        if peak > 0:
            octaves = int(np.floor(np.log2(peak / smallest)))
            term.gain = min(2**octaves, _MAX_GAIN)


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


def _same_channels(a: IntArray | None, b: IntArray | None) -> bool:
    if a is None or b is None:
        return a is None and b is None
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return bool((np.broadcast_to(a, shape) == np.broadcast_to(b, shape)).all())
