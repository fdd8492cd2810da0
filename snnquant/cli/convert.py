"""``snnquant convert``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from snnquant.calibration import load_calibration
from snnquant.cli.console import Speaker
from snnquant.cli.group import VerbCommand
from snnquant.cli.layer_widths import layer_options, layer_widths, layer_words
from snnquant.cli.options import (
    DATA,
    calibration_option,
    check_output,
    output_option,
    quiet_option,
    threads_option,
    width_options,
)
from snnquant.cli.reading import read_options
from snnquant.cli.source import Source, source_options
from snnquant.convert import (
    convert_files,
    fusion_summary,
    kept_samples,
    quantization_warnings,
    requantized_summary,
    search_summary,
    width_summary,
    write_conversion,
)
from snnquant.data import ReadOptions, open_data
from snnquant.errors import UsageError
from snnquant.golden import golden_path, is_golden_of
from snnquant.manifest import describe_options, manifest_path
from snnquant.progress import silent
from snnquant.quantize_options import OVERFLOWS, SATURATE, choose_options
from snnquant.rounding import AUTO, METHODS
from snnquant.search import DEFAULT_SAMPLES
from snnquant.stepping import MODES
from snnquant.target import load_target


@click.command(cls=VerbCommand)
@calibration_option
@width_options
@layer_options
@click.option(
    "--state-bits",
    type=click.IntRange(2, 32),
    metavar="N",
    help="Make membranes coarser until N bits are proved to hold all states. [default: as many as "
    "they need, up to the target's]",
)
@click.option(
    "--overflow",
    type=click.Choice(OVERFLOWS),
    default=SATURATE,
    show_default=True,
    help="Where the width of states is not proved to suffice: let them saturate, or refuse.",
)
@click.option(
    "--readout-as",
    type=click.Choice(["float", "int"]),
    default="float",
    show_default=True,
    help="Outputs dequantized, or as integers with their scale in the metadata.",
)
@click.option(
    "--fuse/--no-fuse",
    default=True,
    show_default=True,
    help="Make one op of a synapse and the neurons behind it.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="One call takes a whole sequence, or one time step with the states as inputs and outputs.",
)
@click.option(
    "--golden",
    type=click.IntRange(min=1),
    metavar="N",
    help="Store inputs, spikes, states and outputs of the first N calibration samples beside the "
    "model, for verify.",
)
@click.option(
    "--data",
    type=DATA,
    help="Samples for methods of rounding that look at them. [default: none]",
)
@click.option(
    "--rounding",
    type=click.Choice([AUTO, *METHODS]),
    default=AUTO,
    show_default=True,
    help="How weights become integers; auto: the best with what is given.",
)
@click.option(
    "--rounding-samples",
    type=click.IntRange(min=2),
    default=DEFAULT_SAMPLES,
    show_default=True,
    metavar="N",
    help="Let it look at the first N samples.",
)
@threads_option
@output_option(None, "Where to write the integer model; the manifest goes beside it.")
@quiet_option
@source_options
@read_options
def command(quiet: bool, **options: Any) -> None:
    """Write MODEL in integers: weights, inputs, and every constant of its neurons.

    The result is one ONNX file that runs in stock ONNX Runtime, and fast where the snnquant
    library is loaded. Before it is written it is run on the stored samples and every integer is
    compared with the reference; if one differs, nothing is written.

    With --data, layer after layer is searched for the weights, biases and thresholds with which
    the spikes come closest to those of MODEL; it matters below 8 bits. No labels are used.

    \b
    snnquant convert net.onnx -o net.int.onnx
    snnquant convert net.onnx --data train.npz --weight-bits 3 -o net.int3.onnx
    snnquant convert net.onnx --weight-bits 4 -o net.int4.onnx
    snnquant convert net.onnx --weight-bits 4 --layer fc3=8 -o net.mixed.onnx
    snnquant convert net.onnx --target tianjic --readout-as int -o hw.int.onnx
    snnquant convert net.onnx --mode step -o net.step.onnx
    snnquant convert net.onnx --golden 4 -o net.int.onnx
    """  # noqa: D301
    run(Speaker(quiet), **options)


def run(
    speaker: Speaker,
    source: Source,
    reading: ReadOptions,
    *,
    calibration: Path,
    target: str,
    weight_bits: int | None,
    input_bits: int | None,
    per_channel: bool | None,
    layer: tuple[str, ...],
    layers: Path | None,
    state_bits: int | None,
    overflow: str,
    readout_as: str,
    fuse: bool,
    mode: str,
    golden: int | None,
    data: Path | None,
    rounding: str,
    rounding_samples: int,
    threads: int | None,
    output_file: Path,
) -> list[dict[str, str]]:
    """Convert a model as the verb does, and say so; return what there is to warn of."""
    options = choose_options(
        load_target(target),
        weight_bits,
        input_bits,
        per_channel,
        readout_as,
        fuse=fuse,
        rounding=rounding,
        samples=data is not None,
        layers=layer_widths(layer, layers),
        state_bits=state_bits,
        overflow=overflow,
    )
    speaker.settings(
        "convert",
        {
            "model": source,
            **source.settings(),
            "calibration": calibration,
            "data": data,
            **describe_options(options),
            "layers": layer_words(options.layers),
            "mode": mode,
            "golden": golden,
            "output": output_file,
        },
    )
    given = [path for path in (data, layers) if path is not None]
    read = (*source.files, calibration, *given)
    check_output(output_file, read)  # it has a name, beside which others go
    vectors = golden_path(output_file)
    had_vectors = vectors.is_file()
    beside = [manifest_path(output_file), *([vectors] if golden else [])]
    for path in beside:
        check_output(path, read)
    known = load_calibration(calibration)
    samples_file = kept_samples(calibration, known)
    for path in (output_file, *beside):
        check_output(path, [samples_file])
    steps = source.options.timesteps
    if steps is not None and known.timesteps not in (0, steps):
        raise UsageError(
            f"--timesteps {steps}: {calibration} was made with T = {known.timesteps}; "
            "calibrate again, or drop --timesteps"
        )
    speaker.notes(source.read().notes)
    source_sha256 = source.sha256()
    dataset = None if data is None else open_data(data, reading)
    # Where nothing is searched there is no progress to show.
    searching = METHODS[options.rounding].needs_samples
    with speaker.progress("searching") if searching else nullcontext(silent) as progress:
        result, check = convert_files(
            source.graph(),
            source_sha256,
            calibration,
            known,
            options,
            mode,
            dataset=dataset,
            samples=rounding_samples,
            threads=threads,
            progress=progress,
        )
    record = source.record(source_sha256)
    searched = None
    if dataset is not None and result.search:
        searched = {"path": str(data), "sha256": dataset.sha256}
    kept = write_conversion(
        record, calibration, known, options, result, check, output_file, golden or 0, searched
    )
    warnings = quantization_warnings(result, known, check)
    for warning in warnings:
        speaker.warn(warning["message"])
    for entry in result.search:
        speaker.say(f"  {search_summary(entry)}")
    if result.requantized:
        speaker.say(f"  {requantized_summary(result)}")
    speaker.say(f"  {width_summary(result)}")
    speaker.say(
        f"  self-check: {check.integers} integers in {check.samples} samples equal the reference"
    )
    if result.fusion is not None:
        speaker.say(f"  {fusion_summary(result)}")
    if check.steps:
        speaker.say(f"  step by step: {check.steps} values equal the sequence's")
    if golden:
        few = "" if kept == golden else f"; there are no more than {kept} to store"
        speaker.say(f"  golden vectors of {kept} samples: {vectors}{few}")
    elif had_vectors and not vectors.is_file():
        speaker.say(f"  removed {vectors}, golden vectors of the model that was replaced")
    elif had_vectors and not is_golden_of(vectors, output_file):
        speaker.warn(f"{vectors} holds no golden vectors of this model; remove it, or add --golden")
    size = output_file.stat().st_size
    layers = sum(layer["kind"] == "neuron" for layer in result.layers)
    counted = "1 integer neuron layer" if layers == 1 else f"{layers} integer neuron layers"
    speaker.result(f"wrote {output_file} ({size:,} bytes, {counted})")
    return warnings
