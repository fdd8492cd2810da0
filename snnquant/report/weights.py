"""Weights on their grid: how often each integer is used, beside the real weights it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.connections import Connection, connections_of, held_constants
from snnquant.numerics import IntRange
from snnquant.ops.packing import stored_bits
from snnquant.report.histogram import Histogram, histogram_for

Array = npt.NDArray[Any]
#: Bins of real weights alone, and per integer step: the most, and weights that each bin needs.
_BINS, _FINE, _FEW_LEVELS, _WEIGHTS_PER_BIN = 60, 4, 16, 16
#: Integers beyond the grid at either end within which real weights that it clips are shown.
_BEYOND = 1 / 8


@dataclass(frozen=True)
class WeightLayer:
    """Weights of one synapse.

    Attributes:
        name: of the synapse.
        bits: width of the integers; None: the weights are real.
        size: number of weights.
        zero: share that is 0.
        histogram: of the integers, one bin per level, or of the real weights.
        reference: of the float model's weights in integer steps; None where not known.
        used: levels that some weight has; None of real weights.
        lowest, highest: share of the weights at either end of the grid.
        snr: of the integer weights in dB, None without a reference or without an error.
        exact: the integers times their scales are the reference's weights.
    """

    name: str
    bits: int | None
    size: int
    zero: float
    histogram: Histogram
    reference: Histogram | None = None
    used: int | None = None
    lowest: float = 0.0
    highest: float = 0.0
    snr: float | None = None
    exact: bool = False


def weight_layers(
    model: onnx.ModelProto,
    reference: onnx.ModelProto | None,
    bits: Mapping[str, int],
    names: tuple[str, str],
) -> tuple[WeightLayer, ...]:
    """Return the weights of all synapses.

    Args:
        model: the model that was evaluated.
        reference: canonical float graph, None without one.
        bits: widths by synapse, where they are known; else the smallest stored width that fits.
        names: what the two models are called.
    """
    origin: dict[str, Connection] = {}
    if reference is not None:
        held = held_constants(reference, stored=True)
        origin = {c.name: c for c in connections_of(reference, held) if c.name}
    found = []
    for connection in connections_of(model, held_constants(model, stored=True)):
        if not connection.weight.size:
            continue
        other = origin.get(connection.name)
        fits = other is not None and other.weight.shape == connection.weight.shape
        real = other.weight if other is not None and fits else None
        width = bits.get(connection.name)
        integers = _integers(connection.weight)
        reordered = connection.channels_last and not connection.strides
        if integers is None:
            found.append(_real(connection, names[0]))
        else:
            found.append(
                _on_grid(connection.name, integers, real, width, names, reordered=reordered)
            )
    return tuple(found)


def _integers(weight: Array) -> Array | None:
    """Return weights as int64 if they are stored as integers that fit a byte."""
    if weight.dtype.kind not in "iu":
        return None
    whole = weight.astype(np.int64)
    return whole if whole.min() >= -128 and whole.max() <= 127 else None


def _real(connection: Connection, name: str) -> WeightLayer:
    values = np.asarray(connection.weight, np.float64)
    histogram = histogram_for(values, _BINS, include=(0.0,))
    histogram.add(name, values)
    return WeightLayer(connection.name, None, values.size, float((values == 0).mean()), histogram)


def _on_grid(
    name: str,
    integers: Array,
    real: Array | None,
    width: int | None,
    names: tuple[str, str],
    *,
    reordered: bool,
) -> WeightLayer:
    """Return weights on the integer grid, beside the real ones.

    A fused linear synapse takes its inputs in another order than the float model where a map was
    flattened. Rounding keeps the order of numbers, so that the weights of a channel pair by size.
    """
    bits = width if width is not None and _fits(integers, width) else stored_bits(integers)
    limits = IntRange.signed(bits)
    levels = limits.high - limits.low + 1
    histogram = Histogram(limits.low - 0.5, limits.high + 0.5, levels)
    histogram.add(names[0], integers)
    reference, snr, exact = None, None, False
    if real is not None:
        rows = integers.reshape(len(integers), -1).astype(np.float64)
        given = np.asarray(real, np.float64).reshape(len(rows), -1)
        if reordered:
            rows, given = np.sort(rows, axis=1), np.sort(given, axis=1)
        scale = _scales(rows, given)
        error = float(np.square(given - scale * rows).sum())
        power = float(np.square(given).sum())
        exact = error == 0
        snr = 10 * float(np.log10(power / error)) if error and power else None
        beyond = max(1, round(levels * _BEYOND))
        fine = 1
        if levels <= _FEW_LEVELS:
            fine = min(_FINE, max(1, integers.size // (levels * _WEIGHTS_PER_BIN)))
        reference = Histogram(
            histogram.low - beyond, histogram.high + beyond, (levels + 2 * beyond) * fine
        )
        used = scale[:, 0] > 0
        reference.add(names[1], given[used] / scale[used])
    return WeightLayer(
        name,
        bits,
        integers.size,
        float((integers == 0).mean()),
        histogram,
        reference,
        len(np.unique(integers)),
        float((integers == limits.low).mean()),
        float((integers == limits.high).mean()),
        snr,
        exact,
    )


def _fits(integers: Array, bits: int) -> bool:
    limits = IntRange.signed(bits)
    return bool(limits.low <= integers.min() and integers.max() <= limits.high)


def _scales(rows: Array, given: Array) -> Array:
    """Return the scale of each channel, by least squares; 0 where all its integers are 0."""
    power = np.square(rows).sum(axis=1)
    return np.asarray(((rows * given).sum(axis=1) / np.where(power > 0, power, 1))[:, None])
