"""The report in a browser: quiet, safe with any name, usable by pointer, keyboard and reader."""

import json
import os
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from chromium import browser, executable
from graphs import Graph, quantize

from snnquant.cli.main import run
from snnquant.files import sha256_of
from snnquant.passes import canonicalise

#: Would run, load, or end an element, were it not text.
HOSTILE = "</script></title><img src=x onerror=\"document.title='owned'\"><!--&lt;"
LAYERS = ("first", HOSTILE, "third")
VIEWS = [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if executable() is None:
        assert not os.environ.get("CI"), "no chromium: install it, the report must be tested"
        pytest.skip("no chromium here; with CI set this is a failure")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A report with every section, of a network whose names are hostile."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    g = Graph()
    y = g.input("x", ["T", "B", 20])
    for place, name in enumerate(LAYERS):
        weight = rng.normal(size=(20, 20)) / 2
        y = g.op("MatMul", y, g.const(weight), name=f"{name}{place}.fc")
        y = g.neuron(y, name=name, alpha=0.75)[0]
    g.output(y, 3)
    model = canonicalise(g.model())
    onnx.save(ir.to_proto(model), folder / "net.onnx")
    onnx.save(quantize(model, spikes=["x"]).model, folder / "net.int.onnx")
    x = rng.integers(0, 2, (16, 7, 20)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 20, 16))
    time = {"median": 2e-3, "low": 1e-3, "high": 3e-3, "samples_per_second": 5e2, "speed_up": None}
    bench = {
        "schema": "snnquant.bench/1",
        "inputs": {"model": {"sha256": sha256_of(folder / "net.int.onnx")}},
        "metrics": {
            "model": HOSTILE,
            "configurations": [{"batch": 1, "threads": 1, "contenders": {HOSTILE: time}}],
        },
    }
    (folder / "bench.json").write_text(json.dumps(bench))
    code = run(
        [
            *("eval", str(folder / "net.int.onnx"), "--data", str(folder / "data.npz"), "-q"),
            *("--reference", str(folder / "net.onnx"), "--report", str(folder / "r.html")),
            *("--speed", str(folder / "bench.json"), "--neurobench", "--min-agreement", "1"),
            *("--max-dead", "1", "--report-samples", "3"),
        ]
    )
    assert code == 4
    return (folder / "r.html").as_uri()


def words(page, selector):
    return page.run(f"[...document.querySelectorAll({selector!r})].map((e) => e.textContent)")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_is_quiet_and_fits(page, url, width, scheme):
    page.open(url, width=width, scheme=scheme)
    assert page.complaints == []
    assert page.requests == [url]
    assert page.run("document.documentElement.scrollWidth") <= width
    bright = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert bright == (scheme == "light")
    assert page.screenshot().startswith(b"\x89PNG")


def test_every_section_is_there(page, url):
    page.open(url)
    titles = words(page, "h2")
    wanted = ["Summary", "Gates", "Layers", "Firing rates", "Spike raster", "Membranes"]
    assert titles == [*wanted, "Weights", "NeuroBench", "Speed", "Provenance"]
    assert words(page, "nav a") == titles
    assert words(page, ".verdict") == ["✗ 1 of 2 gates failed"]
    assert [w.split()[0] for w in words(page, "#gates tbody .status")] == ["✗", "✓"]


def test_names_are_text(page, url):
    page.open(url)
    assert page.run("document.title") == "net.int.onnx – snnquant eval"
    assert page.run("document.images.length") == 0
    kinds = page.run("[...document.scripts].map((s) => s.type)")
    assert kinds == ["application/json", ""]
    assert words(page, "#layers tbody th") == list(LAYERS)
    assert words(page, "#speed tbody th") == [HOSTILE]
    assert HOSTILE in words(page, "#raster option")


def test_nothing_can_be_sent(page, url):
    page.open(url)
    sent = page.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert sent == "refused"
    assert any("Content Security Policy" in str(said) for said in page.complaints)
    page.run(
        "document.body.insertAdjacentHTML('beforeend',"
        ' \'<p id=styled style="color:red" onclick="document.title=1">x</p>\')'
    )
    assert page.run("styled.click(), document.title") != "1"


