"""The picture of a front: size and error of all models, and the widths along the front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from snnquant.report.charts import ticks
from snnquant.report.html import Html, join, tag
from snnquant.tune.front import Point
from snnquant.tune.run import Tuned

_WIDTH, _PLOT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 48
_ROW, _NAMES, _HEAD = 22, 150, 62
#: Most layers and models that have a cell.
_MOST_ROWS, _MOST_COLUMNS = 40, 24
_NAME_LIMIT = 20
_STYLE = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
text { fill: #57606a; } .title { fill: #1b1f24; font-size: 14px; font-weight: 600; }
.end { text-anchor: end; } .mid { text-anchor: middle; }
.grid { stroke: #d8dee4; } .axis { stroke: #57606a; }
.front { fill: none; stroke: #0b62a8; stroke-width: 2; }
.dot { fill: #0b62a8; } .beaten { fill: #0b62a8; fill-opacity: .28; }
.uniform { fill: none; stroke: #a84300; stroke-width: 2; } .word { fill: #a84300; }
.chosen { fill: none; stroke: #1b1f24; stroke-width: 2; } 
.strong { fill: #1b1f24; font-weight: 600; }
.cell { fill: #0b62a8; } .light { fill: #ffffff; } .dark { fill: #1b1f24; }
"""


def front_chart(found: Tuned, title: str) -> str:
    """Return a picture as the text of an SVG file that needs no other.

    Args:
        found: what was measured.
        title: of the picture.
    """
    below, height = _widths(found, _PLOT)
    whole = tag(
        "svg",
        tag("style", Html(_STYLE)),
        # Readable on any ground.
        tag("rect", width=_WIDTH, height=height, fill="#ffffff"),
        _plot(found, title),
        below,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
        role="img",
        aria_label=f"{title}: error of the scores over {_bits(found)}",
    )
    return f"{whole}\n"


def _plot(found: Tuned, title: str) -> Html:
    """Return the models as dots, those with one width for all as rings, and the front as steps."""
    count = max(sum(unit.count for unit in found.units), 1)
    errors = [p.measures.error for p in found.points]
    seen = [error for error in errors if error > 0] or [1.0]
    low, high = math.log10(min(seen)) - 0.15, math.log10(max(seen)) + 0.15
    if min(errors) == 0:
        low -= 0.3  # where there is no error at all
    left, right = (end / count for end in (found.points[0].bits, found.points[-1].bits))
    margin = 0.04 * (right - left) or 0.5
    left, right = left - margin, right + margin

    def x(bits: float) -> float:
        return _LEFT + (bits - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def y(error: float) -> float:
        at = low if error <= 0 else math.log10(error)
        return _PLOT - _BOTTOM - (at - low) / (high - low) * (_PLOT - _TOP - _BOTTOM)

    def place(point: Point) -> tuple[float, float]:
        return x(point.bits / count), y(point.measures.error)

    base = _PLOT - _BOTTOM
    drawn = [tag("text", title, x=_LEFT, y=20, class_="title")]
    for error in _decades(low, high):
        line = _n(y(error))
        drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=line, y2=line, class_="grid"))
        drawn.append(
            tag("text", f"{100 * error:.4g} %", x=_LEFT - 6, y=_n(y(error) + 4), class_="end")
        )
    drawn += [
        tag("text", f"{bits:.4g}", x=_n(x(bits)), y=base + 17, class_="mid")
        for bits in ticks(left, right, 8)
    ]
    drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="axis"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn.append(tag("text", _bits(found), x=_n(middle), y=base + 36, class_="mid"))
    drawn.append(tag("text", "error of the scores", x=_LEFT, y=_TOP - 4))
    corners = [place(point) for point in found.front]
    if corners:
        path = [f"M{_n(corners[0][0])} {_n(corners[0][1])}"]
        path += [f"H{_n(at)}V{_n(up)}" for at, up in corners[1:]]
        drawn.append(tag("path", d="".join(path), class_="front"))
    for point in found.points:
        at, up = place(point)
        kind = "dot" if point in found.front else "beaten"
        drawn.append(tag("circle", cx=_n(at), cy=_n(up), r=4, class_=kind))
        if point.config in found.uniform:
            drawn.append(tag("circle", cx=_n(at), cy=_n(up), r=7, class_="uniform"))
        if point is found.chosen:
            drawn.append(tag("circle", cx=_n(at), cy=_n(up), r=11, class_="chosen"))
    return join(*drawn, _key(found))


