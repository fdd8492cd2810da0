"""The first sections of a report: what came out, gates, layers, firing rates."""

from __future__ import annotations

from snnquant.report.charts import rate_axis, rate_line, step_chart
from snnquant.report.collect import Report
from snnquant.report.figures import chart_card, key, series_of, too_many
from snnquant.report.html import Cell, Column, Html, join, row, table, tag
from snnquant.report.text import metric, percent, points, rate, size
from snnquant.spike_counter import LayerReport


def verdict(report: Report) -> Html:
    """Return in one line whether the gates were passed."""
    failed = sum(gate.failed for gate in report.gates)
    if not report.gates:
        return tag("p", "No gates were set", class_="verdict none")
    if failed:
        words = f"{failed} of {len(report.gates)} gates failed"
        return tag("p", tag("span", "✗", aria_hidden="true"), f" {words}", class_="verdict failed")
    words = "All gates passed" if len(report.gates) > 1 else "The gate passed"
    return tag("p", tag("span", "✓", aria_hidden="true"), f" {words}", class_="verdict passed")


def summary(report: Report) -> Html:
    """Return the numbers of the whole model, and warnings."""
    result = report.result
    own, other = report.names
    tiles = []
    if result.accuracy is not None:
        under = ""
        if result.drop is not None:
            under = f"{other} {percent(result.float_accuracy)}, {points(-result.drop)}"
        tiles.append(("Accuracy", percent(result.accuracy), under or own))
    if result.prediction_agreement is not None:
        under = f"as the {other} model"
        tiles.append(("Same prediction", percent(result.prediction_agreement), under))
    if result.spike_agreement is not None:
        tiles.append(("Equal spikes", percent(result.spike_agreement), "per step and neuron"))
    entries = sum(counter.entries for counter in result.counters)
    if entries:
        spikes = sum(counter.total for counter in result.counters)
        tiles.append(("Firing rate", rate(spikes / entries), "per step and neuron"))
    model_bytes = report.document["metrics"].get("model_bytes")
    if model_bytes is not None:
        tiles.append(("Model file", size(model_bytes), f"{model_bytes:,} bytes"))
    tiles.append(("Samples", f"{result.samples:,}", "evaluated"))
    listed = [
        tag("div", tag("dt", name), tag("dd", value, class_="big"), tag("dd", under, class_="sub"))
        for name, value, under in tiles
    ]
    parts = [tag("dl", *listed, class_="tiles")]
    if result.accuracy is None:
        parts.append(tag("p", "The data has no labels, so that there is no accuracy."))
    if not report.compared:
        words = "There is no float model to compare with, so that nothing is said of differences."
        parts.append(tag("p", words))
    warnings = [warning["message"] for warning in report.document["warnings"]]
    if warnings:
        parts.append(tag("h3", "Warnings"))
        parts.append(tag("ul", *(tag("li", text) for text in warnings), class_="warnings"))
    return join(*parts)


def gates(report: Report) -> Html | None:
    """Return the table of gates, the failed ones first."""
    if not report.gates:
        return None
    rows = [
        row(
            gate.id,
            Cell(
                tag(
                    "span",
                    "✗ failed" if gate.failed else "✓ passed",
                    class_=f"status {gate.status}",
                ),
                float(gate.failed),
                "",
            ),
            Cell(metric(gate.metric, gate.value), gate.value),
            Cell(metric(gate.metric, gate.limit), gate.limit),
            Cell(gate.layer or "whole model", None, ""),
        )
        for gate in sorted(report.gates, key=lambda gate: not gate.failed)
    ]
    columns: list[Column] = ["gate", ("status", ""), "found", "limit", ("where", "")]
    return table("Limits and what was found", columns, rows, hidden_caption=True)


def layers(report: Report) -> Html | None:
    """Return the table of spiking layers."""
    if not report.result.layers:
        return None
    own, other = report.names
    columns = ["layer", "neurons", f"rate, {own}"]
    if report.compared:
        columns += [f"rate, {other}", "rate drift", "earth mover’s distance", "equal spikes", "F1"]
    columns += ["dead", "saturated"]
    # Of states that are proved to fit there is nothing to tell.
    limits = any(layer.overflow for layer in report.result.layers)
    columns += ["at limits"] if limits else []
    rows = [_layer_row(layer, report.compared, limits) for layer in report.result.layers]
    caption = "Spiking layers; rates in spikes per step and neuron"
    return table(caption, columns, rows, class_="sortable", id="layer-table")


def _layer_row(layer: LayerReport, compared: bool, limits: bool) -> Html:
    cells = [
        Cell(f"{layer.neurons:,}", layer.neurons),
        Cell(rate(layer.firing_rate), layer.firing_rate),
    ]
    if compared:
        drift = "–" if layer.rate_drift is None else percent(layer.rate_drift)
        cells += [
            Cell(rate(layer.firing_rate_float), layer.firing_rate_float),
            Cell(drift, layer.rate_drift),
            Cell(rate(layer.rate_emd), layer.rate_emd),
            Cell(percent(layer.agreement), layer.agreement),
            Cell(rate(layer.spike_f1), layer.spike_f1),
        ]
    cells += [
        Cell(percent(layer.dead, 1), layer.dead, "n bad" if layer.dead == 1 else "n"),
        Cell(
            percent(layer.saturated, 1), layer.saturated, "n bad" if layer.saturated == 1 else "n"
        ),
    ]
    cells += [Cell(percent(layer.overflow), layer.overflow)] if limits else []
    return row(layer.name, *cells, data_layer=layer.name)


def rates(report: Report) -> Html | None:
    """Return firing rates: of the layers, then how those of the neurons are distributed."""
    found = report.result.layers
    if not found:
        return None
    own, other = report.names
    values = [layer.firing_rate for layer in found]
    values += [layer.firing_rate_float or 0.0 for layer in found]
    highest = max(values) or 1.0
    lines = [
        row(
            layer.name,
            Cell(rate_line(layer.firing_rate, layer.firing_rate_float, highest), None, "wide"),
            rate(layer.firing_rate),
            *([rate(layer.firing_rate_float)] if report.compared else []),
            data_layer=layer.name,
        )
        for layer in found
    ]
    columns: list[Column] = ["layer", ("spikes per step and neuron", "wide"), own]
    columns += [other] if report.compared else []
    axis = tag(
        "tr",
        tag("td", class_="ticks"),
        tag("td", rate_axis(highest), class_="wide ticks"),
        *(tag("td", class_="ticks") for _ in columns[2:]),
        aria_hidden="true",
    )
    parts = [
        key(report.names, report.compared, dots=True),
        table("Mean firing rate of each layer", columns, [axis, *lines], class_="lines"),
        tag("h3", "Neurons by firing rate"),
    ]
    cards = []
    for layer in found[: too_many(len(found))]:
        histogram = report.rates.get(layer.name)
        if histogram is None:
            continue
        series = series_of(histogram, report.names, per_bin=100.0)
        words = f"Layer {layer.name}: how many of its {layer.neurons:,} neurons fire at which rate"
        chart = step_chart(
            series,
            label=words,
            x_label="spikes per step",
            y_label="% of neurons",
            rows=(histogram.low, histogram.high, histogram.size),
        )
        emd = "" if layer.rate_emd is None else f", earth mover’s distance {layer.rate_emd:.4f}"
        under = f"{layer.neurons:,} neurons{emd}"
        cards.append(
            chart_card(layer.name, under, chart, histogram, report.names, "spikes per step")
        )
    return join(*parts, tag("div", *cards, class_="cards"))
