"""The sections of a report about what happens inside: membranes, weights, spikes of samples."""

from __future__ import annotations

from dataclasses import asdict

from snnquant.report.charts import Mark, Series, step_chart
from snnquant.report.collect import Report
from snnquant.report.figures import (
    card,
    chart_card,
    key,
    left_out,
    note,
    series_of,
    too_many,
)
from snnquant.report.html import Cell, Column, Html, data_block, join, row, table, tag
from snnquant.report.membranes import MembraneLayer
from snnquant.report.raster import Raster
from snnquant.report.samples import KeptSample
from snnquant.report.text import percent
from snnquant.report.weights import WeightLayer

#: Bars of a grid with many levels, unless there are so many weights per level.
_BARS, _WEIGHTS_PER_BAR = 64, 16
_UNITS = {
    "thresholds": "membrane / threshold",
    "real": "membrane",
    "steps": "membrane, integer steps",
}


def raster(report: Report) -> Html | None:
    """Return the raster of spikes: what the page draws it from, and its counts as a table."""
    found = report.raster
    if found is None or not found.layers or not found.samples:
        missing = report.notes.get("raster")
        return None if missing is None else note(f"It could not be made: {missing}.")
    own, other = report.names
    intro = (
        f"Every spike of single samples; half a cell where only one of the two models fires. "
        f"Shown are {len(found.samples)} samples: the first, and those on which the models "
        "predict different classes."
        if found.compared
        else f"Every spike of {len(found.samples)} samples."
    )
    rows = []
    for place, sample in enumerate(found.samples):
        for layer in found.layers:
            c = layer.counts[place]
            cells = [f"{c.spikes:,}"]
            if found.compared:
                spikes_float = "–" if c.spikes_float is None else f"{c.spikes_float:,}"
                cells += [spikes_float, f"{c.equal:,}", f"{c.more:,}", f"{c.fewer:,}"]
                cells.append(percent(1 - (c.more + c.fewer) / max(c.entries, 1)))
            rows.append(row(_sample_name(sample, report.names), Cell(layer.name, None, ""), *cells))
    columns: list[Column] = ["sample", ("layer", ""), f"spikes, {own}"]
    if found.compared:
        columns += [f"spikes, {other}", "equal", f"more in {own}", f"more in {other}", "agreement"]
    counts = table("Spikes of each sample and layer", columns, rows, class_="sortable")
    return join(
        note(intro),
        tag("div", id="raster", hidden=True),
        tag("noscript", note("The drawing needs JavaScript; its numbers are in the table.")),
        tag("details", tag("summary", "Spikes as numbers"), counts, id="raster-numbers"),
        data_block("raster-data", _raster_data(found, report.names)),
    )


def _sample_name(sample: KeptSample, names: tuple[str, str]) -> str:
    parts = [f"sample {sample.index}"]
    if sample.label is not None:
        parts.append(f"label {sample.label}")
    parts.append(f"{names[0]} {sample.predicted}")
    if sample.predicted_float is not None:
        parts.append(f"{names[1]} {sample.predicted_float}")
    return f"{parts[0]}: {', '.join(parts[1:])}"


def _raster_data(found: Raster, names: tuple[str, str]) -> dict[str, object]:
    return {
        "names": names,
        "compared": found.compared,
        "graded": found.graded,
        "samples": [_sample_name(s, names) for s in found.samples],
        "layers": [
            {
                "name": layer.name,
                "neurons": layer.neurons,
                "steps": layer.steps,
                "shownSteps": layer.shown_steps,
                "shown": layer.shown,
                "differing": layer.differing,
                "cells": layer.cells,
                "counts": [asdict(c) for c in layer.counts],
            }
            for layer in found.layers
        ],
    }


def membranes(report: Report) -> Html | None:
    """Return histograms of membranes."""
    found = report.membranes
    if found is None:
        missing = report.notes.get("membranes")
        return None if missing is None else note(f"They could not be had: {missing}.")
    intro = (
        f"Membranes after integration, as they are compared with the threshold: every neuron and "
        f"step of the first {found.samples:,} samples. A membrane above 1 fires."
    )
    both = any(len(layer.histogram.counts) > 1 for layer in found.layers)
    cards = [_membrane_card(x, report.names) for x in found.layers[: too_many(len(found.layers))]]
    return join(
        note(intro),
        key(report.names, both),
        left_out(len(found.layers)),
        tag("div", *cards, class_="cards"),
    )


