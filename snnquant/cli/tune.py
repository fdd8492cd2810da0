"""``snnquant tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import onnx_ir as ir

from snnquant.calibration import load_calibration
from snnquant.cli import convert
from snnquant.cli.budget import SizeBudget, SizeType
from snnquant.cli.console import Speaker
from snnquant.cli.gating import raise_failed
from snnquant.cli.group import VerbCommand
from snnquant.cli.layer_widths import layer_option, layer_widths, layer_words
from snnquant.cli.options import (
    DATA,
    SAMPLES_HELP,
    RealRange,
    arithmetic_options,
    batch_option,
    calibration_option,
    check_output,
    json_option,
    options_of,
    output_option,
    quiet_option,
    threads_option,
)
from snnquant.cli.reading import read_options
from snnquant.cli.resuming import RESUME_HELP, telling_progress
from snnquant.cli.scoring import scoring_options
from snnquant.cli.source import Source, source_options
from snnquant.cli.tuning import (
    Chosen,
    drop_gates,
    picture_path,
    print_tuned,
    tuned_document,
    write_tuned,
)
from snnquant.convert_model import check_calibration
from snnquant.data import Dataset, ReadOptions, open_data
from snnquant.data.part import Part
from snnquant.errors import DataError, UsageError
from snnquant.files import file_record, sha256_of
from snnquant.lowering.layer_options import check_layers
from snnquant.lowering.plan import make_plan
from snnquant.manifest import describe_options
from snnquant.model_file import graph_hash
from snnquant.quantize_options import QuantizeOptions, choose_options
from snnquant.target import load_target
from snnquant.tune import KeptMeasures, Limits, Study, tune
from snnquant.tune.run import DEFAULT_POINTS


def _widths(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Return the widths in a text such as ``2,4,8``."""
    if value is None:
        return None
    words = value.split(",")
    if not all(word.isascii() and word.isdigit() and 2 <= int(word) <= 32 for word in words):
        raise click.BadParameter(f"'{value}' are no widths; give some such as 2,4,8.")
    return tuple(sorted({int(word) for word in words}))


