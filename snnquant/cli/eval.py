"""``snnquant eval``."""

from __future__ import annotations

from pathlib import Path

import click

from snnquant.cli.console import Speaker
from snnquant.cli.evaluation import measure
from snnquant.cli.evaluation_table import print_evaluation, print_gates
from snnquant.cli.gating import Gating, gate_options, raise_failed
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import (
    PATH,
    batch_option,
    data_option,
    json_option,
    quiet_option,
    threads_option,
)
from snnquant.cli.reading import read_options
from snnquant.cli.reporting import Reporting, report_options
from snnquant.cli.source import Source, source_options
from snnquant.data import ReadOptions
from snnquant.evaluate import READOUTS


@click.command(cls=VerbCommand)
@data_option
@click.option(
    "--reference",
    type=PATH,
    help="The float model; the source options are then its. "
    "[default: the one that the manifest names, if it is still there]",
)
@click.option("--output", "output", metavar="NAME", help="Output to score. [default: the first]")
@click.option(
    "--readout",
    type=click.Choice(READOUTS),
    default="auto",
    show_default=True,
    help="How an output that carries time is reduced; auto sums over it.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples.")
@batch_option
@threads_option
@click.option(
    "--without-library",
    is_flag=True,
    help="Run the function bodies in the file instead of the custom-op library.",
)
@click.option(
    "--neurobench",
    is_flag=True,
    help="Count NeuroBench's metrics too: operations, updates, sparsity, footprint.",
)
@gate_options
@report_options
@json_option
@quiet_option
@source_options
@read_options
def command(
    source: Source,
    reading: ReadOptions,
    data: Path,
    reference: Path | None,
    output: str | None,
    readout: str,
    samples: int | None,
    batch_size: int,
    threads: int | None,
    without_library: bool,
    neurobench: bool,
    gating: Gating,
    reporting: Reporting,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL on labelled data, and compare it with its float origin spike by spike.

    \b
    snnquant eval net.int.onnx --data test.npz --reference net.onnx
    snnquant eval net.int.onnx --data test.npz --json > result.json
    snnquant eval net.int.onnx --data test.npz --min-accuracy 0.95 --max-drop 0.01
    snnquant eval net.int.onnx --data test.npz --baseline old.json --junit g.xml
    snnquant eval net.int.onnx --data test.npz --report report.html
    """  # noqa: D301
    speaker = Speaker(quiet)
    found = measure(
        speaker,
        source,
        reading,
        data=data,
        reference=reference,
        output=output,
        readout=readout,
        samples=samples,
        batch_size=batch_size,
        threads=threads,
        without_library=without_library,
        neurobench=neurobench,
        gating=gating,
        reporting=reporting,
    )
    if as_json:
        speaker.json(found.document)
    else:
        print_evaluation(speaker, found.result)
        print_gates(speaker, found.gates)
    for warning in found.document["warnings"]:
        speaker.warn(warning["message"])
    raise_failed(found.gates)
