"""``snnquant verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from snnquant.cli.console import Speaker, add_row, document, new_table
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import DATA, PATH, SAMPLES_HELP, json_option, quiet_option, threads_option
from snnquant.cli.reading import read_options_alone
from snnquant.data import Dataset, ReadOptions, open_data
from snnquant.errors import GateError, UsageError
from snnquant.files import file_record
from snnquant.golden import Replay, Verification, golden_path, verify_model
from snnquant.manifest import manifest_path


@click.command(cls=VerbCommand)
@click.argument("model", type=PATH)
@click.option("--data", type=DATA, help=f"Also compare the ways to run it here. {SAMPLES_HELP}")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Use at most this many samples of --data.",
)
@click.option(
    "--custom-ops/--no-custom-ops",
    default=True,
    show_default=True,
    help="Replay with the custom-op library, too.",
)
@threads_option
@json_option
@quiet_option
@read_options_alone
def command(
    model: Path,
    reading: ReadOptions,
    data: Path | None,
    samples: int,
    custom_ops: bool,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay what convert --golden stored with MODEL, and check every hash that binds it.

    The vectors are replayed with the custom-op library, without it by the function bodies in the
    file, and by the numpy reference; every spike, state and output must be as stored. With --data
    the three must agree on these samples; a model without golden vectors needs that. Exits with 4
    if anything differs.

    \b
    snnquant verify net.int.onnx
    snnquant verify net.int.onnx --no-custom-ops --json > verified.json
    snnquant verify net.int.onnx --data test.npz --samples 100
    snnquant verify net.int.onnx --data NMNIST/Test --timesteps 10 --bin count
    """  # noqa: D301
    speaker = Speaker(quiet)
    if data is None and reading != ReadOptions():
        raise UsageError("what is said of the data needs data; give --data too")
    config = {"data": data, "samples": samples if data else None, "custom_ops": custom_ops}
    config |= reading.settings()
    speaker.settings("verify", {"model": model, **config, "threads": threads})
    dataset = None if data is None else open_data(data, reading)
    result = verify_model(
        model,
        manifest=manifest_path(model),
        dataset=dataset,
        samples=samples,
        custom_ops=custom_ops,
        threads=threads,
    )
    if as_json:
        speaker.json(_document(model, dataset, result, config))
    else:
        _print(speaker, result)
    failures = result.failures
    if failures:
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        wrong = "not what was stored"
        if result.of_another_file:
            wrong = f"not the file that {golden_path(model)} is of"
        raise GateError(f"{model} is {wrong}: {failures[0]}{more}; convert again with --golden")


def _replays(result: Verification) -> dict[str, Replay]:
    found = {"golden": result.golden, "data": result.data}
    return {name: part for name, part in found.items() if part is not None}


def _document(
    model: Path, dataset: Dataset | None, result: Verification, config: dict[str, Any]
) -> dict[str, Any]:
    inputs = {"model": {"path": str(model), "sha256": result.model_sha256}}
    if result.golden is not None:
        inputs["golden"] = file_record(golden_path(model))
    if dataset is not None:
        inputs["data"] = {"path": str(config["data"]), "sha256": dataset.sha256}
    gates = []
    metrics: dict[str, Any] = {}
    mismatches: list[dict[str, Any]] = []
    for name, part in _replays(result).items():
        metrics[f"{name}_samples"] = part.samples
        for how, compared in part.compared.items():
            wrong = [m for m in part.mismatches if m.engine == how]
            differ = sum(m.count for m in wrong)
            metrics[f"{name}_{how}_values"] = compared
            status = "failed" if wrong else "passed"
            gates.append({"id": f"{name}-{how}", "value": differ, "limit": 0, "status": status})
            mismatches += [{"vectors": name, **asdict(m)} for m in wrong]
    gates += [
        {
            "id": f"hash-{check.id.replace(' ', '-')}",
            "value": check.found,
            "limit": check.expected,
            "status": "failed" if check.status == "failed" else "passed",
        }
        for check in result.hashes
        if check.status != "absent"
    ]
    layers = []
    for layer in result.layers:
        own = [m for m in mismatches if m["kind"] == "layer" and m["name"] == layer]
        layers.append({"name": layer, "differing": sum(m["count"] for m in own)})
    return document(
        "verify",
        inputs=inputs,
        config=config,
        metrics=metrics,
        gates=gates,
        layers=layers,
        hashes=[asdict(check) for check in result.hashes],
        mismatches=mismatches,
    )


def _print(speaker: Speaker, result: Verification) -> None:
    table = new_table("hash of", "is", "file", texts=3)
    for check in result.hashes:
        add_row(table, check.id, check.status, check.path)
    speaker.table(table)
    speaker.result("")
    table = new_table("vectors", "run by", "samples", "values", "differ", texts=2)
    for name, part in _replays(result).items():
        for how, compared in part.compared.items():
            differ = sum(m.count for m in part.mismatches if m.engine == how)
            add_row(table, name, how, str(part.samples), f"{compared:,}", f"{differ:,}")
    speaker.table(table)
    for failure in result.failures:
        speaker.result(f"differs: {failure}")
