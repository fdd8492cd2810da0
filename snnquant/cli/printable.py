"""Text that is safe to print, whatever names a model or a path holds."""

from __future__ import annotations


def printable(text: str, limit: int = 1000) -> str:
    """Return a text on one line, without control characters, cut in the middle if too long.

    Args:
        text: anything; names inside model files may hold line breaks and terminal escapes.
        limit: the most characters to return.
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    if len(line) <= limit:
        return line
    tail = limit // 3
    return f"{line[: limit - tail - 5]} ... {line[-tail:]}"
