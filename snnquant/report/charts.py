"""Charts as SVG without any style of their own: classes say what is what, the page says how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from snnquant.report.html import Html, tag

Array = npt.NDArray[Any]
WIDTH, HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 8, 38
#: Above the bars, for the words at marks.
_ROOM = 14


@dataclass(frozen=True)
class Series:
    """Heights over equal bins; ``kind`` is "own" (filled) or "other" (an outline)."""

    edges: Array
    heights: Array
    kind: str


@dataclass(frozen=True)
class Mark:
    """A vertical line at ``x`` with a word beside it."""

    x: float
    label: str


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def step_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    y_label: str,
    rows: tuple[float, float, int],
    marks: Sequence[Mark] = (),
) -> Html:
    """Return histograms over each other.

    Args:
        series: what is drawn, the first in front.
        label: the chart in words.
        x_label: name and unit of the horizontal axis.
        y_label: of the vertical one.
        rows: ends of the bins of the table beside the chart, and how many these are; the page
            shows a row under the pointer.
        marks: vertical lines.
    """
    low = min(float(each.edges[0]) for each in series)
    high = max(float(each.edges[-1]) for each in series)
    top = max((float(each.heights.max(initial=0)) for each in series), default=0.0) or 1.0
    above = ticks(0, top * 1.05, 4)
    ceiling = _TOP + (_ROOM if marks else 0)

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - value / (top * 1.05) * (HEIGHT - ceiling - _BOTTOM)

    base = y(0)
    drawn = [
        tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_n(y(v)), y2=_n(y(v)), class_="grid")
        for v in above[1:]
    ]
    drawn += [
        tag("text", _tick(v), x=_LEFT - 6, y=_n(y(v) + 3.5), class_="tick end") for v in above
    ]
    drawn += [
        tag("text", _tick(v), x=_n(x(v)), y=HEIGHT - _BOTTOM + 15, class_="tick mid")
        for v in ticks(low, high, 6)
    ]
    for each in reversed(series):
        path = [f"M{_n(x(float(each.edges[0])))} {_n(base)}"]
        for k, height in enumerate(each.heights):
            path.append(f"V{_n(y(float(height)))}H{_n(x(float(each.edges[k + 1])))}")
        path.append(f"V{_n(base)}")
        drawn.append(tag("path", d="".join(path), class_=f"area {each.kind}"))
    drawn.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_n(base), y2=_n(base), class_="axis"))
    for mark in marks:
        at = x(mark.x)
        drawn.append(tag("line", x1=_n(at), x2=_n(at), y1=_TOP, y2=_n(base), class_="mark"))
        if mark.label:
            left = at > WIDTH * 0.75
            drawn.append(
                tag(
                    "text",
                    mark.label,
                    x=_n(at + (-5 if left else 5)),
                    y=_TOP + 8,
                    class_="note end" if left else "note",
                )
            )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    drawn.append(tag("text", x_label, x=_n(middle), y=HEIGHT - 6, class_="label mid"))
    at = (HEIGHT - _BOTTOM + ceiling) / 2
    turned = f"rotate(-90 10 {_n(at)})"
    drawn.append(tag("text", y_label, x=10, y=_n(at), transform=turned, class_="label mid"))
    drawn.append(tag("line", y1=_TOP, y2=_n(base), class_="cursor", visibility="hidden"))
    return tag(
        "svg",
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
        data_from=_n(x(rows[0])),
        data_to=_n(x(rows[1])),
        data_rows=rows[2],
    )


def rate_axis(highest: float) -> Html:
    """Return the axis above charts of :func:`rate_line`, as wide as its cell."""
    drawn = [
        tag("text", _tick(v), x=f"{_share(v, highest)}%", y=12, class_="tick mid")
        for v in ticks(0, highest, 4)
    ]
    return tag("svg", *drawn, class_="strip", aria_hidden="true", height=16)


def rate_line(own: float, other: float | None, highest: float) -> Html:
    """Return two rates on a line, as wide as its cell: a dot, and a ring for the reference."""
    drawn = [
        tag(
            "line",
            x1=f"{_share(v, highest)}%",
            x2=f"{_share(v, highest)}%",
            y1=0,
            y2=24,
            class_="grid",
        )
        for v in ticks(0, highest, 4)
    ]
    at = f"{_share(own, highest)}%"
    if other is not None:
        beside = f"{_share(other, highest)}%"
        drawn.append(tag("line", x1=at, x2=beside, y1=12, y2=12, class_="between"))
        drawn.append(tag("circle", cx=beside, cy=12, r=6, class_="other"))
    drawn.append(tag("circle", cx=at, cy=12, r=4, class_="own"))
    return tag("svg", *drawn, class_="strip", aria_hidden="true", height=24)


def bar(value: float, highest: float, kind: str) -> Html:
    """Return a bar from the left of its cell."""
    width = f"{100 * value / highest:.2f}%" if highest else "0%"
    shape = tag("rect", x=0, y=3, height=12, width=width, class_=kind)
    return tag("svg", shape, class_="strip", aria_hidden="true", height=18)


def _share(value: float, highest: float) -> str:
    """Return where a value stands between 4 and 96 per cent of the width."""
    return _n(4 + 92 * value / highest if highest else 4)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tick(value: float) -> str:
    shown = f"{value:.6g}"
    return shown.replace("-", "\u2212") if "e" not in shown else shown
