"""``snnquant eval``."""

from __future__ import annotations

from typing import Any

import click

from snnquant.cli.console import Speaker
from snnquant.cli.evaluation import measure, tell_measured
from snnquant.cli.gating import gate_options, raise_failed
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
from snnquant.cli.reporting import report_options
from snnquant.cli.scoring import scoring_options
from snnquant.cli.source import source_options


@click.command(cls=VerbCommand)
@data_option
@click.option(
    "--reference",
    type=PATH,
    help="The float model; the source options are then its. "
    "[default: the one that the manifest names, if it is still there]",
)
@scoring_options
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
def command(quiet: bool, as_json: bool, **options: Any) -> None:
    """Measure MODEL on labelled data, and compare it with its float origin spike by spike.

    \b
    snnquant eval net.int.onnx --data test.npz --reference net.onnx
    snnquant eval net.int.onnx --data test.npz --json > result.json
    snnquant eval net.int.onnx --data test.npz --min-accuracy 0.95 --max-drop 0.01
    snnquant eval net.int.onnx --data test.npz --baseline old.json --junit g.xml
    snnquant eval net.int.onnx --data test.npz --report report.html
    """  # noqa: D301
    speaker = Speaker(quiet)
    found = measure(speaker, **options)
    if as_json:
        speaker.json(found.document)
    tell_measured(speaker, found, tables=not as_json)
    raise_failed(found.gates)
