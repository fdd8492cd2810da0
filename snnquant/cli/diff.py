"""``snnquant diff``."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from snnquant.cli.console import Speaker, add_row, document, new_table, number
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import PATH, json_option, quiet_option
from snnquant.comparison import Change, Comparison, compare_files
from snnquant.errors import GateError
from snnquant.files import sha256_of

#: Widths of the table's columns, which fit 80 with the space between them.
_WIDTHS = (16, 16, 19, 20)
_RANGE = re.compile(r"([\d.e+-]+)\.\.([\d.e+-]+)")
_HASH = re.compile("[0-9a-f]{64}")
#: Longer values are cut.
_MOST = 60


@click.command(cls=VerbCommand)
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option(
    "--exit-code", is_flag=True, help="Exit with 4 if anything is different, like a failed gate."
)
@click.option(
    "--ignore-names", is_flag=True, help="Leave out names and metadata, which change no result."
)
@json_option
@quiet_option
def command(
    a: Path, b: Path, exit_code: bool, ignore_names: bool, as_json: bool, quiet: bool
) -> None:
    """Tell what changed from A to B: two models, float or integer, or two calibrations.

    Layers are matched by name, then by their place in the graph. Of each it tells the kind of
    neuron, bits, scales, zero points, shapes, and how many weights and constants differ, by how
    much at most, and where; of the whole: T, inputs and outputs, whether it is fused, metadata,
    opsets.

    \b
    snnquant diff old.int.onnx new.int.onnx
    snnquant diff old.json new.json --json > changes.json
    snnquant diff old.int.onnx new.int.onnx --exit-code --ignore-names -q
    """  # noqa: D301
    speaker = Speaker(quiet)
    config = {"exit_code": exit_code, "ignore_names": ignore_names}
    speaker.settings("diff", {"a": a, "b": b, **config})
    found = compare_files(a, b)
    if ignore_names:
        found = found.without_names()
    hashes = sha256_of(a), sha256_of(b)
    total = len(found.all_changes)
    verdict = _verdict(found, identical=hashes[0] == hashes[1], ignored=ignore_names)
    if as_json:
        speaker.json(_document((a, b), hashes, found, config))
    else:
        _print(speaker, found)
        speaker.result(verdict)
    if exit_code and total:
        raise GateError(f"--exit-code: {a} and {b} differ: {verdict}")


def _counts(found: Comparison) -> dict[str, int]:
    statuses = [layer.status for layer in found.layers]
    counted = {f"layers_{word}": statuses.count(word) for word in ("added", "removed", "changed")}
    renamed = sum(any(c.id == "renamed" for c in layer.changes) for layer in found.layers)
    return {"changes": len(found.all_changes), **counted, "layers_renamed": renamed}


def _verdict(found: Comparison, *, identical: bool, ignored: bool) -> str:
    """Return what was found in a line."""
    total = len(found.all_changes)
    counted = f"{total} difference" + ("" if total == 1 else "s")
    if not total and identical:
        return "the same bytes"
    if not total:
        return "nothing differs but names and metadata" if ignored else "nothing differs"
    if found.equal:
        what = "computes" if found.kind == "model" else "says"
        return f"the same in all that it {what}: {counted} in names and metadata"
    layers = sum(layer.status != "equal" for layer in found.layers)
    return f"{counted}, in {layers} of {len(found.layers)} layers and nodes"


def _print(speaker: Speaker, found: Comparison) -> None:
    if not found.all_changes:
        return
    table = new_table("layer", "what", "A", "B")
    for column, width in zip(table.columns, _WIDTHS, strict=True):
        column.justify, column.max_width = "left", width
    for change in found.changes:
        add_row(table, "", change.what, *_cells(change))
    for layer in found.layers:
        name = layer.name
        for change in layer.changes:
            add_row(table, name, change.what, *_cells(change))
            name = ""
    speaker.table(table)
    speaker.result("")


def _cells(change: Change) -> tuple[str, str]:
    """Return what is in the two files, in a few words."""
    values = change.values
    if values is None or values.total == 1:
        return _text(change.before), _text(change.after)
    at = ", ".join(map(str, values.at))
    return (
        f"{values.changed:,} of {values.total:,} differ",
        f"most by {number(values.largest)}: {number(values.before)} -> {number(values.after)} "
        f"at [{at}]",
    )


def _text(value: Any) -> str:
    """Return a value as short text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return ("no", "yes")[value]
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, float) for v in value):
        value = number(value)
    if isinstance(value, (dict, list)):
        value = json.dumps(value, default=str)
    text = value if isinstance(value, str) else number(value)
    if both := _RANGE.fullmatch(text):
        return " .. ".join(both.groups())  # a column breaks it there, not inside of a number
    if _HASH.fullmatch(text):
        return f"{text[:12]}..."
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."


def _document(
    paths: tuple[Path, Path], hashes: tuple[str, str], found: Comparison, config: dict[str, bool]
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "kind": found.kind,
        "same_bytes": hashes[0] == hashes[1],
        "same_but_names": found.equal,
        **_counts(found),
    }
    gates = []
    if config["exit_code"]:
        status = "failed" if metrics["changes"] else "passed"
        gates = [{"id": "exit-code", "value": metrics["changes"], "limit": 0, "status": status}]
    return document(
        "diff",
        inputs={
            name: {"path": str(path), "sha256": sha256}
            for name, path, sha256 in zip("ab", paths, hashes, strict=True)
        },
        config=config,
        metrics=metrics,
        gates=gates,
        layers=[asdict(layer) for layer in found.layers],
        changes=[asdict(change) for change in found.changes],
    )
