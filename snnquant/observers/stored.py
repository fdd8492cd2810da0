"""Statistics as they stand in a calibration file: every value is checked before it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snnquant.errors import DataError
from snnquant.observers.grid import (
    BINS_PER_OCTAVE,
    EXACT_INTEGERS,
    FINITE_BINS,
    bin_of,
    edges_of,
)

#: Counts up to this bound stay exact in int64, merged or not.
MAX_COUNT = 2**62

_KEYS = frozenset(
    {
        *("count", "zeros", "batches", "minimum", "maximum", "sum_of_batch_absmax"),
        *("all_integer", "bins_per_octave", "positive", "negative"),
    }
)
_BIN = re.compile(r"(?:0|[1-9][0-9]{0,4})\Z")
#: The largest numerator has 277 bits for one value and 62 for the number of batches.
_FRACTION = re.compile(r"(?:0|[1-9][0-9]{0,127})(?:/[1-9][0-9]{0,44})?\Z")
#: Every finite float32 is a multiple of 2**-149.
_UNIT = 2**149


@dataclass(frozen=True)
class StoredStatistics:
    """The fields of one tensor's statistics; bins map their index to a count."""

    count: int
    zeros: int
    batches: int
    minimum: float
    maximum: float
    absmax_sum: Fraction
    all_integer: bool
    positive: dict[int, int]
    negative: dict[int, int]


def read_fields(name: str, stored: object) -> StoredStatistics:
    """Return the checked fields of the statistics of tensor ``name``.

    Raises:
        DataError: a field is missing, unknown, of the wrong kind, or contradicts another.
    """
    try:
        fields = _parse(stored)
        _check_consistency(fields)
    except _Damage as damage:
        raise DataError(
            f"calibration statistics of tensor {name!r} are damaged: {damage}; "
            "run snnquant calibrate again"
        ) from damage
    return fields


class _Damage(Exception):  # noqa: N818 - it never leaves this file
    pass


def _parse(stored: object) -> StoredStatistics:
    if not isinstance(stored, Mapping):
        raise _Damage("they are not an object")
    if stored.keys() != _KEYS:
        odd = sorted(map(repr, stored.keys() ^ _KEYS))
        raise _Damage(f"missing or unknown {', '.join(odd[:4])}")
    if stored["bins_per_octave"] != BINS_PER_OCTAVE:
        raise _Damage(f"'bins_per_octave' is not {BINS_PER_OCTAVE}")
    if not isinstance(stored["all_integer"], bool):
        raise _Damage("'all_integer' is neither true nor false")
    return StoredStatistics(
        count=_whole(stored["count"], "count"),
        zeros=_whole(stored["zeros"], "zeros"),
        batches=_whole(stored["batches"], "batches"),
        minimum=_float32(stored["minimum"], "minimum"),
        maximum=_float32(stored["maximum"], "maximum"),
        absmax_sum=_fraction(stored["sum_of_batch_absmax"], "sum_of_batch_absmax"),
        all_integer=stored["all_integer"],
        positive=_bins(stored["positive"], "positive"),
        negative=_bins(stored["negative"], "negative"),
    )


def _whole(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise _Damage(f"{key!r} is not a count")
    return value


def _float32(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2.0**128:
        raise _Damage(f"{key!r} is not a finite number")
    with np.errstate(over="ignore", under="ignore"):
        exact = float(np.float32(value)) == value
    if not exact:
        raise _Damage(f"{key!r} is not a float32 value")
    return float(value) + 0.0


def _fraction(value: object, key: str) -> Fraction:
    if not isinstance(value, str) or not _FRACTION.match(value):
        raise _Damage(f"{key!r} is not a fraction")
    if value.endswith("/0"):
        raise _Damage(f"{key!r} divides by zero")
    fraction = Fraction(value)
    if str(fraction) != value or _UNIT % fraction.denominator:
        raise _Damage(f"{key!r} is not a sum of float32 values")
    return fraction


def _bins(value: object, key: str) -> dict[int, int]:
    if not isinstance(value, Mapping):
        raise _Damage(f"{key!r} is not an object")
    bins: dict[int, int] = {}
    for bin_, count in value.items():
        if not isinstance(bin_, str) or not _BIN.match(bin_) or int(bin_) >= FINITE_BINS:
            raise _Damage(f"{key!r} has an impossible bin")
        bins[int(bin_)] = _whole(count, key)
        if not count:
            raise _Damage(f"{key!r} lists an empty bin")
    return bins


def _check_consistency(fields: StoredStatistics) -> None:
    in_bins = sum(fields.positive.values()) + sum(fields.negative.values())
    if fields.zeros + in_bins != fields.count:
        raise _Damage("the bins do not add up to 'count'")
    if fields.batches > fields.count or (fields.count > 0) != (fields.batches > 0):
        raise _Damage("'batches' contradicts 'count'")
    # Bins in the order of the values: negative ones, zero, positive ones.
    ordered = [-(bin_ + 1) for bin_ in sorted(fields.negative, reverse=True)]
    ordered += [0] * (fields.zeros > 0)
    ordered += [bin_ + 1 for bin_ in sorted(fields.positive)]
    outer = (ordered[0], ordered[-1]) if ordered else (0, 0)
    if (_signed_bin(fields.minimum), _signed_bin(fields.maximum)) != outer:
        raise _Damage("'minimum' and 'maximum' contradict the bins")
    if fields.minimum > fields.maximum:
        raise _Damage("'minimum' is above 'maximum'")
    absmax = Fraction(max(fields.maximum, -fields.minimum))
    if not (absmax if fields.count else 0) <= fields.absmax_sum <= fields.batches * absmax:
        raise _Damage("'sum_of_batch_absmax' contradicts the extremes")
    if fields.all_integer and not _can_be_integers(fields):
        raise _Damage("'all_integer' contradicts the bins")


def _signed_bin(value: float) -> int:
    if value == 0:
        return 0
    return bin_of(value) + 1 if value > 0 else -(bin_of(-value) + 1)


def _can_be_integers(fields: StoredStatistics) -> bool:
    lower, _ = edges_of(np.array([*fields.positive, *fields.negative], np.int64))
    small = lower[lower < EXACT_INTEGERS]
    return (
        fields.minimum.is_integer()
        and fields.maximum.is_integer()
        and bool((small >= 1).all())
        and bool((np.rint(small) == small).all())
    )
