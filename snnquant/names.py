"""Names: which are free, one rule for every writer of a graph; and which was meant."""

from __future__ import annotations

from collections.abc import Iterable


def take_name(hint: str, taken: set[str], *, separator: str = "_", first: int = 1) -> str:
    """Return ``hint``, or with the first free number behind it where it is taken, and take it.

    Args:
        hint: the name that is wanted.
        taken: names in use; the returned one is added.
        separator: stands between the hint and the number.
        first: the first number that is tried.
    """
    name, count = hint, first
    while name in taken:
        name = f"{hint}{separator}{count}"
        count += 1
    taken.add(name)
    return name


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean ...`` for a word that is not known, or an empty text."""
    from difflib import get_close_matches

    close = get_close_matches(word, sorted(set(known)), n=1)
    return f"did you mean '{close[0]}'?" if close else ""
