"""HTML as values: what was not made here is text and is escaped, names from files above all."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

#: Name of a column, and its class where it is not one of numbers.
Column: TypeAlias = str | tuple[str, str]
#: Elements without content.
_VOID = frozenset({"meta", "link", "br", "input"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Return a value as HTML text; what could hide or reorder text is shown as U+FFFD."""
    if isinstance(value, Html):
        return value
    plain = "".join(c if c.isprintable() else "\ufffd" for c in str(value))
    return Html(html.escape(plain, quote=True))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """Return one element.

    Args:
        name: of the element.
        children: HTML, or anything else as text; None is left out.
        attributes: underscores are hyphens, one at the end is dropped; None and False leave an
            attribute out, True gives it no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        words.append(label if value is True else f'{label}="{text(value)}"')
    start = f"<{' '.join(words)}>"
    if name in _VOID:
        return Html(start)
    return Html(f"{start}{join(*children)}</{name}>")


def join(*children: Any) -> Html:
    """Return children one after the other."""
    return Html("".join(text(child) for child in children if child is not None))


def data_block(id: str, value: Any) -> Html:
    """Return JSON for a script to read, which nothing in it can end or run."""
    packed = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        packed = packed.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{text(id)}">{packed}</script>')


def table(
    caption: str,
    columns: Sequence[Column],
    rows: list[Html],
    *,
    class_: str | None = None,
    id: str | None = None,
    hidden_caption: bool = False,
) -> Html:
    """Return a table in a box that scrolls by itself.

    Args:
        caption: what it shows.
        columns: their names; the first is text, others numbers unless they come with a class.
        rows: made by :func:`row`.
        class_: of the table.
        id: of the table.
        hidden_caption: the caption is for those who do not see the heading above.
    """
    head = tag(
        "tr",
        *(
            tag("th", name, scope="col", class_=kind or None)
            for name, kind in (
                (c, "n" if k else "") if isinstance(c, str) else c for k, c in enumerate(columns)
            )
        ),
    )
    whole = tag(
        "table",
        tag("caption", caption, class_="quiet" if hidden_caption else None),
        tag("thead", head),
        tag("tbody", *rows),
        class_=class_,
        id=id,
    )
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def row(name: Any, *cells: Any, **attributes: Any) -> Html:
    """Return a row: its heading, then its cells."""
    made = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
    return tag("tr", tag("th", name, scope="row"), *(cell.html() for cell in made), **attributes)


class Cell:
    """A cell of a table.

    Args:
        content: what is shown.
        value: what it is sorted by; None: it comes last.
        kind: class of the cell.
    """

    def __init__(self, content: Any, value: float | None = None, kind: str = "n") -> None:
        self.content = content
        self.value = value
        self.kind = kind

    def html(self) -> Html:
        """Return the cell."""
        value = None if self.value is None else f"{self.value:.9g}"
        return tag("td", self.content, data_value=value, class_=self.kind or None)
