"""The pictures of "Few bits" in the README: ``python tests/bench/pictures.py [--folder FOLDER]``.

The first is drawn from ``low_bits.json``, which ``low_bits.py --json`` wrote; the others from
``samples/digits_mlp.onnx``, searched here with 256 samples as ``snnquant quantize`` does it. The
numbers that the README says beside a picture stand in its title. Half a minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from low_bit_table import BITS, TITLES, mean_and_spread
from svg_chart import (
    FLOAT,
    LEARNED,
    NEAREST,
    SEARCHED,
    Look,
    Panel,
    key,
    line,
    marker,
    near,
    picture,
    plainly,
    words,
)

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert import convert_model
from snnquant.data import open_data
from snnquant.evaluate import spiking_outputs
from snnquant.frontends import load_canonical
from snnquant.instrument import Runner
from snnquant.membranes import MembraneProbe
from snnquant.numerics import FloatArray, IntRange, quantize
from snnquant.quantize import QuantizedModel
from snnquant.quantize_options import choose_options
from snnquant.report.charts import ticks
from snnquant.report.html import Html, tag
from snnquant.rounding import METHODS
from snnquant.rounding.weight_grid import (
    GRIDS,
    WeightRows,
    candidate_scales,
    quadratic_error,
)
from snnquant.search import DEFAULT_SAMPLES
from snnquant.target import load_target

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "samples"
RESULTS = HERE / "low_bits.json"
ACCURACY, SCALE, MEMBRANE = (f"few_bits_{name}.svg" for name in ("accuracy", "scale", "membrane"))
#: What the second picture is of: the last layer, by its place, and bits of its weights.
PLACE, SCALE_BITS = 2, 3
#: What the third is of: a hidden layer, by its name.
LAYER, MEMBRANE_BITS = "lif2", 2
#: Width of a panel of the first.
WIDE = 290
#: Test samples among which the one that is shown is looked for.
SHOWN_AMONG = 100


def main() -> None:
    """Draw all pictures and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE)
    folder = parser.parse_args().folder
    drawn = {
        ACCURACY: accuracy(json.loads(RESULTS.read_text(encoding="utf-8"))),
        SCALE: scale_picture(),
        MEMBRANE: membrane_picture(),
    }
    for name, text in drawn.items():
        (folder / name).write_text(text, encoding="utf-8")


def accuracy(results: dict[str, Any]) -> str:
    """Return accuracy against bits, with its spread, for each method beside the float network."""
    looks = {"nearest": NEAREST, "compensated": SEARCHED, "learned": LEARNED}
    drawn = [tag("rect", x=62, y=16, width=34, height=16, fill="#d5d9de")]
    drawn += [line(62, 24, 96, 24, stroke=FLOAT.colour), words(104, 29.5, "float")]
    for x, (name, look) in zip((190, 330, 510), looks.items(), strict=True):
        drawn += key(x, 24, look, name)
    found = [
        mean_and_spread(results[kind]["methods"][name][str(bits)])
        for kind in TITLES
        for name in looks
        for bits in BITS
    ]
    low = min(mean - spread for mean, spread in found)
    span = (np.floor(low), 98.0)
    for place, (kind, title) in enumerate(TITLES.items()):
        left = 62 + place * 332
        panel = Panel(left, 76, left + WIDE, 300, (-0.5, len(BITS) - 0.5), span)
        drawn += panel.rows(plainly(np.arange(span[0], 98.5, 2)), "" if place else "accuracy, %")
        drawn.append(words((panel.left + panel.right) / 2, 62, title, "head mid"))
        drawn += panel.columns(dict(enumerate(map(str, BITS))), "bits of a weight")
        reals = np.array(results[kind]["float"])
        top, bottom = (panel.y(reals.mean() + s * reals.std()) for s in (1, -1))
        box = {"x": near(left), "y": near(top), "width": WIDE, "height": near(bottom - top)}
        drawn.append(tag("rect", **box, fill="#d5d9de", fill_opacity=0.7))
        drawn.append(panel.level(reals.mean(), "", stroke=FLOAT.colour))
        for shift, (name, look) in zip((-0.2, 0, 0.2), looks.items(), strict=True):
            pairs = [mean_and_spread(results[kind]["methods"][name][str(b)]) for b in BITS]
            points = [(k + shift, mean) for k, (mean, _) in enumerate(pairs)]
            drawn.append(panel.curve(points, look))
            for (x, mean), (_, spread) in zip(points, pairs, strict=True):
                ends = (panel.y(mean - spread), panel.y(mean + spread))
                at = panel.x(x)
                drawn.append(line(at, ends[0], at, ends[1], stroke=look.colour))
                drawn.append(panel.marker((x, mean), look))
    said = (
        "Accuracy of an MLP and a CNN at 8, 4, 3 and 2 bits for three methods of rounding, mean "
        "and standard deviation of four networks"
    )
    return picture(356, said, drawn)


