"""What verbs say that go on from where an interrupted run stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snnquant.cli.console import Speaker

RESUME_HELP = "Go on from where an interrupted run stopped; the result has the same bytes."


@contextmanager
def telling_progress(speaker: Speaker, kept: Path) -> Iterator[None]:
    """Say, where the run in this context is interrupted, how to go on.

    Args:
        speaker: says it.
        kept: where the progress is, if there is any.
    """
    try:
        yield
    except KeyboardInterrupt:
        if kept.exists():
            speaker.say(f"  progress is kept in {kept}; --resume goes on from there")
        raise
