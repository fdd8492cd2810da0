"""``snnquant demo``."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import click
import onnx_ir as ir

from snnquant.bench import Reference, compare_speed
from snnquant.calibrate import calibrate_model, write_calibration
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.cli.console import Speaker, document
from snnquant.cli.evaluation import layer_warnings
from snnquant.cli.evaluation_table import print_evaluation
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import PATH, json_option, quiet_option
from snnquant.convert import convert_files, fusion_summary, write_conversion
from snnquant.data import open_data
from snnquant.errors import UsageError
from snnquant.evaluate import evaluate_model
from snnquant.files import file_record
from snnquant.frontends import load_canonical
from snnquant.gates import measured
from snnquant.manifest import describe_options
from snnquant.model_file import read_model
from snnquant.quantize_options import choose_options
from snnquant.target import load_target

#: To spend on comparing speeds.
_BENCH_SECONDS = 0.5
_SHIPPED = ("digits_conv.onnx", "digits_calibration.npz", "digits_test.npz")


@click.command(cls=VerbCommand)
@click.option(
    "--folder",
    type=PATH,
    default="snnquant-demo",
    show_default=True,
    help="Where the files go; made if it is not there.",
)
@click.option(
    "--weight-bits",
    type=click.IntRange(2, 8),
    default=8,
    show_default=True,
    help="Width of weights.",
)
@json_option
@quiet_option
def command(folder: Path, weight_bits: int, as_json: bool, quiet: bool) -> None:
    """Take a real network, trained on scikit-learn's digits, to integers and run both.

    The network and its data come with the package. Runs calibrate, convert and eval, and leaves
    all files in a folder to look at.

    \b
    snnquant demo
    snnquant demo --weight-bits 4 --folder four
    """  # noqa: D301
    speaker = Speaker(quiet)
    target = load_target("generic")
    options = choose_options(target, weight_bits, None, None, "float", fuse=True)
    speaker.settings("demo", {"folder": folder, "weight bits": weight_bits})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _SHIPPED:
            with resources.as_file(resources.files("snnquant") / "demo_data" / name) as source:
                shutil.copyfile(source, folder / name)
    except OSError as error:
        raise UsageError(
            f"--folder {folder} cannot be written: {error.strerror or error}"
        ) from error
    model, calibration_data, test_data = (folder / name for name in _SHIPPED)
    calibration_file = folder / "calibration.json"
    integer_file = folder / "digits_conv.int.onnx"

    speaker.say("1. calibrate: run training samples through the float network")
    dataset = open_data(calibration_data)
    graph = load_canonical(model)
    settings = CalibrationSettings(AUTO, len(dataset), 64)
    with speaker.progress("calibrating") as progress:
        calibration = calibrate_model(graph, dataset, settings, progress=progress)
    calibration = write_calibration(calibration, dataset, calibration_file, model.name, target)

    speaker.say("2. convert: weights, inputs and neuron constants to integers, then the self-check")
    record = file_record(model)
    result, check = convert_files(graph, record["sha256"], calibration_file, calibration, options)
    write_conversion(record, calibration_file, calibration, options, result, check, integer_file)
    speaker.say(
        f"   {check.integers} integers in {check.samples} samples equal the numpy reference"
    )

    speaker.say(f"   {fusion_summary(result)}")

    speaker.say("3. eval: classify test digits with both")
    with speaker.progress("evaluating") as progress:
        evaluation = evaluate_model(
            read_model(integer_file),
            open_data(test_data),
            reference=ir.to_proto(graph),
            progress=progress,
        )
    speaker.say("4. bench: run both in turn, one sample at a time on one thread")
    original = Reference("float", model.read_bytes(), ir.to_proto(graph))
    (speed,) = compare_speed(
        read_model(integer_file),
        open_data(test_data),
        name="integer",
        references=[original],
        seconds=_BENCH_SECONDS,
    )
    timing, speed_up = speed.timings["integer"], speed.speed_up("integer", original.name)
    if as_json:
        made = [*_SHIPPED, calibration_file.name, calibration.samples_file, integer_file.name]
        speaker.json(
            document(
                "demo",
                inputs={"model": record},
                config=describe_options(options),
                metrics=measured(evaluation, integer_file.stat().st_size) | {"neurobench": None},
                layers=[asdict(layer) for layer in evaluation.layers],
                warnings=layer_warnings(evaluation),
                artifacts=[file_record(folder / n) for n in made],
                float_accuracy=evaluation.float_accuracy,
                integer_accuracy=evaluation.accuracy,
                speed_up=speed_up,
            )
        )
        return
    print_evaluation(speaker, evaluation)
    speaker.result(
        f"{speed_up:.1f} times as fast as the float model in ONNX Runtime "
        f"({1e6 * timing.median:.0f} us, median of {timing.runs})"
    )
    speaker.result(f"float model    {model}")
    speaker.result(f"integer model  {integer_file}")
    speaker.result(f"calibration    {calibration_file}")
    speaker.result(f"test data      {test_data}")
