"""The table of what is recognised, in the README, is what reading the nets gives."""

from __future__ import annotations

import ast
import json
import warnings

import pytest
from recognised_rows import NEURONS, STRUCTURES
from recognised_table import (
    README,
    REFUSED,
    assembled,
    known,
    parts_of,
    read_section,
    refusal,
    section,
)
from zoo.compare import differing_parameters

from snnquant.frontends import Reading

TITLES = [*NEURONS, *STRUCTURES]


def written():
    """Return the README's block without the rows, and the rows under each title."""
    frame, rows, title = "", {}, None
    for line in parts_of(README.read_text(encoding="utf-8"))[1].splitlines(keepends=True):
        first = line.split("|")[1].strip() if line.startswith("|") else None
        title = first if first in TITLES else title if first == "" else None
        if title is None or line.startswith("| | "):
            frame, title = frame + line, None
        else:
            rows[title] = rows.get(title, "") + line
    return frame, rows


@pytest.mark.parametrize("title", TITLES)
def test_the_readme_says_what_reading_gives(title):
    read = read_section(title)
    for row, result in read:
        truth = known(row)
        assert isinstance(result, str) or not truth.refused or truth.optional, row
        if isinstance(result, Reading) and truth.expected is not None:
            options = [list(e) if isinstance(e, tuple) else [e] for e in truth.expected]
            wanted = json.loads(json.dumps(options))
            assert differing_parameters(result.model, wanted) == "", row
    assert written()[1].get(title) == section(title, read), "recognised_table.py --write renews it"


def test_the_readme_has_these_rows_and_no_others():
    frame, rows = written()
    assert frame == assembled(dict.fromkeys(TITLES, ""))
    assert list(rows) == TITLES
    assert sum(len(rows) for rows in {**NEURONS, **STRUCTURES}.values()) > 100


def fits(module, options):
    """Whether a module has the options, as far as it keeps them under their names."""
    return all(getattr(module, key, value) == value for key, value in options.items())


@pytest.mark.parametrize("title", [title for title in NEURONS if title != "by hand"])
def test_the_words_name_modules_of_the_net(title):
    for row in NEURONS[title]:
        call = ast.parse(row.words.split("`")[1], mode="eval").body
        if call.func.id[0].islower():  # a function that makes the net
            continue
        literal = (ast.Constant, ast.UnaryOp)
        given = {
            k.arg: ast.literal_eval(k.value) for k in call.keywords if isinstance(k.value, literal)
        }
        options = {name: value for name, value in given.items() if value is not Ellipsis}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            modules = list(known(row).build().modules())
        named = [m for m in modules if type(m).__name__ == call.func.id]
        assert named, row
        assert any(fits(m, options) for m in named), row


def test_reasons_lose_what_belongs_to_one_net():
    message = "net: neuron 'a.b' is not understood: its membrane differs at step 1 (by up to 0.9)"
    assert refusal(message, "net") == f"{REFUSED}: its membrane differs at step 1"
    message = "net: node '/a/Dropout' (Dropout) is in training mode; export after model.eval()"
    assert refusal(message, "net") == f"{REFUSED}: Dropout is in training mode"