def _key(found: Tuned) -> Html:
    """Return what the marks mean, from the right end of the picture."""
    entries = [("front", "dot", 4), ("beaten by another", "beaten", 4), ("one width", "uniform", 6)]
    if found.chosen is not None:
        entries.append(("chosen", "chosen", 8))
    drawn, at = [], float(_WIDTH - _RIGHT)
    for words, kind, radius in reversed(entries):
        at -= 7.0 * len(words)
        drawn.append(tag("text", words, x=_n(at), y=_TOP - 4))
        drawn.append(tag("circle", cx=_n(at - 12), cy=_TOP - 8, r=radius, class_=kind))
        at -= 34
    return join(*drawn)


def _widths(found: Tuned, top: int) -> tuple[Html, int]:
    """Return the widths of the layers in the models of the front, and where the picture ends."""
    columns = _some(found.front, found.chosen)
    rows = range(min(len(found.units), _MOST_ROWS))
    count = max(sum(unit.count for unit in found.units), 1)
    step = min(64.0, (_WIDTH - _NAMES - _RIGHT) / max(len(columns), 1))
    drawn = [tag("text", "Width of each layer along the front", x=8, y=top + 22, class_="title")]
    drawn.append(tag("text", "mean bits", x=_NAMES - 10, y=top + _HEAD - 10, class_="end"))
    for column, point in enumerate(columns):
        at = _NAMES + (column + 0.5) * step
        kind = "mid strong" if point is found.chosen else "mid"
        drawn.append(
            tag("text", f"{point.bits / count:.3g}", x=_n(at), y=top + _HEAD - 10, class_=kind)
        )
    for row in rows:
        up = top + _HEAD + row * _ROW
        unit = found.units[row]
        name = f"{unit.name} states" if unit.of_states else unit.name
        widest = max(8, *unit.costs)
        short = name if len(name) <= _NAME_LIMIT else f"{name[: _NAME_LIMIT - 1]}\u2026"
        drawn.append(tag("text", short, x=_NAMES - 10, y=up + 15, class_="end"))
        for column, point in enumerate(columns):
            bits = point.config[row]
            drawn.append(
                tag(
                    "rect",
                    x=_n(_NAMES + column * step + 1),
                    y=up + 1,
                    width=_n(step - 2),
                    height=_ROW - 2,
                    class_="cell",
                    fill_opacity=f"{0.08 + 0.92 * (bits - 1) / (widest - 1):.2f}",
                )
            )
            kind = "mid light" if 2 * bits > widest else "mid dark"
            at = _NAMES + (column + 0.5) * step
            drawn.append(tag("text", bits, x=_n(at), y=up + 15, class_=kind))
    bottom = top + _HEAD + len(rows) * _ROW + 14
    left = len(found.units) - len(rows)
    if left:
        drawn.append(tag("text", f"and {left} more layers", x=8, y=bottom + 4))
        bottom += 16
    return join(*drawn), bottom


def _bits(found: Tuned) -> str:
    """Return what the size is."""
    states = any(unit.of_states for unit in found.units)
    return "bits per weight and state" if states else "bits per weight"


def _some(front: Sequence[Point], chosen: Point | None) -> list[Point]:
    """Return the front, thinned out if it is long, with the model that was chosen."""
    shown = list(front)
    if len(shown) > _MOST_COLUMNS:
        last = len(shown) - 1
        places = {round(k * last / (_MOST_COLUMNS - 1)) for k in range(_MOST_COLUMNS)}
        shown = [point for place, point in enumerate(shown) if place in places]
    if chosen is not None and chosen not in shown:
        shown = sorted([*shown, chosen], key=lambda point: point.bits)
    return shown


def _decades(low: float, high: float) -> list[float]:
    """Return round errors between two powers of ten: 1, and 2 and 5 where there are few."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    return [m * 10.0**p for p in powers for m in steps if low <= math.log10(m * 10.0**p) <= high]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
