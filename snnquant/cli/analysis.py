"""What analyze found, as JSON and for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from snnquant.analyze import Analysis, Change, Cost, LayerCosts, OutputMeasure
from snnquant.analyze.costs import ALONE, CUMULATIVE, LOCAL
from snnquant.analyze.meters import LIMIT_DB
from snnquant.cli.console import Speaker, add_row, new_table, percent
from snnquant.cli.printable import printable

#: Longer names of layers would push the table beyond 80 columns.
_NAME_LIMIT = 16


def analysis_document(found: Analysis) -> dict[str, Any]:
    """Return what the JSON says beside inputs and settings."""
    return {
        "metrics": {
            "samples": found.samples,
            "float_accuracy": found.float_accuracy,
            **asdict(found.whole),
        },
        "layers": [
            {
                "name": entry.layer.name,
                "rank": entry.rank,
                "synapses": list(entry.layer.synapses),
                "neurons": list(entry.layer.neurons),
                **{
                    key: asdict(entry.costs[mode]) if mode in entry.costs else None
                    for mode, key in _KEYS.items()
                },
            }
            for entry in found.layers
        ],
        "alternatives": [
            {
                "layer": tried.layer.name,
                "verb": tried.change.verb,
                "option": tried.change.option,
                "helps": tried.helps,
                "before": {"layer": asdict(tried.before), "output": asdict(tried.output_before)},
                "after": {"layer": asdict(tried.after), "output": asdict(tried.output_after)},
            }
            for tried in found.alternatives
        ],
        "changes": [
            {"verb": change.verb, "option": change.option, "output": asdict(output)}
            for change, output in found.changes
        ],
    }


_KEYS = {LOCAL: "local", ALONE: "one_at_a_time", CUMULATIVE: "cumulative"}


def print_analysis(speaker: Speaker, found: Analysis) -> None:
    """Print the layers, the most costly first, and below them what helps."""
    modes = [mode for mode in _KEYS if mode in found.layers[0].costs]
    labelled = found.float_accuracy is not None
    right = "accuracy" if labelled else "same"
    heads = {
        LOCAL: ["local\nSNR, dB", "\nspikes"],
        ALONE: ["alone\ncost", f"\n{right}"],
        CUMULATIVE: ["up to it\ncost", f"\n{right}"],
    }
    table = new_table("\nlayer", *(head for mode in modes for head in heads[mode]))
    for entry in found.layers:
        cells = [cell for mode in modes for cell in _cells(mode, entry.costs[mode], labelled)]
        add_row(table, _lines(entry), *cells)
    speaker.table(table)
    speaker.result("")
    whole = found.whole
    words = f"same prediction {percent(whole.prediction_agreement)}"
    if labelled:
        words = f"accuracy {percent(whole.accuracy)} (float {percent(found.float_accuracy)})"
    speaker.result(f"All layers: cost {_cost(whole.error)}, {words}, {found.samples} samples")
    _print_alternatives(speaker, found)


def _print_alternatives(speaker: Speaker, found: Analysis) -> None:
    """Print what helped, as it was measured, and which layers nothing helped."""
    right = "same prediction" if found.whole.accuracy is None else "accuracy"
    table = new_table("with another setting", "equal spikes", right)
    for entry in found.layers:
        own = [tried for tried in found.alternatives if tried.layer == entry.layer]
        helping = [tried for tried in own if tried.helps]
        if helping:
            add_row(table, f"{printable(entry.layer.name, _NAME_LIMIT)} alone", "", "")
        for tried in helping:
            spikes = tried.before.spike_agreement, tried.after.spike_agreement
            right = _outputs(tried.output_before, tried.output_after)
            add_row(table, _option(tried.change), _change(*spikes), right)
    if found.changes:
        add_row(table, "all layers", "", "")
    for change, output in found.changes:
        spikes = found.whole.spike_agreement, output.spike_agreement
        add_row(table, _option(change), _change(*spikes), _outputs(found.whole, output))
    if table.row_count:
        speaker.result("")
        speaker.table(table)
    speaker.result("")
    for words in _nothing_helps(found):
        speaker.result(words)


def _nothing_helps(found: Analysis) -> Iterator[str]:
    """Yield what to say of costly layers that no setting helps."""
    if not found.tried:
        yield "Quantization costs nothing on these samples."
    for layer in found.tried:
        own = [entry for entry in found.alternatives if entry.layer == layer]
        if not own:
            yield f"Layer '{layer.name}': no option of convert or calibrate changes it."
        elif not any(entry.helps for entry in own):
            options = ", ".join(entry.change.option for entry in own)
            yield f"Layer '{layer.name}': tried {options}; none helps."


def _option(change: Change) -> str:
    return f"  {change.verb} {change.option}"


def _outputs(before: OutputMeasure, after: OutputMeasure) -> str:
    if before.accuracy is not None:
        return _change(before.accuracy, after.accuracy)
    return _change(before.prediction_agreement, after.prediction_agreement)


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "-"
    return f"{100 * before:.2f} -> {percent(after)}"


def _lines(entry: LayerCosts) -> list[str]:
    """Return the name of a layer and, below it, those of its synapses."""
    others = [name for name in entry.layer.synapses if name != entry.layer.name]
    below = [f"  {', '.join(others)}"] if others else []
    return [printable(line, _NAME_LIMIT) for line in (entry.layer.name, *below)]


def _cells(mode: str, cost: Cost, labelled: bool) -> list[str]:
    if mode == LOCAL or cost.output is None:
        snr = cost.layer.membrane_snr
        snr = cost.layer.current_snr if snr is None else snr
        return [_decibels(snr), percent(cost.layer.spike_agreement)]
    share = cost.output.accuracy if labelled else cost.output.prediction_agreement
    return [_cost(cost.cost, signed=mode == CUMULATIVE), percent(share)]


def _cost(value: float, *, signed: bool = False) -> str:
    if abs(value) >= 100:
        return "< -9999 %" if value < 0 else "> 9999 %"
    return f"{100 * value:{'+' if signed else ''}.3f} %"


def _decibels(value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if value >= LIMIT_DB else f"{value:.1f}"
