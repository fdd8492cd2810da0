"""The pictures of the README are there, need nothing else, and show what was measured."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench"))

import pictures
from low_bit_table import table

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests" / "bench"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
SVGS = [name for _, name in PICTURES if name.endswith(".svg")]
#: Attributes and texts that make a browser load something.
LOADING = re.compile(r"url\(|@import|https?:|data:|javascript:", re.IGNORECASE)
MOST_BYTES = 40_000


def test_pictures_are_found():
    assert len(PICTURES) >= 4
    assert README.count("![") == len(PICTURES)
    assert {Path(name).name for name in SVGS} == {
        pictures.ACCURACY,
        pictures.SCALE,
        pictures.MEMBRANE,
        "tune.svg",
    }


@pytest.mark.parametrize(("alt", "name"), PICTURES, ids=lambda text: Path(text).name[:24])
def test_a_picture_is_there_and_said_in_words(alt, name):
    path = ROOT / name
    assert path.is_file()
    assert len(alt.split()) >= 5
    if path.suffix == ".png":
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("name", SVGS)
def test_an_svg_needs_nothing_else(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert "<!" not in text
    assert "<?" not in text
    whole = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert whole.tag == f"{space}svg"
    for each in whole.iter():
        known = {"svg", "title", "style", "rect", "line", "path", "circle", "text"}
        assert each.tag.removeprefix(space) in known
        for key, value in [("text", each.text or ""), *each.attrib.items()]:
            assert not LOADING.search(value), (each.tag, key, value)
            assert not key.endswith(("href", "src"))
            assert not key.startswith("on")
    # Readable on any ground: the first that is drawn is a white one of the picture's size.
    ground = next(whole.iter(f"{space}rect"))
    _, _, width, height = map(float, whole.attrib["viewBox"].split())
    assert ground.attrib["fill"] == "#ffffff"
    assert float(ground.attrib["width"]) >= width - 1
    assert float(ground.attrib["height"]) >= height - 1


@pytest.mark.parametrize("name", [pictures.SCALE, pictures.MEMBRANE])
def test_numbers_beside_a_picture_are_those_it_was_drawn_from(name):
    alt, caption = re.search(
        rf"!\[([^\]]*)\]\(tests/bench/{re.escape(name)}\)\n\n(.*?)\n\n", README, re.DOTALL
    ).groups()
    title = ElementTree.parse(BENCH / name).findtext("{http://www.w3.org/2000/svg}title")
    numbers = re.findall(r"\d+\.\d+", f"{alt} {caption}")
    assert len(numbers) >= 2
    assert set(numbers) <= set(re.findall(r"\d+\.\d+", title))


def test_the_picture_of_tune_is_of_the_models_in_the_text():
    text = README.split("\n### A width for each layer\n")[1].split("\n### ")[0]
    rows = re.findall(r"^((?:\d ){3}) *(.*?) +(\d\.\d\d) +[\d,]+ ", text, re.MULTILINE)
    front = [(widths.split(), mean) for widths, mark, mean in rows if "beaten" not in mark]
    whole = ElementTree.parse(BENCH / "tune.svg")
    shown = ["".join(each.itertext()) for each in whole.iter() if each.get("class")]
    for layer, name in enumerate(["conv1", "conv2.1", "fc.2"]):
        after = shown[shown.index(name) + 1 :]
        cells = [words for words in after[: 2 * len(front)] if words]
        assert cells == [widths[layer] for widths, _ in front]
    means = shown[shown.index("mean bits") + 1 :][: len(front)]
    assert [float(mean) for mean in means] == [
        pytest.approx(float(mean), abs=0.006) for _, mean in front
    ]


def test_tables_and_picture_of_few_bits_are_what_the_benchmark_wrote():
    results = json.loads(pictures.RESULTS.read_text(encoding="utf-8"))
    for kind, found in results.items():
        assert len(found["seeds"]) >= 4
        assert "\n".join(table(kind, found)) in README
    assert (BENCH / pictures.ACCURACY).read_text(encoding="utf-8") == pictures.accuracy(results)
