"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

#: Called with (samples done, samples in all).
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Tell nobody."""
