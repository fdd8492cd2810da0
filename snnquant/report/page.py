"""The page: one HTML file that needs nothing but itself, and lets nothing in it reach out."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import PurePath

from snnquant import __version__
from snnquant.neurobench import NeuroBench
from snnquant.report import inside, overview
from snnquant.report.charts import bar
from snnquant.report.collect import Report
from snnquant.report.html import Cell, Column, Html, join, row, table, tag
from snnquant.report.speed import Speed
from snnquant.report.text import percent, size


def render_report(report: Report) -> str:
    """Return a report as HTML.

    Everything that comes from a file is escaped; a content security policy allows the one style
    sheet and the one script in the page, by their hashes, and no connection at all.
    """
    style, script = _file("report.css"), _file("report.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    sections = _sections(report)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"snnquant {__version__}"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{report.title} – snnquant eval"),
        tag("style", Html(style)),
    )
    links = [tag("li", tag("a", title, href=f"#{id}")) for id, title, _ in sections]
    filter_box = tag(
        "label",
        tag("span", "Filter layers"),
        tag("input", id="filter", type="search", autocomplete="off", spellcheck="false"),
        class_="filter",
        hidden=True,
    )
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#summary", class_="skip"),
        tag(
            "header",
            tag(
                "div",
                tag("p", "snnquant eval", class_="kicker"),
                tag("h1", report.title),
                tag("p", _on_what(report), class_="sub"),
                overview.verdict(report),
            ),
            tag("button", "Theme", id="theme", type="button", hidden=True),
        ),
        tag("nav", tag("ul", *links), filter_box, aria_label="Sections"),
        tag(
            "main",
            *(
                tag(
                    "section",
                    tag("h2", title, id=f"{id}-title"),
                    content,
                    id=id,
                    aria_labelledby=f"{id}-title",
                )
                for id, title, content in sections
            ),
        ),
        tag("footer", tag("p", f"Written by snnquant {__version__}")),
        tag("div", id="tip", role="status", aria_live="polite", hidden=True),
        tag("script", Html(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: Report) -> list[tuple[str, str, Html]]:
    """Return identifier, title and content of every section that there is something for."""
    bench = report.result.neurobench
    found = [
        ("summary", "Summary", overview.summary(report)),
        ("gates", "Gates", overview.gates(report)),
        ("layers", "Layers", overview.layers(report)),
        ("rates", "Firing rates", overview.rates(report)),
        ("spikes", "Spike raster", inside.raster(report)),
        ("membranes", "Membranes", inside.membranes(report)),
        ("weights", "Weights", inside.weights(report)),
        ("neurobench", "NeuroBench", None if bench is None else _neurobench(bench)),
        ("speed", "Speed", None if report.speed is None else _speed(report.speed)),
        ("provenance", "Provenance", _provenance(report)),
    ]
    return [(id, title, content) for id, title, content in found if content is not None]


def _neurobench(found: NeuroBench) -> Html:
    values = (
        ("effective MACs", f"{found.effective_macs:,.1f}"),
        ("effective ACs", f"{found.effective_acs:,.1f}"),
        ("dense operations", f"{found.dense:,.1f}"),
        ("membrane updates", f"{found.membrane_updates:,.1f}"),
        ("activation sparsity", percent(found.activation_sparsity)),
        ("connection sparsity", percent(found.connection_sparsity)),
        ("footprint", size(found.footprint)),
        ("weights", f"{found.weights:,}"),
        ("weights, packed", f"{found.weight_bits:,} bits"),
    )
    rows = [row(name, value) for name, value in values]
    return table("Operations and updates are per sample", ["metric", "value"], rows, class_="facts")


def _speed(found: Speed) -> Html:
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


def _provenance(report: Report) -> Html:
    parts = []
    for title, entries in report.facts:
        rows = [row(name, Cell(value, None, "code")) for name, value in entries]
        parts.append(tag("h3", title))
        parts.append(table(title, ["fact", "value"], rows, class_="facts", hidden_caption=True))
    return join(*parts)


def _on_what(report: Report) -> str:
    """Return what the model was measured on, and against what."""
    inputs = report.document["inputs"]
    words = f"on {PurePath(inputs['data']['path']).name}"
    if "reference" in inputs:
        words += f", beside {PurePath(inputs['reference']['path']).name}"
    return words


def _file(name: str) -> str:
    return resources.files("snnquant.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