def convert(
    bits: int, rounding: str, seen: list[list[WeightRows]] | None = None
) -> tuple[ir.Model, QuantizedModel]:
    """Return the float network and what a method makes of it.

    Args:
        bits: of its weights.
        rounding: the method.
        seen: takes what every choice of a grid was given.
    """
    graph = load_canonical(SAMPLES / "digits_mlp.onnx")
    data = open_data(SAMPLES / "digits_calibration.npz")
    calibration = calibrate_model(graph, data, CalibrationSettings(AUTO, DEFAULT_SAMPLES, 64))
    target = load_target("generic")
    if seen is not None:
        chosen = GRIDS[target.weight_grid]

        def watched(parts: Sequence[WeightRows]) -> FloatArray:
            seen.append([replace(part) for part in parts])
            return chosen(parts)

        GRIDS["watched"] = watched
        target = replace(target, weight_grid="watched")
    options = choose_options(target, bits, rounding=rounding, samples=True)
    made = convert_model(
        graph, calibration, options, source_sha256="", calibration_sha256="", dataset=data
    )
    return graph, made


@dataclass(frozen=True)
class Trial:
    """What the scales that are tried do to the weights of one output channel.

    Attributes:
        scales: in shares of the one that holds the largest weight on either side.
        plain: squares of the weights' errors with nearest rounding, summed.
        membrane: errors of the membrane, ``d^T H d``.
        energy: ``w^T H w`` of the weights.
        compensated: membrane error with compensated rounding where ``membrane`` is the smallest.
    """

    scales: FloatArray
    plain: FloatArray
    membrane: FloatArray
    energy: float
    compensated: float

    @property
    def at_plain(self) -> float:
        """Membrane error where the weight error is the smallest."""
        return float(self.membrane[self.plain.argmin()])


def trial(row: FloatArray, hessian: FloatArray, limits: IntRange) -> Trial:
    """Try scales on one channel."""
    scales = np.unique(candidate_scales([WeightRows(row[None], limits)]))
    steps = scales[:, None]
    errors = quantize(row, steps, limits) * steps - row
    membrane = quadratic_error(errors, hessian)
    step = scales[membrane.argmin()]
    best = METHODS["compensated"].round(row[None] / step, limits, hessian[0]) * step - row
    return Trial(
        scales * limits.high / np.abs(row).max(),
        np.square(errors).sum(axis=1),
        membrane,
        float(quadratic_error(row[None], hessian)[0]),
        float(quadratic_error(best, hessian)[0]),
    )


