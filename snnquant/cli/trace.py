"""``snnquant trace``."""

from __future__ import annotations

from pathlib import Path

import click

from snnquant.cli.console import Speaker, add_row, document, new_table
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import PATH, data_option, json_option, quiet_option
from snnquant.cli.reading import read_options_alone
from snnquant.data import ReadOptions, open_data
from snnquant.files import sha256_of
from snnquant.model_file import read_model
from snnquant.trace import FORMATS, check_folder, trace_model, write_trace


@click.command(cls=VerbCommand)
@click.argument("model", type=PATH)
@data_option
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trace this many samples.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="Numpy arrays, or one hex memory file per array for $readmemh.",
)
@click.option(
    "-o",
    "--output-folder",
    "folder",
    type=PATH,
    required=True,
    help="Folder to make; an existing one must be empty.",
)
@json_option
@quiet_option
@read_options_alone
def command(
    model: Path,
    reading: ReadOptions,
    data: Path,
    samples: int,
    form: str,
    folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write every integer of MODEL step by step, for RTL and firmware test benches.

    Per layer: inputs, weights, bias, currents, membranes before they are compared with the
    threshold, spikes, and all constants of the neurons, computed by the numpy reference; and a
    README.md that says what is where, how wide it is and how to read it.

    \b
    snnquant trace net.int.onnx --data test.npz --format hex -o vectors
    snnquant trace net.int.onnx --data test.npz -o trace
    """  # noqa: D301
    speaker = Speaker(quiet)
    config = {"data": str(data), "samples": samples, "format": form, "folder": str(folder)}
    config |= reading.settings()
    speaker.settings("trace", {"model": model, **config})
    check_folder(folder)
    proto = read_model(model)
    dataset = open_data(data, reading)
    batch = next(iter(dataset.batches(samples, samples)))
    trace = trace_model(proto, batch)
    record = {"path": model.name, "sha256": sha256_of(model)}
    files = write_trace(trace, folder, form, record)
    if as_json:
        layers = [
            {
                "name": layer.name,
                "op": layer.op,
                "signals": {name: list(array.shape) for name, array in layer.signals.items()},
                "constants": {name: list(array.shape) for name, array in layer.constants.items()},
            }
            for layer in trace.layers
        ]
        speaker.json(
            document(
                "trace",
                inputs={
                    "model": {"path": str(model), "sha256": record["sha256"]},
                    "data": {"path": str(data), "sha256": dataset.sha256},
                },
                config=config,
                metrics={"samples": trace.samples},
                layers=layers,
                artifacts=[{"path": name, "sha256": sha256_of(folder / name)} for name in files],
            )
        )
        return
    table = new_table("layer", "op", "steps", "neurons", "spikes", texts=2)
    for layer in trace.layers:
        shape = layer.signals["current"].shape
        spikes = layer.signals.get("spikes")
        neurons = layer.signals["current"][0, 0].size
        fired = "-" if spikes is None else f"{int(spikes.sum()):,}"
        add_row(table, layer.name, layer.op, str(shape[1]), f"{neurons:,}", fired)
    speaker.table(table)
    several = "" if trace.samples == 1 else "s"
    speaker.result(f"wrote {folder} ({len(files)} files, {trace.samples} sample{several})")
