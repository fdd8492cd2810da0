"""Real weights and constants that share a membrane scale, and how fine they ask it to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnquant.numerics import FLOAT32_EXACT, FloatArray, IntArray
from snnquant.rounding.weight_grid import DEFAULT_COHERENCE
from snnquant.target import Target


@dataclass
class Term:
    """Real weights, in units of their integer input, that share a membrane scale.

    Attributes:
        rows: ``[channels, weights]``, or one row that counts for every channel.
        every_channel: the row is a factor common to all channels (a shortcut of spikes); its
            integer is not limited to the weight bits.
        coherence: ``mean**2 / variance`` of the inputs (see :mod:`snnquant.rounding.weight_grid`).
        reach: largest magnitude of the integer inputs.
        bits: width of the integers.
        gain: the power of two chosen, so that small weights beside large ones keep their bits.
        hessian: measured inputs (see :class:`~snnquant.rounding.weight_grid.WeightRows`), if any.
        integers: weights that were decided, ``[channels, weights]``; None: the nearest ones.
        bias_shift: real value per channel that is added to the bias; None: nothing.
    """

    rows: FloatArray
    every_channel: bool = False
    coherence: float = DEFAULT_COHERENCE
    reach: int = 1
    bits: int = 8
    gain: int = 1
    hessian: FloatArray | None = None
    integers: IntArray | None = None
    bias_shift: FloatArray | None = None

    def equals(self, other: Term) -> bool:
        """Whether two terms ask for the same scale (how often their inputs are active aside)."""
        return (self.every_channel, self.reach) == (
            other.every_channel,
            other.reach,
        ) and np.array_equal(self.rows, other.rows)


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


#: Most steps that a float current is divided into; float32 still holds each of them.
FLOAT_STEPS = FLOAT32_EXACT // 2


def float_step(largest_current: float, largest_constant: float) -> float:
    """Return the scale of a current that was computed in float: as fine as its constants need."""
    step = largest_current / 2**15
    if largest_constant > 0:
        step = min(step, largest_constant / 2**10) or largest_constant / 2**10
    return step or 1.0


#: A threshold that takes more steps than this to reach need not be held exactly; it saturates.
_STEPS_WITHIN_REACH = 2**16


def largest_constants(
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


def fraction_bits(
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


def room_for(terms: Sequence[Term], scale: FloatArray, peaks: FloatArray, bits: int) -> int:
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


def choose_gains(terms: Sequence[Term]) -> None:
    """Give terms that need larger steps a gain, so that the smallest decides how fine the scale is.

    Larger weights need larger steps, and so do fewer bits.
    """
    steps = [float(np.abs(t.rows).max(initial=0.0)) / 2 ** (t.bits - 1) for t in terms]
    smallest = min((step for step in steps if step > 0), default=0.0)
    for term, step in zip(terms, steps, strict=True):
        if step > 0:
            octaves = int(np.floor(np.log2(step / smallest)))
            term.gain = min(2**octaves, _MAX_GAIN)


def coarsened(gains: Sequence[int], bits: int) -> tuple[int, int]:
    """Return how a membrane gets coarser by ``bits``.

    Gains that all weights have are given up first, which changes no weight; what is left shifts
    the current to the right.

    Args:
        gains: powers of two of all weights whose currents are added up.
        bits: how much coarser.

    Returns:
        Bits by which all gains get smaller and the scale of the current larger, and bits by which
        the current is shifted.
    """
    less = min((gain.bit_length() - 1 for gain in gains), default=0)
    less = min(less, bits)
    return less, bits - less


def common_shift(
    bits: IntArray, scale: FloatArray, peaks: FloatArray, terms: Sequence[Term]
) -> int:
    """Return by how many bits all channels get coarser together, the others one by one.

    A shift of the current rounds it at every step, in all channels; a coarser scale of a single
    channel rounds its weights. Both errors count in shares of the channel's largest constant: a
    channel whose weights are tiny beside its threshold can well have coarser ones.

    Args:
        bits: asked for, ``[channels]`` or ``[1]``.
        scale: of the current, per channel.
        peaks: largest constant per channel.
        terms: weights whose currents are added up.
    """
    if bits.size == 1 or not terms:
        return int(bits.max())
    share = np.divide(scale, peaks, out=np.zeros_like(peaks), where=peaks > 0)
    step = sum(term.rows.shape[1] * float(term.gain * term.reach) ** 2 for term in terms)

    def error(shift: int) -> float:
        rounding = 4.0 ** np.maximum(bits, shift) + step * 4.0 ** np.maximum(bits - shift, 0)
        return float((share**2 * rounding).sum())

    return min(range(int(bits.max()) + 1), key=error)