def _membrane_card(layer: MembraneLayer, names: tuple[str, str]) -> Html:
    histogram = layer.histogram
    marks = [Mark(1.0, "threshold")] if layer.unit == "thresholds" else []
    own = histogram.counts.get(names[0])
    parts = []
    if layer.thresholds is not None:
        low, high = (_plain(t) for t in layer.thresholds)
        words = low if low == high else f"{low} to {high}"
        steps = " integer steps" if names[0] == "integer" else ""
        parts.append(f"fires above {words}{steps}")
    elif layer.unit == "steps":
        parts.append("no threshold; the value of a step is not known")
    else:
        parts.append("no threshold")
    if own is not None and (own.below or own.above):
        parts.append(f"{percent((own.below + own.above) / own.total)} lie outside")
    unit = _UNITS[layer.unit]
    chart = step_chart(
        series_of(histogram, names),
        label=f"Layer {layer.name}: histogram of its membranes",
        x_label=unit,
        y_label="% of entries",
        rows=(histogram.low, histogram.high, histogram.size),
        marks=marks,
    )
    return chart_card(layer.name, ", ".join(parts), chart, histogram, names, unit)


def weights(report: Report) -> Html | None:
    """Return histograms of weights."""
    found = report.weights
    if not found:
        missing = report.notes.get("weights")
        return None if missing is None else note(f"They could not be had: {missing}.")
    compared = any(layer.reference is not None for layer in found)
    grid = any(layer.bits is not None for layer in found)
    words = []
    if grid:
        words.append("A bar is one level of the integer grid, where nothing else is said.")
    if compared:
        words.append(
            "The outline are the float weights in integer steps: divided by the scale of their "
            "channel, which is fitted by least squares. What lies beyond the bars was clipped."
        )
    cards = [_weight_card(x, report.names) for x in found[: too_many(len(found))]]
    return join(
        note(" ".join(words)) if words else None,
        key(report.names, compared),
        left_out(len(found)),
        _weight_table(found),
        tag("div", *cards, class_="cards"),
    )


def _weight_table(found: tuple[WeightLayer, ...]) -> Html | None:
    if all(layer.bits is None for layer in found):
        return None
    rows = []
    for layer in found:
        snr = "exact" if layer.exact else "–" if layer.snr is None else f"{layer.snr:.1f} dB"
        on_grid = layer.bits is not None
        levels = f"{layer.used} of {layer.histogram.size}" if on_grid else "–"
        rows.append(
            row(
                layer.name,
                Cell("–" if layer.bits is None else str(layer.bits), layer.bits),
                Cell(f"{layer.size:,}", layer.size),
                Cell(levels, layer.used),
                Cell(percent(layer.zero), layer.zero),
                Cell(percent(layer.lowest) if on_grid else "–", layer.lowest),
                Cell(percent(layer.highest) if on_grid else "–", layer.highest),
                Cell(snr, 1e9 if layer.exact else layer.snr),
                data_layer=layer.name,
            )
        )
    columns = [
        *("synapse", "bits", "weights", "levels used", "zero"),
        *("at the lowest level", "at the highest level", "signal to noise"),
    ]
    return table(
        "Synapses; signal to noise against the float weights", columns, rows, class_="sortable"
    )


def _weight_card(layer: WeightLayer, names: tuple[str, str]) -> Html:
    histogram = layer.histogram
    ends = (histogram.low, histogram.high, histogram.size)
    label = f"Synapse {layer.name}: histogram of its weights"
    if layer.bits is None:
        chart = step_chart(
            series_of(histogram, names),
            label=label,
            x_label="weight",
            y_label="% of weights",
            rows=ends,
        )
        return chart_card(layer.name, f"{layer.size:,} weights", chart, histogram, names, "weight")
    series = series_of(histogram, names)
    rows = [str(k) for k in range(round(histogram.low + 0.5), round(histogram.high + 0.5))]
    own = histogram.counts[names[0]].bins
    columns = ["level", names[0]]
    cells = [[f"{int(n):,}"] for n in own]
    if layer.reference is not None:
        other = layer.reference
        per_level = other.size / (other.high - other.low)
        bins = other.counts[names[1]].bins
        series.append(
            Series(other.edges, other.counts[names[1]].shares() * 100 * per_level, "other")
        )
        first = round((histogram.low - other.low) * per_level)
        step = round(per_level)
        near = bins[first : first + step * len(own)].reshape(-1, step).sum(axis=1)
        columns.append(f"{names[1]}, nearest")
        cells = [[*cell, f"{int(n):,}"] for cell, n in zip(cells, near, strict=True)]
    under = f"{layer.bits} bits, {layer.used} of {histogram.size} levels used"
    together = 1
    if layer.size < _WEIGHTS_PER_BAR * histogram.size:
        together = max(1, histogram.size // _BARS)
    series = [_joined(each, together) for each in series]
    chart = step_chart(
        series, label=label, x_label="level of the integer grid", y_label="% per level", rows=ends
    )
    made = [
        row(level.replace("-", "\u2212"), *cell) for level, cell in zip(rows, cells, strict=True)
    ]
    if together > 1:
        under += f", a bar is {together} levels"
    values = table(f"{layer.name}: weights per level", columns, made)
    return card(layer.name, under, chart, values)


def _joined(series: Series, together: int) -> Series:
    """Return a series with so many bins made one."""
    size = len(series.heights) // together * together
    heights = series.heights[:size].reshape(-1, together).mean(axis=1)
    return Series(series.edges[: size + 1 : together], heights, series.kind)


def _plain(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
