"""The last sections of a report: NeuroBench's metrics, speed, provenance."""

from __future__ import annotations

from snnquant.neurobench import PER_SAMPLE, SHARES
from snnquant.report.charts import bar
from snnquant.report.collect import Report
from snnquant.report.html import Cell, Column, Html, join, row, table, tag
from snnquant.report.text import percent, size


def neurobench(report: Report) -> Html | None:
    """Return NeuroBench's metrics."""
    found = report.result.neurobench
    if found is None:
        return None
    values = (
        *((label, f"{getattr(found, name):,.1f}") for name, label in PER_SAMPLE.items()),
        *((label, percent(getattr(found, name))) for name, label in SHARES.items()),
        ("footprint", size(found.footprint)),
        ("weights", f"{found.weights:,}"),
        ("weights, packed", f"{found.weight_bits:,} bits"),
    )
    rows = [row(name, value) for name, value in values]
    return table("Operations and updates are per sample", ["metric", "value"], rows, class_="facts")


def speed(report: Report) -> Html | None:
    """Return what was benched: times and memory."""
    found = report.speed
    if found is None:
        return None
    highest = max((time.high for time in found.times), default=0.0)
    rows = []
    for time in found.times:
        own = time.name == found.model
        compared = None if own or time.speed_up is None else time.speed_up
        quartiles = f"{1e3 * time.low:.3f} to {1e3 * time.high:.3f}"
        rows.append(
            row(
                time.name,
                f"{time.batch:,}",
                f"{time.threads}",
                Cell(bar(time.median, highest, "own" if own else "other"), None, "wide"),
                Cell(f"{1e3 * time.median:.3f}", time.median),
                Cell(quartiles, None),
                Cell(f"{time.samples_per_second:,.0f}", time.samples_per_second),
                Cell("–" if compared is None else f"{compared:.2f} x", compared),
            )
        )
    columns: list[Column] = [
        *("model", "batch", "threads"),
        ("time per call", "wide"),
        *("ms", "quartiles", "samples/s"),
        "speed-up",
    ]
    parts = [table("Median times of calls, all models in turn", columns, rows, class_="lines")]
    if found.memory:
        lines = [row(name, size(count)) for name, count in found.memory.items()]
        parts.append(table("Peak memory", ["model", "memory"], lines, class_="facts"))
    words = (
        f"Measured by snnquant bench and read from {found.path}, which is of this model by its "
        f"hash. Speed-up: how many times faster {found.model} is."
    )
    return join(*parts, tag("p", words, class_="sub"))


def provenance(report: Report) -> Html:
    """Return where it all comes from, a table for each group of facts."""
    parts = []
    for title, entries in report.facts:
        rows = [row(name, Cell(value, None, "code")) for name, value in entries]
        parts.append(tag("h3", title))
        parts.append(table(title, ["fact", "value"], rows, class_="facts", hidden_caption=True))
    return join(*parts)