def test_structure(page, url):
    page.open(url)
    levels = page.run("[...document.querySelectorAll('h1,h2,h3')].map((h) => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    count = page.run("document.querySelectorAll('table').length")
    assert count > 15
    assert page.run("document.querySelectorAll('table > caption').length") == count
    assert page.run("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.run("document.querySelectorAll('[role=img]:not([aria-label])').length") == 0
    ids = page.run("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    unnamed = "[...document.querySelectorAll('input,select')].filter((e) => !e.labels.length)"
    assert page.run(f"{unnamed}.length") == 0
    charts = page.run(
        "[...document.querySelectorAll('svg.chart')].map((c) => [+c.dataset.rows,"
        " c.closest('figure').querySelectorAll('tbody tr').length])"
    )
    assert len(charts) == 3 * len(LAYERS)
    assert all(rows in (wanted, wanted + 2) for wanted, rows in charts)


CONTRAST = """
(() => {
  const light = (name) => {
    const box = document.createElement('i');
    box.style.color = `var(--${name})`;
    document.body.append(box);
    const parts = getComputedStyle(box).color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [['ink', 'page'], ['soft', 'page'], ['soft', 'panel'], ['own', 'page'], ['other', 'page'],
          ['cell', 'page'], ['good', 'good-back'], ['bad', 'bad-back']].map(([a, b]) => {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  });
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, url, scheme):
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text."""
    page.open(url, scheme=scheme)
    assert min(page.run(CONTRAST)) >= 4.5


def test_without_script_the_tables_stay(page, url):
    page.open(url, script=False)
    # What the page has no script for must not be offered; the protocol can still look.
    visible = page.run(
        "['#layers table', '#gates table', '#raster', '#theme', '.filter', 'noscript'].map((s) =>"
        " document.querySelector(s).getClientRects().length > 0)"
    )
    assert visible == [True, True, False, False, False, True]
    assert page.run("document.querySelectorAll('#raster-numbers tbody tr').length") == 9
    page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_tables_sort(page, url):
    page.open(url)
    rows = "[...document.querySelectorAll('#layer-table tbody tr')]"
    column = f"{rows}.map((row) => +row.cells[2].textContent)"
    before = page.run(column)
    page.run("document.querySelectorAll('#layer-table thead button')[2].focus()")
    page.run("document.activeElement.click()")
    assert page.run(column) == sorted(before, reverse=True)
    head = "document.querySelectorAll('#layer-table thead th')[2].getAttribute('aria-sort')"
    assert page.run(head) == "descending"
    page.run("document.activeElement.click()")
    assert page.run(column) == sorted(before)
    page.run("document.querySelectorAll('#layer-table thead button')[0].click()")
    assert page.run(head) is None


def test_the_filter_keeps_what_matches(page, url):
    page.open(url)
    page.run("filter.value = 'THIRD'; filter.dispatchEvent(new Event('input'))")
    shown = (
        "[...document.querySelectorAll('[data-layer]')].filter((e) => e.getClientRects().length)"
        ".map((e) => e.dataset.layer)"
    )
    found = page.run(shown)
    assert len(found) >= 5
    assert all("third" in name for name in found)
    page.run("filter.value = ''; filter.dispatchEvent(new Event('input'))")
    assert {HOSTILE, "first"} <= set(page.run(shown))


def test_the_raster_follows_its_controls(page, url):
    page.open(url)
    data = json.loads(page.run("document.getElementById('raster-data').textContent"))
    choose = (
        "((k, value) => {{ const s = document.querySelectorAll('#raster select')[k];"
        " s.value = value; s.dispatchEvent(new Event('change')); }})({}, {})"
    )
    page.run(choose.format(0, 1))
    page.run(choose.format(1, 2))
    counts = data["layers"][2]["counts"][1]
    shown = page.run(
        "[...document.querySelectorAll('#raster .counts dd')].map((d) => d.textContent)"
    )
    assert shown[2:5] == [str(counts[name]) for name in ("equal", "more", "fewer")]
    drawn = page.run(
        "['equal', 'more', 'fewer'].map((k) => (document.querySelector(`#raster path.${k}`)"
        "?.getAttribute('d').match(/M/g) || []).length)"
    )
    assert drawn == [counts["equal"], counts["more"], counts["fewer"]]
    assert sum(drawn) > 0
    page.run("document.querySelector('#raster input').click()")
    labels = words(page, "#raster svg text.end")
    assert len(labels) < 20


def test_the_raster_by_pointer_and_keyboard(page, url):
    page.open(url)
    page.run("document.querySelector('#raster .plot').scrollIntoView({behavior: 'instant'})")
    x, y = page.run(
        "(() => { const b = document.querySelector('#raster .frame').getBoundingClientRect();"
        " return [b.left + 5, b.top + 5]; })()"
    )
    page.hover(x, y)
    page.settle()
    assert words(page, "#tip")[0].startswith("neuron 0, step 0\n")
    page.run("document.querySelector('#raster .plot').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.press(key)
    page.settle()
    assert words(page, "#tip")[0].startswith("neuron 1, step 0\n")
    page.press("Escape")
    assert page.run("document.getElementById('tip').hidden")


def test_a_chart_says_its_numbers(page, url):
    page.open(url)
    page.run("document.querySelector('#membranes svg.chart').focus()")
    page.press("End")
    page.press("ArrowLeft")
    last = "document.querySelector('#membranes figure tbody').rows[58].cells"
    cells = page.run(f"[...{last}].map((c) => c.textContent)")
    assert words(page, "#tip")[0].split("\n")[1:] == [
        f"integer: {cells[1]}",
        f"float: {cells[2]}",
    ]
    assert page.run("document.querySelector('#membranes .cursor').getAttribute('visibility')")


def test_themes_in_turn(page, url):
    page.open(url, scheme="light")
    seen = []
    for _ in range(3):
        page.run("theme.click()")
        seen.append(
            [words(page, "#theme")[0], page.run("getComputedStyle(document.body).backgroundColor")]
        )
    page.run("localStorage.clear()")
    white, dark = "rgb(255, 255, 255)", "rgb(20, 23, 27)"
    assert seen == [["Theme: light", white], ["Theme: dark", dark], ["Theme: auto", white]]


def test_print_and_motion(page, url):
    page.open(url, scheme="dark")
    features = [
        {"name": "prefers-color-scheme", "value": "dark"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    page.call("Emulation.setEmulatedMedia", media="print", features=features)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    pages = page.call("Page.printToPDF", printBackground=True)["data"]
    assert len(pages) > 10_000
