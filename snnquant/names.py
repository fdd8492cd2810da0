"""Names that are free: one rule for every writer of a graph."""

from __future__ import annotations


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
