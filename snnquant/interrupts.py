"""Work that an interruption must not tear."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruptions:
    """While entered, decides when an interruption (Ctrl-C) reaches the handler of before.

    Threads other than the main one get no interruptions, and handlers that are not Python's are
    left alone: nothing is held back then.
    """

    def __init__(self) -> None:
        self._before: Callable[[int, FrameType | None], Any] | None = None
        self._holding = False
        self._came: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Interruptions:
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let what comes in this context wait for its end; an error in it takes its place."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            came, self._came = self._came, None
        if came is not None:
            self._handle(*came)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._holding:
            self._came = number, frame
        elif self._before is not None:
            self._before(number, frame)
