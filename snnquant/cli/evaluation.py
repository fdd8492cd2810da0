"""What the verbs that evaluate do: read the models, measure, check gates, write reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from snnquant.cli.console import Speaker, document
from snnquant.cli.evaluation_table import print_evaluation, print_gates
from snnquant.cli.gating import Gating
from snnquant.cli.reading import only_of_data
from snnquant.cli.reporting import Reporting
from snnquant.cli.source import Source, source_of
from snnquant.data import ReadOptions, open_data
from snnquant.errors import DataError, UsageError
from snnquant.evaluate import Evaluation, evaluate_model
from snnquant.files import sha256_of
from snnquant.frontends import SourceOptions
from snnquant.gates import Gate, check_layers, measured
from snnquant.manifest import manifest_path, read_manifest
from snnquant.model_file import metadata, neuron_nodes, read_model
from snnquant.report import Subject


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        document: the machine output of ``eval``.
        result: what was measured.
        gates: limits and what was found.
    """

    document: dict[str, Any]
    result: Evaluation
    gates: list[Gate]


def measure(
    speaker: Speaker,
    source: Source,
    reading: ReadOptions,
    *,
    data: Path,
    reference: Path | Source | None,
    output: str | None,
    readout: str,
    samples: int | None,
    batch_size: int,
    threads: int | None,
    without_library: bool,
    neurobench: bool,
    gating: Gating,
    reporting: Reporting,
) -> Measured:
    """Measure a model as ``eval`` does, and write the reports about it.

    The parameters are the options of ``eval``; a reference may be a source that was read before,
    which has its own options.

    Raises:
        SnnquantError: as ``eval`` exits; a gate that failed is told by the result alone.
    """
    proto, sha256, origin, hint = _models(source, reference, reading)
    config = {
        "data": data,
        "reference": None if origin is None else str(origin),
        "output": output,
        "readout": readout,
        "samples": samples,
        "batch_size": batch_size,
        **reading.settings(),
        "library": "no" if without_library else "yes",
        "neurobench": neurobench or None,
        **gating.settings(),
        **reporting.settings(),
    }
    speaker.settings("eval", {"model": source.path or source, **config})
    if hint:
        speaker.say(hint)
    dataset = open_data(data, reading)
    read_files = [data, *source.files, *(() if origin is None else origin.files)]
    if source.path is not None:
        read_files.append(manifest_path(source.path))
    checks = gating.open([*read_files, *reporting.inputs], reporting.outputs)
    report = reporting.open(sha256)
    checks.check_needs(
        labels=dataset.has_labels, reference=origin is not None, file=source.path is not None
    )
    graph = None if origin is None else ir.to_proto(origin.graph())
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
            observe=report.observe,
            progress=progress,
        )
    size = None if source.path is None else source.path.stat().st_size
    gates = checks.check(result, size)
    inputs: dict[str, Any] = {
        "model": {"path": str(source.path or source), "sha256": sha256},
        "data": {"path": str(data), "sha256": dataset.sha256},
    }
    if origin is not None:
        inputs["reference"] = origin.record(origin.sha256())
    warnings = _reference_warnings(proto, origin, inputs.get("reference", {}).get("sha256"))
    warnings += layer_warnings(result) + checks.warnings(inputs["data"]["sha256"])
    written = checks.write(source.label, result, gates, size)
    found = document(
        "eval",
        inputs=inputs,
        config=config,
        metrics=measured(result, size)
        | {"neurobench": None if result.neurobench is None else asdict(result.neurobench)},
        layers=[asdict(layer) for layer in result.layers],
        gates=[asdict(gate) for gate in gates],
        warnings=warnings,
        artifacts=written,
    )
    subject = Subject(
        title=source.label,
        path=source.path,
        sha256=sha256,
        model=proto,
        reference=graph,
        dataset=dataset,
        samples=result.samples,
        custom_ops=not without_library,
        threads=threads,
    )
    written += report.write(subject, result, gates, found)
    if reporting.path is not None:
        speaker.say(f"wrote {reporting.path}")
    return Measured(found, result, gates)


def tell_measured(speaker: Speaker, found: Measured, *, tables: bool) -> None:
    """Tell a person what was found: tables, if they are wanted, and what there is to warn of."""
    if tables:
        print_evaluation(speaker, found.result)
        print_gates(speaker, found.gates)
    for warning in found.document["warnings"]:
        speaker.warn(warning["message"])


def _models(
    source: Source, reference: Path | Source | None, reading: ReadOptions
) -> tuple[onnx.ModelProto, str, Source | None, str]:
    """Return the model to measure, its hash, the float model to compare it with, and a hint."""
    path = source.path
    if path is not None and (path.suffix.lower() == ".onnx" or _holds_integers(source)):
        proto = read_model(path)
        if neuron_nodes(proto, integer=True):
            if isinstance(reference, Source):
                return proto, sha256_of(path), reference, ""
            given = source.options
            if reference is None and given.factory is None:
                given = only_of_data(given, reading)
            origin, hint = _reference(Source(reference, given), path, proto)
            return proto, sha256_of(path), origin, hint
    other = Source(reference, SourceOptions()) if isinstance(reference, Path) else reference
    return ir.to_proto(source.graph()), source.sha256(), other, ""


def _holds_integers(source: Source) -> bool:
    """Whether a file of another suffix, which is no checkpoint, is an integer model."""
    return source.options.factory is None and bool(neuron_nodes(source.read().model, integer=True))


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
    missing = "no manifest names one"
    try:
        named = source_of(read_manifest(manifest_path(model))["inputs"]["model"])
        if named.options.factory is not None:
            return None, f"to compare with the float model, give {named.flags()}"
        missing = f"{named.path} is not there as it was" if named.path else missing
        for candidate in (named.path, model.parent / named.path.name) if named.path else ():
            if candidate.is_file() and sha256_of(candidate) == wanted:
                return Source(candidate, named.options), ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, DataError):
        pass  # a manifest is a help, not a condition
    return None, f"there is no float model to compare with: {missing}; give --reference"


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
    return [
        {"code": check.rule.warning, "message": f"layer '{check.layer}' {check.rule.does}"}
        for check in check_layers(result, {})
        if check.status == "warning"
    ]
