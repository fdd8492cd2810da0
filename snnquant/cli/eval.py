"""``snnquant eval``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import onnx
import onnx_ir as ir

from snnquant.cli.console import Speaker, add_row, document, new_table, percent
from snnquant.cli.gating import Gating, gate_options, raise_failed
from snnquant.cli.options import (
    PATH,
    batch_option,
    data_option,
    json_option,
    quiet_option,
    threads_option,
)
from snnquant.cli.reading import only_of_data, read_options
from snnquant.cli.source import Source, source_of, source_options
from snnquant.convert import manifest_path
from snnquant.data import ReadOptions, open_data
from snnquant.errors import DataError, UsageError
from snnquant.evaluate import READOUTS, Evaluation, evaluate_model
from snnquant.files import sha256_of
from snnquant.frontends import SourceOptions, canonical_graph
from snnquant.gates import check_layers, measured
from snnquant.model_file import metadata, neuron_nodes, read_model
from snnquant.neurobench import NeuroBench


@click.command()
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
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure MODEL on labelled data, and compare it with its float origin spike by spike.

    \b
    snnquant eval net.int.onnx --data test.npz --reference net.onnx
    snnquant eval net.int.onnx --data test.npz --json > result.json
    snnquant eval net.int.onnx --data test.npz --min-accuracy 0.95 --max-drop 0.002
    snnquant eval net.int.onnx --data test.npz --baseline result.json --junit gates.xml
    """  # noqa: D301
    speaker = Speaker(quiet)
    proto, sha256, origin, hint = _models(source, reference, reading)
    config = {
        "data": data,
        "reference": origin,
        "output": output,
        "readout": readout,
        "samples": samples,
        "batch_size": batch_size,
        **reading.settings(),
        "library": "no" if without_library else "yes",
        "neurobench": neurobench or None,
        **gating.settings(),
    }
    speaker.settings("eval", {"model": source.path or source, **config})
    if hint:
        speaker.say(hint)
    dataset = open_data(data, reading)
    checks = gating.open([data, *source.files, *(() if origin is None else origin.files)])
    checks.check_needs(
        labels=dataset.has_labels, reference=origin is not None, file=source.path is not None
    )
    read = None if origin is None else origin.read()
    graph = None if read is None else ir.to_proto(canonical_graph(read, str(origin)))
    with speaker.progress("evaluating") as progress:
        result = evaluate_model(
            proto,
            dataset,
            reference=graph,
            output=output,
            readout=readout,
            batch_size=batch_size,
            samples=samples,
            threads=threads,
            custom_ops=not without_library,
            neurobench=neurobench,
            progress=progress,
        )
    size = None if source.path is None else source.path.stat().st_size
    gates = checks.check(result, size)
    inputs: dict[str, Any] = {
        "model": {"path": str(source.path or source), "sha256": sha256},
        "data": {"path": str(data), "sha256": dataset.sha256},
    }
    if origin is not None and read is not None:
        inputs["reference"] = origin.record(origin.sha256(read))
    warnings = _reference_warnings(proto, origin, inputs.get("reference", {}).get("sha256"))
    warnings += layer_warnings(result) + checks.warnings(inputs["data"]["sha256"])
    written = checks.write(source.label, result, gates, size)
    if as_json:
        speaker.json(
            document(
                "eval",
                inputs=inputs,
                config={
                    k: str(v) if isinstance(v, (Path, Source)) else v for k, v in config.items()
                },
                metrics=measured(result, size)
                | {"neurobench": None if result.neurobench is None else asdict(result.neurobench)},
                layers=[asdict(layer) for layer in result.layers],
                gates=[asdict(gate) for gate in gates],
                warnings=warnings,
                artifacts=written,
            )
        )
    else:
        print_evaluation(speaker, result)
    for warning in warnings:
        speaker.warn(warning["message"])
    raise_failed(gates)


def _models(
    source: Source, reference: Path | None, reading: ReadOptions
) -> tuple[onnx.ModelProto, str, Source | None, str]:
    """Return the model to measure, its hash, the float model to compare it with, and a hint."""
    path = source.path
    if path is not None and path.suffix.lower() == ".onnx":
        proto = read_model(path)
        if neuron_nodes(proto, integer=True):
            given = source.options
            if reference is None and given.factory is None:
                given = only_of_data(given, reading)
            origin, hint = _reference(Source(reference, given), path, proto)
            return proto, sha256_of(path), origin, hint
    read = source.read()
    other = None if reference is None else Source(reference, SourceOptions())
    graph = canonical_graph(read, str(source))
    return ir.to_proto(graph), source.sha256(read), other, ""


