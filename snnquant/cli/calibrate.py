"""``snnquant calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snnquant.calibrate import (
    calibrate_model,
    calibration_warnings,
    samples_path,
    write_calibration,
)
from snnquant.calibration import AUTO, Calibration, CalibrationSettings, check_input_choice
from snnquant.cli.console import Speaker
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import (
    batch_option,
    check_output,
    data_option,
    output_option,
    quiet_option,
    samples_option,
    threads_option,
)
from snnquant.cli.reading import read_options
from snnquant.cli.resuming import RESUME_HELP, telling_progress
from snnquant.cli.source import Source, source_options
from snnquant.data import ReadOptions, open_data
from snnquant.errors import UsageError
from snnquant.observers import OBSERVERS
from snnquant.partial import PartialFile, partial_path
from snnquant.target import load_target

_METHOD_HELP = "How a scale is chosen. auto: as the target prefers. " + " ".join(
    f"{name}: {observer.summary[0].lower()}{observer.summary[1:]}"
    for name, observer in OBSERVERS.items()
)


@click.command(cls=VerbCommand)
@data_option
@click.option(
    "--method",
    type=click.Choice([AUTO, *OBSERVERS]),
    default=AUTO,
    show_default=True,
    help=_METHOD_HELP,
)
@samples_option
@batch_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=spikes|binary|analog|SCALE",
    help="Say what a value is instead of letting the data decide; may be repeated.",
)
@threads_option
@click.option(
    "--resume",
    is_flag=True,
    help=RESUME_HELP,
)
@output_option("calibration.json", "Where to write the statistics.")
@quiet_option
@source_options
@read_options
def command(quiet: bool, **options: Any) -> None:
    """Run calibration data through MODEL and keep the statistics of its analog values.

    Writes a readable JSON, bound by hash to model, data and settings, and beside it the first
    samples, on which convert checks its work. Whole sequences are run, with new states for every
    sample; memory does not grow with the number of samples.

    \b
    snnquant calibrate net.onnx --data train.npz
    snnquant calibrate net.onnx --data train.npz --input input=spikes
    snnquant calibrate net.onnx --data NMNIST/Train --timesteps 10 --bin count
    snnquant calibrate net.onnx --data train.npz --samples 100000 --resume
    """  # noqa: D301
    run(Speaker(quiet), **options)


def run(
    speaker: Speaker,
    source: Source,
    reading: ReadOptions,
    *,
    data: Path,
    method: str,
    samples: int,
    batch_size: int,
    inputs: tuple[str, ...],
    threads: int | None,
    resume: bool,
    output_file: Path,
) -> Calibration:
    """Calibrate a model as the verb does, and say so; return what was written."""
    settings = CalibrationSettings(method, samples, batch_size, _forced(inputs), reading.settings())
    speaker.settings(
        "calibrate",
        {
            "model": source,
            "data": data,
            "method": method,
            "samples": samples,
            "batch size": batch_size,
            **source.settings(),
            **reading.settings(),
            "input": " ".join(inputs),
            "output": output_file,
        },
    )
    check_output(output_file, (*source.files, data))
    partial = PartialFile(partial_path(output_file), resume=resume)
    for beside in (samples_path(output_file), partial.path):
        check_output(beside, (*source.files, data))
    if resume and not partial.path.exists():
        speaker.say(f"  nothing to go on from: there is no {partial.path}")
    target = load_target("generic")
    speaker.notes(source.read().notes)
    graph = source.graph()
    dataset = open_data(data, reading)
    with speaker.progress("calibrating") as progress, telling_progress(speaker, partial.path):
        calibration = calibrate_model(
            graph,
            dataset,
            settings,
            timesteps=source.options.timesteps,
            threads=threads,
            progress=progress,
            partial=partial,
        )
    calibration = write_calibration(calibration, dataset, output_file, source.label, target)
    partial.remove()
    if partial.taken_over:
        speaker.say(f"  went on from {partial.taken_over} samples in {partial.path}")
    for warning in calibration_warnings(calibration):
        speaker.warn(warning)
    for name in calibration.tensors:
        entry = calibration.input_scale(name, target.input_bits, target.input_observer)
        analog = f"analog, {target.input_bits}-bit scale {entry.scale:.6g}"
        speaker.say(f"  {name}: {'spikes or counts' if entry.spikes else analog}")
    speaker.result(f"wrote {output_file} ({calibration.settings.samples} samples)")
    return calibration


def _forced(inputs: tuple[str, ...]) -> dict[str, str]:
    """Parse NAME=KIND options."""
    forced = {}
    for text in inputs:
        name, mark, choice = text.rpartition("=")
        try:
            if not mark or not name:
                raise ValueError("no '='")  # noqa: TRY301 - one message for all that is wrong
            forced[name] = check_input_choice(choice)
        except ValueError as error:
            raise UsageError(
                f"--input {text}: give NAME=spikes, NAME=binary (spikes of 0 or 1), NAME=analog, "
                "or NAME=SCALE with SCALE > 0"
            ) from error
    return forced
