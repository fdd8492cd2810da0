"""How an evaluation is shown at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnquant.cli.console import Speaker, add_row, new_table, percent
from snnquant.evaluate import Evaluation
from snnquant.gates import Gate
from snnquant.neurobench import PER_SAMPLE, SHARES, NeuroBench
from snnquant.pipeline import shown_value


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
    # Of states that are proved to fit there is nothing to tell.
    limits = any(layer.overflow for layer in result.layers)
    columns += ["at limits"] if limits else []
    table = new_table(*columns, *(["float rate", "equal spikes", "F1"] if compared else []))
    for layer in result.layers:
        row = [
            layer.name,
            str(layer.neurons),
            f"{layer.firing_rate:.4f}",
            percent(layer.dead, 1),
            percent(layer.saturated, 1),
            *([percent(layer.overflow)] if limits else []),
        ]
        if compared:
            row += [_rate(layer.firing_rate_float), percent(layer.agreement), _rate(layer.spike_f1)]
        add_row(table, *row)
    speaker.table(table)
    if result.neurobench is not None:
        _print_neurobench(speaker, result.neurobench)


def print_gates(speaker: Speaker, gates: Sequence[Gate]) -> None:
    """Print what was limited, what was found, and whether that is good enough."""
    if not gates:
        return
    table = new_table("gate", "found", "limit", "worst layer", "")
    for gate in gates:
        values = (shown_value(gate.metric, value) for value in (gate.value, gate.limit))
        add_row(table, gate.id, *values, gate.layer or "", gate.status)
    speaker.result("")
    speaker.table(table)


def _print_neurobench(speaker: Speaker, found: NeuroBench) -> None:
    """Print NeuroBench's metrics, and the bits that weights take when packed."""
    table = new_table("NeuroBench, per sample", "")
    for name, value in (
        *((label, f"{getattr(found, name):,.1f}") for name, label in PER_SAMPLE.items()),
        *((label, percent(getattr(found, name))) for name, label in SHARES.items()),
        ("footprint", f"{found.footprint:,} bytes"),
        (f"{found.weights:,} weights, packed", f"{found.weight_bits:,} bits"),
    ):
        add_row(table, name, value)
    speaker.result("")
    speaker.table(table)


def _rate(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"
