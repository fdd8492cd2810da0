"""The size that weights may take: a number with its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import click

_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")
_MEAN = frozenset({"bit", "bits"})
_BYTES = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2}


@dataclass(frozen=True)
class SizeBudget:
    """A size.

    Attributes:
        text: as the user wrote it.
        number: of the unit.
        unit_bits: bits that one unit has; None: the number is a mean, in bits.
    """

    text: str
    number: float
    unit_bits: int | None

    def __str__(self) -> str:
        """Return what the user wrote."""
        return self.text

    def bits(self, count: int) -> float:
        """Return how many bits so many numbers may take."""
        return self.number * (count if self.unit_bits is None else self.unit_bits)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """Takes ``3.5bits`` (mean bits per weight) or ``20kB`` (all weights)."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> SizeBudget:
        """Return the size, or fail."""
        if isinstance(value, SizeBudget):
            return value
        found = _TEXT.fullmatch(str(value))
        unit = "" if found is None else found[2]
        if found is None or not (unit in _MEAN or unit in _BYTES) or not float(found[1]) > 0:
            self.fail(
                f"'{value}' is no size; give mean bits per weight such as 3.5bits, or a size of "
                f"all weights such as 20kB (units: {', '.join(_BYTES)}).",
                param,
                ctx,
            )
        bits = None if unit in _MEAN else 8 * _BYTES[unit]
        return SizeBudget(str(value), float(found[1]), bits)
