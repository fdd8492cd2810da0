"""``snnquant import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import onnx_ir as ir

from snnquant.cli.console import Speaker, document
from snnquant.cli.group import VerbCommand
from snnquant.cli.model_table import print_layers
from snnquant.cli.options import check_output, json_option, output_option, quiet_option
from snnquant.cli.source import Source, source_options
from snnquant.files import atomic_write, file_record
from snnquant.frontends.interface import declare_interface
from snnquant.inspection import describe_float
from snnquant.instrument import Runner
from snnquant.runtime import load_session


@click.command(cls=VerbCommand)
@output_option(None, "Where to write the canonical float model.")
@json_option
@quiet_option
@source_options
def command(source: Source, output_file: Path, as_json: bool, quiet: bool) -> None:
    """Read MODEL and write it as one float ONNX file with a node per neuron layer.

    MODEL is an ONNX export of a spiking network, a .nir or .pt2 file, or what --model builds. The
    file that is written has the original's input and output names, types and shapes, so that the
    two can be compared; it runs in stock ONNX Runtime. calibrate, convert and eval do the same
    when they are given MODEL: importing first is for looking at it, and for other tools.

    \b
    snnquant import net.onnx -o canonical.onnx
    snnquant import net.nir --dt 1e-3 --reset soft -o canonical.onnx
    snnquant import weights.pt --model package.module:factory -o canonical.onnx
    """  # noqa: D301
    speaker = Speaker(quiet)
    speaker.settings("import", {"model": source, **source.settings(), "output": output_file})
    check_output(output_file, source.files)
    reading = source.read()
    canonical = source.graph()
    proto = ir.to_proto(canonical)
    layout = Runner(proto, custom_ops=False).layout
    found = describe_float(reading, canonical, layout)
    written = declare_interface(proto, reading.model, layout, reading.fixed_batch)
    data = written.SerializeToString(deterministic=True)
    load_session(data, custom_ops=False)  # the very bytes that are written
    atomic_write(output_file, data)
    neurons = [layer for layer in found["layers"] if layer["kind"] == "neuron"]
    edges = sum(layer.get("knife_edges", 0) for layer in neurons)
    if as_json:
        speaker.json(_document(source, source.sha256(), found, output_file, edges))
        return
    print_layers(speaker, neurons)
    speaker.result("")
    for note in reading.notes:
        speaker.result(f"note: {note}")
    if edges:
        speaker.result(
            f"{edges} spikes differ from the original where the membrane is at the threshold "
            "to within float32 rounding"
        )
    layers = "1 neuron layer" if len(neurons) == 1 else f"{len(neurons)} neuron layers"
    steps = found["timesteps"] or "as long as the input"
    speaker.result(f"wrote {output_file} ({len(data):,} bytes, {layers}, T = {steps})")


def _document(
    source: Source, sha256: str, found: dict[str, Any], output_file: Path, edges: int
) -> dict[str, Any]:
    """Return the machine output."""
    neurons = [layer for layer in found["layers"] if layer["kind"] == "neuron"]
    return document(
        "import",
        inputs={"model": source.record(sha256)},
        config={**source.settings(), "output": str(output_file)},
        metrics={
            "neuron_layers": len(neurons),
            "timesteps": found["timesteps"],
            "knife_edges": edges,
            "stays_float": len(found["stays_float"]),
        },
        layers=found["layers"],
        notes=found["notes"],
        stays_float=found["stays_float"],
        artifacts=[file_record(output_file)],
    )
