"""``snnquant inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import onnx
import onnx_ir as ir

from snnquant.cli.console import Speaker, document
from snnquant.cli.group import VerbCommand
from snnquant.cli.model_table import print_layers, shape_text
from snnquant.cli.options import (
    DATA,
    SAMPLES_HELP,
    batch_option,
    json_option,
    quiet_option,
    samples_option,
)
from snnquant.cli.reading import read_options
from snnquant.cli.source import Source, source_options
from snnquant.data import Dataset, ReadOptions, open_data
from snnquant.errors import ModelError
from snnquant.evaluate import measure_activity
from snnquant.frontends import Reading
from snnquant.inspection import inspect_model
from snnquant.model_file import neuron_nodes
from snnquant.passes import canonicalise
from snnquant.stepping import STEP_MODE


@click.command(cls=VerbCommand)
@click.option("--data", type=DATA, help=f"Count spikes too. {SAMPLES_HELP}")
@samples_option
@batch_option
@json_option
@click.option("--strict", is_flag=True, help="Exit with 3 if any node would stay float.")
@quiet_option
@source_options
@read_options
def command(
    source: Source,
    reading: ReadOptions,
    data: Path | None,
    samples: int,
    batch_size: int,
    as_json: bool,
    strict: bool,
    quiet: bool,
) -> None:
    """List the layers of MODEL, its neurons and what they do, T, and what stays float.

    MODEL is a float model in any supported form, or an integer .onnx file. Of a neuron that was
    recognised in an export, it tells where. Equations are in the field's terms: x is the current,
    h the membrane that the threshold sees, s the spikes, v the membrane that is kept.

    \b
    snnquant inspect net.onnx
    snnquant inspect net.onnx --data train.npz
    snnquant inspect net.int.onnx --json
    """  # noqa: D301
    speaker = Speaker(quiet)
    read = source.read()
    found = inspect_model(read)
    config = {"strict": strict} | source.settings() | reading.settings()
    speaker.settings("inspect", {"model": source, "data": data, **config})
    inputs: dict[str, Any] = {"model": source.record(source.sha256())}
    if data is not None:
        config |= {"data": str(data), "samples": samples, "batch_size": batch_size}
        dataset = open_data(data, reading)
        inputs["data"] = {"path": str(data), "sha256": dataset.sha256}
        _add_activity(speaker, read, found, dataset, samples, batch_size)
    if as_json:
        described = {k: v for k, v in found.items() if k != "layers"}
        speaker.json(
            document(
                "inspect",
                inputs=inputs,
                config=config,
                metrics={"layers": len(found["layers"]), "stays_float": len(found["stays_float"])},
                layers=found["layers"],
                model=described,
            )
        )
    else:
        _print(speaker, source, found)
    if strict and found["stays_float"]:
        entry = found["stays_float"][0]
        raise ModelError(
            f"--strict: {len(found['stays_float'])} nodes stay float, first {entry['op']} "
            f"'{entry['node']}': {entry['reason']}"
        )


def _add_activity(
    speaker: Speaker,
    reading: Reading,
    found: dict[str, Any],
    dataset: Dataset,
    samples: int,
    batch_size: int,
) -> None:
    """Add to every spiking layer how often it fires on the data."""
    proto: onnx.ModelProto = reading.model
    if not neuron_nodes(proto, integer=True):
        proto = ir.to_proto(canonicalise(proto))
    with speaker.progress("running") as progress:
        reports = measure_activity(
            proto,
            dataset,
            batch_size=batch_size,
            samples=samples,
            custom_ops=False,
            progress=progress,
        )
    activity = {report.name: report for report in reports}
    for layer in found["layers"]:
        if layer["kind"] == "neuron" and layer["name"] in activity:
            seen = activity[layer["name"]]
            layer["firing_rate"] = seen.firing_rate
            layer["dead"] = seen.dead
            layer["saturated"] = seen.saturated


def _print(speaker: Speaker, source: Source, found: dict[str, Any]) -> None:
    """Print the tables for people."""
    steps = found["timesteps"]
    mode = "one step per call, a sequence has " if found["mode"] == STEP_MODE else ""
    speaker.result(
        f"{source}: {found['kind']} model, {mode}T = {steps if steps else 'as long as the input'}, "
        f"input {found['input_kind']}"
    )
    for entry in found["inputs"]:
        speaker.result(f"  input {entry['name']}: {entry['dtype']} {shape_text(entry)}")
    speaker.result("")
    print_layers(speaker, found["layers"])
    speaker.result("")
    for note in found["notes"]:
        speaker.result(f"note: {note}")
    for entry in found["stays_float"]:
        speaker.result(f"stays float: {entry['op']} '{entry['node']}': {entry['reason']}")
    if not found["stays_float"] and found["kind"] == "float":
        speaker.result("every node becomes integers")