def scale_picture() -> str:
    """Return both errors of one channel against its scale, with the scale that each would take."""
    seen: list[list[WeightRows]] = []
    convert(SCALE_BITS, "compensated", seen)
    # A layer is measured when it is its turn; only then what it receives is known.
    (part,) = [parts for parts in seen if parts[0].hessian is not None][PLACE]
    assert part.hessian is not None
    trials = [trial(row, part.hessian, part.limits) for row in part.rows]
    gains = np.array([each.at_plain / each.membrane.min() for each in trials])
    index = int(np.argsort(gains)[len(gains) // 2])
    ends = ((t.at_plain, t.membrane.min(), t.compensated) for t in trials)
    means = 100 * np.array([list(e) for e in ends]).sum(0) / sum(t.energy for t in trials)
    told = "{:.2f} % of w^T H w there, {:.2f} % where it is the smallest, {:.2f} % compensated"
    return draw_scales(trials[index], index, f"over {len(trials)} channels {told.format(*means)}")


def draw_scales(shown: Trial, index: int, told: str) -> str:
    """Return both errors of a channel in units of their smallest.

    Args:
        shown: the channel.
        index: which one it is.
        told: the membrane error of the layer, in words.
    """
    panel = Panel(62, 56, 676, 330, (0.3, 1.0), (-1.5, 4.0))

    def level(value: float) -> float:
        return float(np.log2(value))

    drawn = panel.rows({level(v): f"{v:g}" for v in (0.5, 1, 2, 4, 8)}, "error / its smallest")
    across = {v: f"{v:g}" for v in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}
    drawn += panel.columns(across, "scale, in shares of the one that holds the largest weight")
    for errors, look in ((shown.plain, NEAREST), (shown.membrane, SEARCHED)):
        heights = np.log2(errors / errors.min())
        pairs = zip(shown.scales, heights, strict=True)
        inside = [(x, y) for x, y in pairs if x >= panel.xs[0] and y <= panel.ys[1]]
        drawn.append(panel.curve(inside, look))
        at = panel.x(float(shown.scales[errors.argmin()]))
        ends = {"stroke": look.colour, "stroke_dasharray": "2 3"}
        drawn.append(line(at, panel.top, at, panel.bottom, **ends))
        drawn.append(panel.marker((float(shown.scales[errors.argmin()]), 0.0), look))
    taken, other = (float(shown.scales[e.argmin()]) for e in (shown.membrane, shown.plain))
    cost = shown.at_plain / shown.membrane.min()
    drawn.append(panel.marker((other, level(cost)), replace(SEARCHED, shape="ring")))
    drawn.append(words(panel.x(other) + 12, panel.y(level(cost)) - 10, f"{cost:.1f}"))
    drawn.append(panel.marker((taken, level(shown.compensated / shown.membrane.min())), LEARNED))
    drawn += key(62, 26, NEAREST, "weight error")
    drawn += key(246, 26, SEARCHED, "membrane error")
    drawn += [marker(460, 26, LEARNED), words(474, 31.5, "compensated rounding")]
    said = (
        f"Weight error and membrane error of output channel {index} at {SCALE_BITS} bits against "
        f"the scale: where the weight error is the smallest, the membrane error is {cost:.1f} "
        f"times as large as it could be; {told}"
    )
    return picture(386, said, drawn)


def membrane_picture() -> str:
    """Return the membrane of one hidden neuron over time, in float and in integers of two kinds."""
    graph, _ = convert(MEMBRANE_BITS, "nearest")
    models = {
        "float": ir.to_proto(graph),
        "nearest": convert(MEMBRANE_BITS, "nearest")[1].model,
        "compensated": convert(MEMBRANE_BITS, "compensated")[1].model,
    }
    seen = {name: run(model) for name, model in models.items()}
    spikes = {name: fired for name, (_, fired) in seen.items()}
    equal = {
        name: 100 * float((spikes[name] == spikes["float"]).mean())
        for name in ("nearest", "compensated")
    }
    sample, neuron = typical(seen)
    looks = {"float": FLOAT, "nearest": NEAREST, "compensated": SEARCHED}
    traces = {name: membranes[:, sample, neuron] for name, (membranes, _) in seen.items()}
    steps = len(traces["float"])
    low = min(0.0, *(float(trace.min()) for trace in traces.values()))
    high = max(1.0, *(float(trace.max()) for trace in traces.values()))
    span = (low - 0.1, high + 0.1)
    panel = Panel(120, 56, 676, 270, (0.5, steps + 0.5), span)
    drawn = panel.rows(plainly(ticks(*span, 5)), "membrane / threshold")
    limit = {"stroke": FLOAT.colour, "stroke_dasharray": "2 3"}
    drawn.append(panel.level(1.0, "", **limit))
    rows = Panel(120, 284, 676, 362, (0.5, steps + 0.5), (2.5, -0.5))
    for x, (name, look) in zip((62, 186, 332), looks.items(), strict=True):
        drawn += key(x, 26, look, name)
    drawn += [line(528, 26, 562, 26, **limit), words(570, 31.5, "threshold")]
    for place, (name, look) in enumerate(looks.items()):
        points = [(k + 1.0, float(v)) for k, v in enumerate(traces[name])]
        drawn.append(panel.curve(points, look))
        drawn += [panel.marker(point, look) for point in points]
        drawn.append(words(rows.left - 8, rows.y(place) + 5.5, name, "soft end"))
        for step in np.flatnonzero(spikes[name][:, sample, neuron]):
            drawn.append(spike(rows.x(step + 1), rows.y(place), look))
    numbers = {float(k): str(k) for k in range(1, steps + 1)}
    drawn += rows.columns(numbers, "time step")
    said = (
        f"Membrane and spikes of neuron {neuron} of {LAYER} at {MEMBRANE_BITS} bits on test sample "
        f"{sample}, in float, with nearest and with compensated rounding; spikes of the layer that "
        f"are as in float: {equal['nearest']:.1f} % nearest, {equal['compensated']:.1f} % "
        "compensated"
    )
    return picture(418, said, drawn)


def spike(x: float, y: float, look: Look) -> Html:
    """Return a spike in its row."""
    return line(x, y - 9, x, y + 9, stroke=look.colour, style="stroke-width:5")


def run(model: onnx.ModelProto) -> tuple[FloatArray, FloatArray]:
    """Return the membranes of the layer in units of its threshold, and its spikes, by step."""
    data = open_data(SAMPLES / "digits_test.npz")
    probe = MembraneProbe(model)
    (layer,) = (each for each in probe.layers if each.name == LAYER)
    fired = spiking_outputs(model)[LAYER]
    runner = Runner(probe.model, [*probe.values, fired], custom_ops=layer.op.integer)
    (batch,) = data.batches(len(data))
    values = runner.run(batch.inputs)
    membranes = probe.membranes(layer, values, len(batch))
    # An integer neuron fires above a whole number; half a step up is between that and the next.
    threshold = probe.constants(layer)["fire_above"] + 0.5 * layer.op.integer
    return np.asarray(membranes / threshold, np.float64), np.asarray(values[fired] > 0)


def typical(seen: dict[str, tuple[FloatArray, FloatArray]]) -> tuple[int, int]:
    """Return a sample and a neuron where only nearest rounding costs spikes.

    Of these, the one whose membrane errors are the closest to the median of the layer.
    """
    membranes, spikes = seen["float"]
    wrong = {name: (seen[name][1] != spikes).any(0) for name in ("nearest", "compensated")}
    errors = {
        name: np.sqrt(np.square(seen[name][0] - membranes).mean(0))
        for name in ("nearest", "compensated")
    }
    usable = wrong["nearest"] & ~wrong["compensated"] & (spikes.sum(0) >= 2)
    usable[SHOWN_AMONG:] = False
    away = sum(np.abs(np.log(e / np.median(e[e > 0]) + 1e-9)) for e in errors.values())
    sample, neuron = np.unravel_index(int(np.where(usable, away, np.inf).argmin()), usable.shape)
    return int(sample), int(neuron)


if __name__ == "__main__":
    main()
