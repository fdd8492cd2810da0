"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

#: Called with (samples done, samples in all).
Progress = Callable[[int, int], None]
#: Gives the progress of one stage of the work, by its title.
Stage = Callable[[str], AbstractContextManager[Progress]]


def silent(done: int, total: int) -> None:
    """Tell nobody."""
