"""``snnquant analyze``."""

from __future__ import annotations

from pathlib import Path

import click

from snnquant.analyze import MODES, Scoring, Setting, Study, analyze, changes_of
from snnquant.calibration import load_calibration
from snnquant.cli.analysis import analysis_document, print_analysis
from snnquant.cli.console import Speaker, document
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import (
    batch_option,
    calibration_option,
    data_option,
    json_option,
    quiet_option,
    threads_option,
    width_options,
)
from snnquant.cli.reading import read_options
from snnquant.cli.scoring import scoring_options
from snnquant.cli.source import Source, source_options
from snnquant.convert_model import check_calibration
from snnquant.data import ReadOptions, open_data
from snnquant.errors import UsageError
from snnquant.files import file_record
from snnquant.manifest import describe_options
from snnquant.model_file import neuron_nodes
from snnquant.quantize_options import choose_options
from snnquant.target import load_target


@click.command(cls=VerbCommand)
@data_option
@calibration_option
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default=MODES[-1],
    show_default=True,
    help="What is measured of each layer: itself, fed by the float model; the output with it and "
    "all before it in integers; the output with it alone in integers.",
)
@width_options
@scoring_options
@batch_option
@threads_option
@json_option
@quiet_option
@source_options
@read_options
def command(
    source: Source,
    reading: ReadOptions,
    data: Path,
    calibration: Path,
    mode: str,
    target: str,
    weight_bits: int | None,
    input_bits: int | None,
    per_channel: bool | None,
    output: str | None,
    readout: str,
    samples: int | None,
    batch_size: int,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Rank the layers of MODEL, a float model, by what quantizing them costs, and try what helps.

    The options of convert say how. Layers come with the most costly first; for the worst ones,
    other settings are tried, and those that help are listed with what was measured.

    \b
    snnquant analyze net.onnx --data test.npz --weight-bits 4
    snnquant analyze net.onnx --data test.npz --per-tensor --mode one-at-a-time
    snnquant analyze net.onnx --data test.npz --json > costs.json
    """  # noqa: D301
    speaker = Speaker(quiet)
    options = choose_options(load_target(target), weight_bits, input_bits, per_channel)
    widths = describe_options(options)
    del widths["readout_as"], widths["fuse"]
    config = {
        "data": str(data),
        "calibration": str(calibration),
        "mode": mode,
        **widths,
        "output": output,
        "readout": readout,
        "samples": samples,
        "batch_size": batch_size,
        **reading.settings(),
    }
    speaker.settings("analyze", {"model": source, **source.settings(), **config})
    read = source.read()
    if neuron_nodes(read.model, integer=True):
        raise UsageError(
            f"{source} is an integer model, of which nothing can be told layer by layer; "
            "give the float model that it was made from"
        )
    speaker.notes(read.notes)
    known = load_calibration(calibration)
    graph = source.graph()
    check_calibration(graph, known)
    dataset = open_data(data, reading)
    study = Study(
        graph,
        Setting(options, known.input_scales(options.input_bits, options.target.input_observer)),
        known.firing_rates(),
        dataset,
        Scoring(output, readout, samples, batch_size, threads),
    )
    found = analyze(study, mode, changes_of(options, known), speaker.progress)
    if as_json:
        inputs = {
            "model": source.record(source.sha256()),
            "calibration": file_record(calibration),
            "data": {"path": str(data), "sha256": dataset.sha256},
        }
        speaker.json(document("analyze", inputs=inputs, config=config, **analysis_document(found)))
    else:
        print_analysis(speaker, found)
