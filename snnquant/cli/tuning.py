"""What tune found: as JSON, as files, and for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snnquant.cli.console import Speaker, add_row, document, new_table, percent
from snnquant.cli.printable import printable
from snnquant.files import file_record, replace_files
from snnquant.gates import Gate
from snnquant.search import DEFAULT_SAMPLES
from snnquant.tune import Point, Tuned, front_chart

#: More layers are counted by width, not listed.
_MOST_LISTED = 8


@dataclass(frozen=True)
class Chosen:
    """What was found, and from what.

    Attributes:
        found: front, models, choice.
        searched: samples that weights were searched with.
        samples: samples that models were run on.
        max_drop: limit of the drop of accuracy; None: none.
    """

    found: Tuned
    searched: int
    samples: int
    max_drop: float | None

    @property
    def count(self) -> int:
        """Number of all weights, and states, that have a width."""
        return sum(unit.count for unit in self.found.units)

    @property
    def states(self) -> int:
        """Number of the states among them."""
        return sum(unit.count for unit in self.found.units if unit.of_states)

    def float_accuracy(self) -> float | None:
        """Return the float model's accuracy, None without labels."""
        measures = self.found.points[0].measures
        if measures.accuracy is None or measures.drop is None:
            return None
        return measures.accuracy + measures.drop


def picture_path(output: Path) -> Path:
    """Return where the picture goes, beside what was found."""
    return output.with_suffix(".svg")


def drop_gates(chosen: Chosen) -> list[Gate]:
    """Return the limit of the drop with what the choice has, or else the best model."""
    if chosen.max_drop is None:
        return []
    taken = chosen.found.chosen
    drops = [p.measures.drop for p in chosen.found.points if p.measures.drop is not None]
    value = min(drops) if taken is None or taken.measures.drop is None else taken.measures.drop
    status = "failed" if taken is None else "passed"
    return [Gate("max-drop", "drop", value, chosen.max_drop, status)]


def tuned_document(
    chosen: Chosen, inputs: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the JSON says."""
    found = chosen.found
    taken = found.chosen
    front = set(found.front)
    return document(
        "tune",
        inputs=inputs,
        config=config,
        metrics={
            "weights": chosen.count - chosen.states,
            "states": chosen.states,
            "searched_samples": chosen.searched,
            "samples": chosen.samples,
            "float_accuracy": chosen.float_accuracy(),
            "models": len(found.points),
        },
        gates=[asdict(gate) for gate in drop_gates(chosen)],
        layers=_layers(found),
        points=[
            {
                "widths": list(point.config),
                "mean_bits": point.bits / chosen.count,
                "bytes": _bytes(point),
                "uniform": point.config in found.uniform,
                "on_front": point in front,
                "chosen": point is taken,
                "expected": point.expected,
                **asdict(point.measures),
                "test": asdict(found.test[point.config]) if point.config in found.test else None,
            }
            for point in found.points
        ],
    )


def _layers(found: Tuned) -> list[dict[str, Any]]:
    """Return what is said of each layer: of its weights, or of its states."""
    known = {entry.name: entry for entry in found.errors}
    entries: list[dict[str, Any]] = []
    for index, unit in enumerate(found.units):
        bits = None if found.chosen is None else found.chosen.config[index]
        if unit.of_states:
            costs = sorted(unit.costs.items())
            entries += [
                {
                    "name": name,
                    "kind": "neuron",
                    "states": unit.count,
                    "state_bits": bits,
                    "effect": found.effects[index],
                    "costs": [{"bits": width, "error": cost} for width, cost in costs],
                }
                for name in unit.layers
            ]
            continue
        errors = sorted(known[unit.name].errors.items())
        entries.append(
            {
                "name": unit.name,
                "kind": "recurrent" if known[unit.name].recurrent else "synapse",
                "weights": unit.count,
                "weight_bits": bits,
                "effect": found.effects[index],
                "errors": [{"bits": width, "error": error} for width, error in errors],
            }
        )
    return entries


def write_tuned(
    output: Path, found_document: Mapping[str, Any], found: Tuned, label: str
) -> list[dict[str, str]]:
    """Write what was found and its picture, both or none; return their paths and hashes."""
    text = json.dumps(found_document, indent=2, allow_nan=False) + "\n"
    picture = picture_path(output)
    replace_files({picture: front_chart(found, label), output: text})
    return [file_record(output), file_record(picture)]


def print_tuned(speaker: Speaker, chosen: Chosen, output: Path) -> None:
    """Print the front and the models with one width, and what to do with it."""
    found = chosen.found
    labelled = chosen.float_accuracy() is not None
    right = "accuracy" if labelled else "same"
    heads = ["", "mean\nbits", "\nbytes", "\nerror", "equal\nspikes", f"\n{right}"]
    if found.test:
        heads.append(f"test\n{right}")
    table = new_table("\nwidths", *heads, texts=2)
    for point in _shown(found):
        measures = point.measures
        share = measures.accuracy if labelled else measures.prediction_agreement
        cells = [
            _widths(point),
            _mark(point, found),
            f"{point.bits / chosen.count:.2f}",
            f"{_bytes(point):,}",
            percent(measures.error),
            percent(measures.spike_agreement),
            percent(share),
        ]
        if found.test:
            tested = found.test[point.config]
            other = tested.accuracy if labelled else tested.prediction_agreement
            cells.append(percent(other))
        add_row(table, *cells)
    speaker.table(table)
    speaker.result("")
    for line in _closing(chosen, output):
        speaker.result(line)


def _shown(found: Tuned) -> list[Point]:
    """Return the front, the models with one width, and the choice."""
    front = set(found.front)
    return [
        point
        for point in found.points
        if point in front or point.config in found.uniform or point is found.chosen
    ]


def _mark(point: Point, found: Tuned) -> str:
    """Say what a model is."""
    words = ["chosen"] if point is found.chosen else []
    if point.config in found.uniform:
        words.append("one width")
    if point not in found.front:
        words.append("beaten")
    return ", ".join(words)


def _widths(point: Point) -> str:
    if len(point.config) <= _MOST_LISTED:
        return " ".join(map(str, point.config))
    counts = Counter(point.config)
    return ", ".join(f"{counts[bits]}x{bits}" for bits in sorted(counts, reverse=True))


def _closing(chosen: Chosen, output: Path) -> Iterator[str]:
    """Yield what to say below the table."""
    found = chosen.found
    names = [
        f"states of {printable(unit.name)}" if unit.of_states else printable(unit.name)
        for unit in found.units
    ]
    counted = f"{chosen.count - chosen.states:,} weights"
    counted += f", {chosen.states:,} states" if chosen.states else ""
    listed = f"Widths of {', '.join(names)}"
    yield f"{listed if len(names) <= _MOST_LISTED else f'{len(names)} widths'}; {counted}"
    accuracy = chosen.float_accuracy()
    known = "" if accuracy is None else f"; float accuracy {percent(accuracy)}"
    behind = f"{chosen.samples} samples behind the first {chosen.searched}"
    yield f"{len(found.points)} models on {behind}{known}"
    yield f"wrote {output}, {picture_path(output)}"
    if found.chosen is not None:
        word = f"to have the chosen one: convert --layers {output}"
        if chosen.searched == DEFAULT_SAMPLES:
            yield f"{word}, with the same --data"
        else:
            yield f"{word} --rounding-samples {chosen.searched},"
            yield "with the same --data"


def _bytes(point: Point) -> int:
    return -(-point.bits // 8)