def _reference(given: Source, model: Path, proto: onnx.ModelProto) -> tuple[Source | None, str]:
    """Return the float model that was named, by the user or else by the manifest, and a hint.

    The manifest's is taken if it is there and still the same. A factory that it names is not
    called: a file must not decide which code runs.
    """
    if given.path is not None or given.options.factory is not None:
        return given, ""
    if given.options != SourceOptions():
        raise UsageError("the source options are the float model's; give --reference or --model")
    wanted = metadata(proto).get("snnquant.source_sha256")
    try:
        text = manifest_path(model).read_text(encoding="utf-8")
        named = source_of(json.loads(text)["inputs"]["model"])
        if named.options.factory is not None:
            return None, f"to compare with the float model, give --model {named.options.factory}"
        for candidate in (named.path, model.parent / named.path.name) if named.path else ():
            if candidate.is_file() and sha256_of(candidate) == wanted:
                return Source(candidate, named.options), ""
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError, DataError),
    ):
        pass  # a manifest is a help, not a condition
    return None, ""


def _reference_warnings(
    proto: onnx.ModelProto, origin: Source | None, sha256: str | None
) -> list[dict[str, str]]:
    """Return a warning if the reference is not what the integer model was made from."""
    made_from = metadata(proto).get("snnquant.source_sha256")
    if origin is None or made_from is None or sha256 == made_from:
        return []
    message = f"{origin} is not the file that the integer model was made from"
    return [{"code": "other_reference", "message": message}]


def layer_warnings(result: Evaluation) -> list[dict[str, str]]:
    """Return warnings about layers that say nothing, or always the same."""
    words = {
        "max-dead": ("dead_layer", "never fires"),
        "max-saturation": ("saturated_layer", "fires at every step"),
    }
    return [
        {"code": words[check.id][0], "message": f"layer '{check.layer}' {words[check.id][1]}"}
        for check in check_layers(result, {})
        if check.status == "warning"
    ]


def print_evaluation(speaker: Speaker, result: Evaluation) -> None:
    """Print the tables of an evaluation."""
    compared = result.prediction_agreement is not None
    summary = new_table("", "integer", "float", "drop")
    if result.accuracy is not None:
        drop = "-" if result.drop is None else f"{100 * result.drop:+.2f} pt"
        add_row(
            summary,
            f"accuracy ({result.samples} samples)",
            percent(result.accuracy),
            percent(result.float_accuracy),
            drop,
        )
    if compared:
        add_row(summary, "same prediction", percent(result.prediction_agreement), "", "")
    if result.spike_agreement is not None:
        add_row(summary, "equal spikes", percent(result.spike_agreement), "", "")
    if summary.row_count:
        speaker.table(summary)
        speaker.result("")
    else:
        speaker.result(f"{result.samples} samples, no labels and no reference to compare with")
    columns = ["layer", "neurons", "rate", "dead", "saturated"]
    table = new_table(*columns, *(["float rate", "equal spikes", "F1"] if compared else []))
    for layer in result.layers:
        row = [
            layer.name,
            str(layer.neurons),
            f"{layer.firing_rate:.4f}",
            percent(layer.dead, 1),
            percent(layer.saturated, 1),
        ]
        if compared:
            row += [_rate(layer.firing_rate_float), percent(layer.agreement), _rate(layer.spike_f1)]
        add_row(table, *row)
    speaker.table(table)
    if result.neurobench is not None:
        _print_neurobench(speaker, result.neurobench)


def _print_neurobench(speaker: Speaker, found: NeuroBench) -> None:
    """Print NeuroBench's metrics, and the bits that weights take when packed."""
    table = new_table("NeuroBench, per sample", "")
    for name, value in (
        ("effective MACs", f"{found.effective_macs:,.1f}"),
        ("effective ACs", f"{found.effective_acs:,.1f}"),
        ("dense operations", f"{found.dense:,.1f}"),
        ("membrane updates", f"{found.membrane_updates:,.1f}"),
        ("activation sparsity", percent(found.activation_sparsity)),
        ("connection sparsity", percent(found.connection_sparsity)),
        ("footprint", f"{found.footprint:,} bytes"),
        (f"{found.weights:,} weights, packed", f"{found.weight_bits:,} bits"),
    ):
        add_row(table, name, value)
    speaker.result("")
    speaker.table(table)


def _rate(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"