@click.command(cls=VerbCommand)
@click.option("--data", type=DATA, required=True, help=f"To choose by. {SAMPLES_HELP}")
@click.option(
    "--test",
    type=DATA,
    help="Samples on which all models are reported too; they choose nothing. [default: none]",
)
@calibration_option
@click.option(
    "--budget",
    type=SizeType(),
    metavar="SIZE",
    help="Take the smallest error within this: mean bits per weight (3.5bits), or the size of all "
    "weights (20kB, 4096B); of states too, with --state-widths. [default: no limit]",
)
@click.option(
    "--max-drop",
    type=RealRange(0, 1),
    help="Take the smallest model whose accuracy is at most this fraction below the float model's. "
    "[default: no limit]",
)
@click.option(
    "--widths",
    callback=_widths,
    metavar="BITS,...",
    help="Widths of weights to try: 2,4,8. [default: all that the target has]",
)
@click.option(
    "--state-widths",
    callback=_widths,
    metavar="BITS,...",
    help="Widths of states to try, which then count in the size: 8,12,16. [default: none; states "
    "have what they need]",
)
@layer_option
@click.option(
    "--points",
    type=click.IntRange(2, 1000),
    default=DEFAULT_POINTS,
    show_default=True,
    help="Measure about so many models between the widest and the narrowest.",
)
@arithmetic_options
@options_of(convert.command, ("rounding", "rounding_samples"))
@scoring_options
@batch_option
@threads_option
@click.option("--resume", is_flag=True, help=RESUME_HELP)
@output_option("tune.json", "Where to write what was found; a picture goes beside it.")
@json_option
@quiet_option
@source_options
@read_options
def command(
    source: Source,
    reading: ReadOptions,
    data: Path,
    test: Path | None,
    calibration: Path,
    budget: SizeBudget | None,
    max_drop: float | None,
    widths: tuple[int, ...] | None,
    state_widths: tuple[int, ...] | None,
    layer: tuple[str, ...],
    points: int,
    target: str,
    input_bits: int | None,
    per_channel: bool | None,
    rounding: str,
    rounding_samples: int,
    samples: int | None,
    threads: int | None,
    resume: bool,
    output_file: Path,
    as_json: bool,
    quiet: bool,
    **scoring: Any,
) -> None:
    """Choose a width for the weights of each layer of MODEL, a float model, within a budget.

    Integer models with different widths are made and run. The first samples of --data are what
    the weights are searched with, as convert does it; the others are what models are judged by,
    and only --max-drop looks at labels. convert takes the answer by --layers.

    \b
    snnquant tune net.onnx --data train.npz --budget 3bits
    snnquant tune net.onnx --data a.npz --max-drop 0.005 --test b.npz
    snnquant tune net.onnx --data a.npz --budget 20kB --widths 2,4,8 --layer fc=8
    snnquant tune net.onnx --data a.npz --budget 30kB --state-widths 8,12,16
    """  # noqa: D301
    speaker = Speaker(quiet, keep_stdout=as_json)
    profile = load_target(target)
    tried = widths or profile.weight_bits_allowed
    for bits in tried:
        choose_options(profile, bits)  # refuses what the target does not have
    for bits in state_widths or ():
        choose_options(profile, state_bits=bits)
    options = choose_options(
        profile,
        max(tried),
        input_bits,
        per_channel,
        fuse=True,
        rounding=rounding,
        samples=True,
        layers=layer_widths(layer),
    )
    config = {
        "data": data,
        "test": test,
        "calibration": calibration,
        "budget": None if budget is None else str(budget),
        "max_drop": max_drop,
        "widths": ",".join(map(str, tried)),
        "state_widths": ",".join(map(str, state_widths or ())) or None,
        "layer": layer_words(options.layers) or None,
        "points": points,
        **_arithmetic(options),
        "rounding_samples": rounding_samples,
        **scoring,
        "samples": samples,
        **reading.settings(),
    }
    speaker.settings(
        "tune", {"model": source, **source.settings(), **config, "output": output_file}
    )
    read = [*source.files, calibration, data, *([] if test is None else [test])]
    kept = KeptMeasures(output_file.with_suffix(".partial.json"), resume=resume)
    check_output(output_file, read)  # it has a name, beside which others go
    for beside in (picture_path(output_file), kept.path):
        check_output(beside, [*read, output_file])
    if resume and not kept.path.exists():
        speaker.say(f"  nothing to go on from: there is no {kept.path}")
    speaker.notes(source.read().notes)
    known = load_calibration(calibration)
    graph = source.graph()
    check_calibration(graph, known)
    _check_layers(graph, options)
    dataset = open_data(data, reading)
    if max_drop is not None and not dataset.has_labels:
        raise UsageError("--max-drop needs labels; add 'y' to the data, or give --budget")
    searched, held_out = _parts(dataset, rounding_samples, samples)
    tests = None if test is None else open_data(test, reading)
    study = Study(
        graph,
        known,
        options,
        dataset,
        searched,
        held_out,
        tests,
        {**scoring, "threads": threads},
    )
    kept.start(
        {
            "model": graph_hash(graph),
            "calibration": sha256_of(calibration),
            "data": dataset.sha256,
            "test": None if tests is None else tests.sha256,
            "settings": {**_arithmetic(options), "widths": tried, "layer": config["layer"]}
            | {"state_widths": state_widths}
            | {**scoring, **reading.settings(), "samples": [searched, len(held_out)]},
        }
    )

    def limits(count: int) -> Limits:
        return Limits(None if budget is None else budget.bits(count), max_drop)

    with telling_progress(speaker, kept.path):
        found = tune(study, tried, state_widths or (), limits, points, kept, speaker.progress)
    chosen = Chosen(found, searched, len(held_out), max_drop)
    inputs = {
        "model": source.record(source.sha256()),
        "calibration": file_record(calibration),
        "data": {"path": str(data), "sha256": dataset.sha256},
    }
    if tests is not None:
        inputs["test"] = {"path": str(test), "sha256": tests.sha256}
    document = tuned_document(chosen, inputs, config)
    artifacts = write_tuned(output_file, document, found, source.label)
    kept.remove()
    if kept.taken_over:
        speaker.say(f"  went on from {kept.taken_over} models in {kept.path}")
    if as_json:
        speaker.json(document | {"artifacts": artifacts})
    else:
        print_tuned(speaker, chosen, output_file)
    raise_failed(drop_gates(chosen))


def _arithmetic(options: QuantizeOptions) -> dict[str, Any]:
    """Return the settings that hold for all models."""
    told = describe_options(options)
    return {key: told[key] for key in ("target", "input_bits", "per_channel", "rounding")}


def _check_layers(graph: ir.Model, options: QuantizeOptions) -> None:
    """Refuse widths of layers that are not there before anything is measured."""
    check_layers(graph, make_plan(graph, options.target), options.layers)


def _parts(dataset: Dataset, searched: int, most: int | None) -> tuple[int, Dataset]:
    """Return how many samples the search looks at, and those behind them.

    Raises:
        DataError: there are too few for both.
    """
    count = len(dataset)
    if count < 4:
        raise DataError(f"{dataset.path} holds {count} samples; give 4 at least, better hundreds")
    first = min(searched, count // 2)
    stop = count if most is None else min(count, first + most)
    return first, Part(dataset, first, stop)
