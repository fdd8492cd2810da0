"""How fused ops store weights: one row per output channel, several narrow weights to a byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError
from snnquant.numerics import IntArray, IntRange

#: Widths at which weights are stored.
STORED_BITS = (2, 4, 8)


def stored_bits(integers: IntArray) -> int:
    """Return the smallest width that holds all of some weights.

    Raises:
        ValueError: a weight needs more than 8 bits.
    """
    low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
    for bits in STORED_BITS:
        limits = IntRange.signed(bits)
        if limits.low <= low and high <= limits.high:
            return bits
    raise ValueError(f"weights from {low} to {high} do not fit 8 bits")


def pack_weight(integers: IntArray, bits: int) -> npt.NDArray[np.int8]:
    """Pack weights as they are stored.

    Weights of 8 bits are plain int8. Narrower ones lie several to a byte, lowest bits first, each
    as the unsigned number ``w + 2**(bits - 1)``; bits behind a row's end are 0.

    Args:
        integers: ``[channels, fan_in]``, each within ``bits``.
        bits: 2, 4 or 8.

    Returns:
        ``[channels, fan_in * bits / 8]``, rounded up.

    Raises:
        ModelError: another width.
    """
    per_byte = _per_byte(bits)
    if bits == STORED_BITS[-1]:
        return np.ascontiguousarray(integers, np.int8)
    channels, fan_in = integers.shape
    columns = -(-fan_in // per_byte)
    fields = np.zeros((channels, columns * per_byte), np.uint8)
    fields[:, :fan_in] = integers + 2 ** (bits - 1)
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    parts = fields.reshape(channels, columns, per_byte) << shifts
    packed = np.bitwise_or.reduce(parts, axis=2).astype(np.uint8)
    return np.ascontiguousarray(packed).view(np.int8)


def unpack_weight(stored: npt.NDArray[np.int8], bits: int, fan_in: int) -> IntArray:
    """Return the weights ``[channels, fan_in]`` that :func:`pack_weight` packed, as int64.

    Raises:
        ModelError: they are not of 2, 4 or 8 bits.
    """
    per_byte = _per_byte(bits)
    if bits == STORED_BITS[-1]:
        return stored.astype(np.int64)
    shifts = np.arange(per_byte) * bits
    fields = (stored.view(np.uint8).astype(np.int64)[:, :, None] >> shifts) & (2**bits - 1)
    rows = fields.reshape(len(stored), stored.shape[1] * per_byte)
    return np.asarray(rows[:, :fan_in] - 2 ** (bits - 1), np.int64)


def _per_byte(bits: int) -> int:
    """Return how many weights are in a byte."""
    if bits not in STORED_BITS:
        raise ModelError(
            f"weights are stored in 2, 4 or 8 bits, not in {bits}; store them in the next width up"
        )
    return 8 // bits
