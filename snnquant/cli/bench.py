"""``snnquant bench``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import onnx_ir as ir

from snnquant.bench import BenchResult, Reference, bench_model
from snnquant.cli.console import Speaker, add_row, document, new_table, percent
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import PATH, RealRange, data_option, json_option, quiet_option
from snnquant.cli.reading import read_options_alone
from snnquant.data import ReadOptions, open_data
from snnquant.errors import UsageError
from snnquant.files import file_record
from snnquant.frontends import load_canonical
from snnquant.model_file import neuron_nodes, read_model


class _Numbers(click.ParamType):  # type: ignore[type-arg]
    """Positive numbers, separated by commas."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers, each once, or fail."""
        try:
            numbers = tuple(dict.fromkeys(int(part) for part in str(value).split(",")))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1 or max(numbers) > 2**16:
            self.fail(f"'{value}' is no list of positive numbers such as 1,32", param, ctx)
        return numbers


@click.command(cls=VerbCommand)
@click.argument("model", type=PATH)
@click.option(
    "--reference",
    "references",
    type=PATH,
    multiple=True,
    help="A float model to compare with, as it is; may be given again.",
)
@data_option
@click.option("--batch", "batches", type=_Numbers(), default="1", help="Samples per call.")
@click.option("--threads", type=_Numbers(), default="1", help="Threads of ONNX Runtime.")
@click.option(
    "--seconds",
    type=RealRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Time to spend on each batch size and number of threads.",
)
@json_option
@quiet_option
@read_options_alone
def command(
    model: Path,
    reading: ReadOptions,
    references: tuple[Path, ...],
    data: Path,
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    seconds: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure how fast MODEL runs, beside others, and where its time goes.

    All models take turns in one run on the same samples, with warm caches, so that what disturbs
    the machine disturbs all alike: trust the ratios, not the times.

    \b
    snnquant bench net.int.onnx --data test.npz
    snnquant bench net.int.onnx --data test.npz --reference net.onnx --batch 1,32
    """  # noqa: D301
    speaker = Speaker(quiet)
    names = [path.stem for path in (model, *references)]
    if len(set(names)) < len(names):
        names = [str(path) for path in (model, *references)]
    if len(set(names)) < len(names):
        raise UsageError("a model is given twice; give each --reference once")
    config = {"data": data, "batch": batches, "threads": threads, "seconds": seconds}
    config |= reading.settings()
    speaker.settings(
        "bench",
        {"model": model, "reference": ", ".join(map(str, references)), **config},
    )
    proto = read_model(model)
    if not neuron_nodes(proto, integer=True):
        raise UsageError(f"{model} has no integer neuron; give a model that convert wrote")
    others = [
        Reference(name, path.read_bytes(), ir.to_proto(load_canonical(path)))
        for name, path in zip(names[1:], references, strict=True)
    ]
    dataset = open_data(data, reading)
    with speaker.progress("measuring") as progress:
        result = bench_model(
            proto,
            dataset,
            name=names[0],
            references=others,
            batches=batches,
            threads=threads,
            seconds=seconds,
            progress=progress,
        )
    warnings = _warnings(result)
    if as_json:
        compared = dict(zip(names[1:], references, strict=True))
        speaker.json(
            document(
                "bench",
                inputs={
                    "model": file_record(model),
                    "data": {"path": str(data), "sha256": dataset.sha256},
                    "references": {name: file_record(path) for name, path in compared.items()},
                },
                config=config,
                metrics=_metrics(result),
                layers=[asdict(layer) for layer in result.layers],
                warnings=warnings,
            )
        )
    else:
        print_bench(speaker, result)
    for warning in warnings:
        speaker.warn(warning["message"])


def _metrics(result: BenchResult) -> dict[str, Any]:
    """Return the numbers of a benchmark as plain values; times in seconds, memory in bytes."""
    return {
        "model": result.model,
        "configurations": [
            {
                "batch": each.batch,
                "threads": each.threads,
                "skipped": each.skipped,
                "contenders": {
                    name: {
                        **asdict(timing),
                        "samples_per_second": each.batch / timing.median,
                        "speed_up": each.speed_up(result.model, name)
                        if result.model in each.timings
                        else None,
                    }
                    for name, timing in each.timings.items()
                },
            }
            for each in result.configurations
        ],
        "peak_memory": result.memory,
        "machine_peak": asdict(result.peak),
    }


def _warnings(result: BenchResult) -> list[dict[str, str]]:
    found = [
        {
            "code": "skipped",
            "message": f"'{name}' has no time at batch {each.batch}: {reason}",
        }
        for each in result.configurations
        for name, reason in each.skipped.items()
    ]
    if result.repeated:
        message = "the data holds fewer samples than the batch, so that they are repeated"
        found.append({"code": "repeated", "message": message})
    return found


def print_bench(speaker: Speaker, result: BenchResult) -> None:
    """Print tables of times and of layers."""
    table = new_table(
        "batch x threads", "model", "ms", "quartiles", "samples/s", "speed-up", texts=2
    )
    for each in result.configurations:
        for name, timing in each.timings.items():
            compared = name != result.model and result.model in each.timings
            add_row(
                table,
                f"{each.batch} x {each.threads}",
                name,
                f"{1e3 * timing.median:.3f}",
                f"{1e3 * timing.low:.3f}..{1e3 * timing.high:.3f}",
                f"{each.batch / timing.median:,.0f}",
                f"{each.speed_up(result.model, name):.2f} x" if compared else "",
            )
    speaker.table(table)
    speaker.result("")
    layers = new_table("layer", "op", "us", "of time", "density", "rate", "of peak", texts=2)
    for layer in result.layers:
        add_row(
            layers,
            layer.name,
            _short(layer.op),
            f"{1e6 * layer.seconds:,.0f}",
            percent(layer.share, 1),
            percent(layer.density, 1),
            percent(layer.firing_rate, 1),
            percent(layer.peak_share, 0),
        )
    speaker.table(layers)
    speaker.result("")
    for name, size in result.memory.items():
        if size is not None:
            speaker.result(f"{name}: {size / 2**20:.1f} MiB peak memory")
    speaker.result(
        f"one core: {result.peak.dense / 1e9:.0f} G dot-product steps/s, "
        f"{result.peak.events / 1e9:.0f} G event additions/s"
    )


def _short(op: str) -> str:
    """Return the ops of a layer that is not fused, shortened to its ends."""
    parts = op.split()
    return op if len(parts) <= 2 else f"{parts[0]} .. {parts[-1]}"
