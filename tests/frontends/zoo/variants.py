"""All exports that are not a net unrolled over time: steps, loops, scans, naive and wrong ones."""

from __future__ import annotations

import zoo.loops
import zoo.naive
import zoo.steps
from zoo.variant import VARIANTS, Variant

_made: list[bool] = []


def variants() -> list[Variant]:
    """Return all of them; the frameworks are imported at the first call."""
    if not _made:
        _made.append(True)
        zoo.steps.of_frameworks()
        zoo.naive.of_frameworks()
    return VARIANTS
