"""What the figures of a report share: their frame, their table, their key, their number."""

from __future__ import annotations

import numpy as np

from snnquant.report.charts import Series
from snnquant.report.histogram import Histogram
from snnquant.report.html import Html, join, row, table, tag

#: Most layers that have a figure of each kind; tables name all.
MAX_FIGURES = 100
_KINDS = ("own", "other")


def too_many(count: int) -> int:
    """Return how many of so many layers have a figure."""
    return min(count, MAX_FIGURES)


def left_out(count: int) -> Html | None:
    """Return a sentence about layers without a figure, None where each has one."""
    if count <= MAX_FIGURES:
        return None
    words = f"Figures of the first {MAX_FIGURES} of {count:,} layers; the table of layers has all."
    return tag("p", words, class_="sub")


def key(names: tuple[str, str], compared: bool, *, dots: bool = False) -> Html:
    """Return which mark is which model."""
    shown = list(zip(names, _KINDS, strict=True))[: 2 if compared else 1]
    kind = "dot" if dots else "swatch"
    entries = [
        tag("li", tag("span", class_=f"{kind} {mark}", aria_hidden="true"), name)
        for name, mark in shown
    ]
    return tag("ul", *entries, class_="key", aria_label="Key")


def series_of(histogram: Histogram, names: tuple[str, str], per_bin: float = 100.0) -> list[Series]:
    """Return the shares of a histogram as series, times ``per_bin``."""
    return [
        Series(histogram.edges, histogram.counts[name].shares() * per_bin, kind)
        for name, kind in zip(names, _KINDS, strict=True)
        if name in histogram.counts
    ]


def chart_card(
    title: str,
    under: str,
    chart: Html,
    histogram: Histogram,
    names: tuple[str, str],
    quantity: str,
    *,
    extra: Html | None = None,
) -> Html:
    """Return one figure: its title, its chart, and the same as a table."""
    rows = histogram_rows(histogram, names)
    columns = [quantity, *(name for name in names if name in histogram.counts)]
    return card(title, under, chart, table(f"{title}: values of the chart", columns, rows), extra)


def card(title: str, under: str, chart: Html, values: Html, extra: Html | None = None) -> Html:
    """Return a figure around a chart and its table."""
    head = tag("h3", title)
    return tag(
        "figure",
        tag("figcaption", head, tag("p", under, class_="sub")),
        chart,
        extra,
        tag("details", tag("summary", "Values"), values),
        class_="card",
        data_layer=title,
    )


def histogram_rows(histogram: Histogram, names: tuple[str, str]) -> list[Html]:
    """Return one row per bin, and one for what lies outside."""
    counts = [histogram.counts[name] for name in names if name in histogram.counts]
    edges = histogram.edges
    whole = histogram.low % 1 == 0.5 and np.allclose(np.diff(edges), 1)
    rows = []
    for k in range(histogram.size):
        middle = f"{(edges[k] + edges[k + 1]) / 2:.0f}"
        label = middle if whole else f"{edges[k]:.4g} to {edges[k + 1]:.4g}"
        rows.append(row(label.replace("-", "\u2212"), *(f"{int(c.bins[k]):,}" for c in counts)))
    if any(c.below or c.above for c in counts):
        rows.append(row("below", *(f"{c.below:,}" for c in counts)))
        rows.append(row("above", *(f"{c.above:,}" for c in counts)))
    return rows


def note(text: str) -> Html:
    """Return a sentence about how something was made."""
    return join(tag("p", text, class_="sub"))
