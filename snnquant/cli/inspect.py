"""``snnquant inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snnquant.cli.console import Speaker, add_row, document, new_table, number
from snnquant.cli.options import json_option, model_argument, quiet_option
from snnquant.errors import ModelError
from snnquant.files import sha256_of
from snnquant.inspection import inspect_model
from snnquant.model_file import read_model

_HIDDEN = frozenset(
    {"name", "op", "kind", "equation", "parameters", "note", "neurons", "weight_shape", "weights"}
)


@click.command()
@model_argument
@json_option
@click.option("--strict", is_flag=True, help="Exit with 3 if any node would stay float.")
@quiet_option
def command(model: Path, as_json: bool, strict: bool, quiet: bool) -> None:
    """List the layers of MODEL, its neurons with their parameters, T, and what stays float.

    MODEL is a float or an integer .onnx file.

    \b
    snnquant inspect net.onnx
    snnquant inspect net.int.onnx --json
    """  # noqa: D301
    speaker = Speaker(quiet)
    found = inspect_model(read_model(model))
    if as_json:
        described = {k: v for k, v in found.items() if k != "layers"}
        speaker.json(
            document(
                "inspect",
                inputs={"model": {"path": str(model), "sha256": sha256_of(model)}},
                config={"strict": strict},
                metrics={"layers": len(found["layers"]), "stays_float": len(found["stays_float"])},
                layers=found["layers"],
                model=described,
            )
        )
    else:
        _print(speaker, model, found)
    if strict and found["stays_float"]:
        entry = found["stays_float"][0]
        raise ModelError(
            f"--strict: {len(found['stays_float'])} nodes stay float, first {entry['op']} "
            f"'{entry['node']}': {entry['reason']}"
        )


def _print(speaker: Speaker, path: Path, found: dict[str, Any]) -> None:
    """Print the tables for people."""
    steps = found["timesteps"]
    speaker.result(
        f"{path}: {found['kind']} model, T = {steps if steps else 'as long as the input'}, "
        f"input {found['input_kind']}"
    )
    for entry in found["inputs"]:
        dims = ["?" if d is None else str(d) for d in entry["shape"]]
        if entry["batch_axis"] is not None and dims[entry["batch_axis"]] == "?":
            dims[entry["batch_axis"]] = "B"
        if entry["time_axis"] is not None and dims[entry["time_axis"]] == "?":
            dims[entry["time_axis"]] = "T"
        speaker.result(f"  input {entry['name']}: {entry['dtype']} [{', '.join(dims)}]")
    table = new_table("layer", "op", "size", "what")
    table.columns[3].justify = "left"
    for layer in found["layers"]:
        if layer["kind"] == "synapse":
            size = " x ".join(map(str, layer["weight_shape"]))
            what = f"largest weight {number(layer['largest_weight'])}"
        else:
            size = " x ".join(map(str, layer.get("neurons") or ["?"])) or "1"
            choices = [f"{k} {v}" for k, v in layer.items() if k not in _HIDDEN and v != 0]
            held = [f"{k} {number(v)}" for k, v in layer["parameters"].items()]
            what = ", ".join(choices + held)
        add_row(table, layer["name"], layer["op"], size, what)
    speaker.table(table)
    for entry in found["stays_float"]:
        speaker.result(f"stays float: {entry['op']} '{entry['node']}': {entry['reason']}")
    if not found["stays_float"] and found["kind"] == "float":
        speaker.result("every node becomes integers")
