"""The page: one HTML file that needs nothing but itself, and lets nothing in it reach out."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import PurePath

from snnquant import __version__
from snnquant.report import closing, inside, overview
from snnquant.report.collect import Report
from snnquant.report.html import Html, tag


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
    found = [
        ("summary", "Summary", overview.summary(report)),
        ("gates", "Gates", overview.gates(report)),
        ("layers", "Layers", overview.layers(report)),
        ("rates", "Firing rates", overview.rates(report)),
        ("spikes", "Spike raster", inside.raster(report)),
        ("membranes", "Membranes", inside.membranes(report)),
        ("weights", "Weights", inside.weights(report)),
        ("neurobench", "NeuroBench", closing.neurobench(report)),
        ("speed", "Speed", closing.speed(report)),
        ("provenance", "Provenance", closing.provenance(report)),
    ]
    return [(id, title, content) for id, title, content in found if content is not None]


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
