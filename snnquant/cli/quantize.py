"""``snnquant quantize``: calibrate, convert and eval in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from snnquant.calibrate import samples_path as samples_beside
from snnquant.calibration import Calibration
from snnquant.cli import calibrate, convert, eval
from snnquant.cli.console import Speaker, document
from snnquant.cli.evaluation import Measured, measure, tell_measured
from snnquant.cli.gating import Gating, gate_options, raise_failed
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import (
    DATA,
    PATH,
    SAMPLES_HELP,
    check_output,
    json_option,
    options_of,
    output_option,
    quiet_option,
)
from snnquant.cli.reading import read_options
from snnquant.cli.reporting import Reporting, report_options
from snnquant.cli.source import Source, source_options
from snnquant.convert import kept_samples
from snnquant.data import ReadOptions, open_data
from snnquant.errors import UsageError
from snnquant.files import file_record
from snnquant.frontends import SourceOptions
from snnquant.golden import golden_path
from snnquant.manifest import manifest_path, read_manifest, record_evaluation
from snnquant.partial import partial_path

#: Options of the verbs that this one runs, by the names of their parameters.
_OF_CALIBRATE = ("method", "samples", "batch_size", "inputs", "threads", "resume")
_OF_CONVERT = (
    *("target", "weight_bits", "input_bits", "per_channel", "layer", "layers"),
    *("state_bits", "overflow"),
    *("readout_as", "fuse", "mode"),
    *("golden", "rounding", "rounding_samples"),
)
_OF_EVAL = ("output", "readout", "neurobench")


@click.command(cls=VerbCommand)
@click.option("--data", type=DATA, required=True, help=f"To calibrate on. {SAMPLES_HELP}")
@click.option(
    "--test",
    type=DATA,
    help="Labelled samples to compare both models on. [default: nothing is evaluated]",
)
@click.option(
    "--test-samples", type=click.IntRange(min=1), help="Use at most this many samples of --test."
)
@output_option(None, "Where to write the integer model; the other files go beside it.")
@click.option(
    "--calibration",
    type=PATH,
    help="Where to write the calibration. [default: beside the model]",
)
@options_of(calibrate.command, _OF_CALIBRATE)
@options_of(convert.command, _OF_CONVERT)
@options_of(eval.command, _OF_EVAL)
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
    test: Path | None,
    test_samples: int | None,
    output_file: Path,
    calibration: Path | None,
    gating: Gating,
    reporting: Reporting,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Take MODEL to integers in one go: calibrate, convert, and eval on --test.

    Writes what those verbs write. Where a gate fails the files are there all the same, the
    manifest says that it failed, and the exit code is 4.

    \b
    snnquant quantize net.onnx --data train.npz -o net.int.onnx
    snnquant quantize net.onnx --data train.npz --test test.npz -o net.int.onnx
    snnquant quantize net.onnx --data a.npz --test b.npz -o n.onnx --max-drop 0
    """  # noqa: D301
    speaker = Speaker(quiet, keep_stdout=as_json)
    check_output(output_file, [*source.files, data])  # it has a name, beside which others go
    place = calibration or output_file.with_suffix(".calibration.json")
    _check(source, reading, data, test, output_file, place, gating, reporting, options)
    known = calibrate.run(
        speaker,
        source,
        reading,
        data=data,
        output_file=place,
        **{name: options[name] for name in _OF_CALIBRATE},
    )
    warnings = convert.run(
        speaker,
        source,
        reading,
        calibration=place,
        data=data,
        threads=options["threads"],
        output_file=output_file,
        **{name: options[name] for name in _OF_CONVERT},
    )
    found = None
    if test is not None:
        found = measure(
            speaker,
            Source(output_file, SourceOptions()),
            reading,
            data=test,
            reference=source,
            samples=test_samples,
            batch_size=options["batch_size"],
            threads=options["threads"],
            without_library=False,
            gating=gating,
            reporting=reporting,
            **{name: options[name] for name in _OF_EVAL},
        )
        record_evaluation(output_file, found.document)
        tell_measured(speaker, found, tables=not as_json)
    if as_json:
        config = {
            "data": data,
            "test": test,
            "test_samples": test_samples,
            **source.settings(),
            **reading.settings(),
            **{k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
            **gating.settings(),
            **reporting.settings(),
        }
        speaker.json(_document(config, data, output_file, place, known, warnings, found))
    if found is not None:
        raise_failed(found.gates)


def _check(
    source: Source,
    reading: ReadOptions,
    data: Path,
    test: Path | None,
    output_file: Path,
    calibration: Path,
    gating: Gating,
    reporting: Reporting,
    options: dict[str, Any],
) -> None:
    """Refuse what a later verb would refuse, before the first one runs."""
    read = [*source.files, data, *([] if test is None else [test]), *reporting.inputs]
    check_output(calibration, read)
    written = [output_file, manifest_path(output_file), calibration]
    written += [samples_beside(calibration), partial_path(calibration)]
    written += [golden_path(output_file)] if options["golden"] else []
    if len(set(map(os.path.realpath, written))) < len(written):
        raise UsageError(f"--calibration {calibration} and -o {output_file} are two outputs")
    for output in written:
        check_output(output, read)
    if test is None:
        if gating.limits or gating.baseline or gating.junit or gating.summary or reporting.outputs:
            raise UsageError("gates and reports need something to evaluate; give --test")
        return
    dataset = open_data(test, reading)
    checks = gating.open([*read, *written], reporting.outputs)
    checks.check_needs(labels=dataset.has_labels, reference=True, file=True)


def _document(
    config: dict[str, Any],
    data: Path,
    output_file: Path,
    calibration: Path,
    known: Calibration,
    warnings: list[dict[str, str]],
    found: Measured | None,
) -> dict[str, Any]:
    """Return the machine output: that of eval, with what was made and from what."""
    measured = {} if found is None else found.document
    made = [calibration, kept_samples(calibration, known), output_file, manifest_path(output_file)]
    if config["golden"]:
        made.append(golden_path(output_file))
    inputs = {
        "model": read_manifest(manifest_path(output_file))["inputs"]["model"],
        "data": {"path": str(data), "sha256": known.data_sha256},
    }
    if found is not None:
        inputs["test"] = found.document["inputs"]["data"]
    return document(
        "quantize",
        inputs=inputs,
        config=config,
        metrics=measured.get("metrics", {}),
        gates=measured.get("gates", []),
        layers=measured.get("layers", []),
        warnings=[*warnings, *measured.get("warnings", [])],
        artifacts=[
            *(file_record(path) for path in made),
            *measured.get("artifacts", []),
        ],
    )
