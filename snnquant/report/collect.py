"""Everything that a report shows, gathered from an evaluation and a few runs more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import onnx

from snnquant.data import Dataset
from snnquant.errors import SnnquantError
from snnquant.evaluate import Evaluation
from snnquant.gates import Gate
from snnquant.model_file import neuron_nodes
from snnquant.report.histogram import Histogram
from snnquant.report.membranes import Membranes, membrane_histograms
from snnquant.report.provenance import facts, manifest_of
from snnquant.report.raster import Raster, spike_raster
from snnquant.report.rates import rate_histogram
from snnquant.report.samples import KeptSample
from snnquant.report.speed import Speed
from snnquant.report.weights import WeightLayer, weight_layers

Part = TypeVar("Part")


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        title: name of the model.
        names: what the model and its reference are called.
        result: the evaluation.
        gates: limits and what was found.
        document: what ``eval --json`` prints.
        rates: neurons by firing rate, per layer.
        raster, membranes, weights: None where they could not be had.
        speed: what was benched, None if nothing was.
        facts: where it all comes from, in groups.
        notes: why a part is missing, by part.
    """

    title: str
    names: tuple[str, str]
    result: Evaluation
    gates: Sequence[Gate]
    document: Mapping[str, Any]
    rates: Mapping[str, Histogram]
    raster: Raster | None
    membranes: Membranes | None
    weights: tuple[WeightLayer, ...] | None
    speed: Speed | None
    facts: list[tuple[str, list[tuple[str, str]]]]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def compared(self) -> bool:
        """Whether there is a reference."""
        return self.result.prediction_agreement is not None


@dataclass(frozen=True)
class Subject:
    """What was evaluated, and how it is run.

    Attributes:
        title: name of the model.
        path: of its file, None without one.
        sha256: of the file.
        model: float or integer model.
        reference: canonical float graph, None without one.
        dataset: samples.
        samples: number of samples that were evaluated.
        custom_ops: the library is used.
        threads: threads of ONNX Runtime.
    """

    title: str
    path: Path | None
    sha256: str
    model: onnx.ModelProto
    reference: onnx.ModelProto | None
    dataset: Dataset
    samples: int
    custom_ops: bool = True
    threads: int | None = None


def collect_report(
    subject: Subject,
    result: Evaluation,
    gates: Sequence[Gate],
    document: Mapping[str, Any],
    kept: Sequence[KeptSample],
    speed: Speed | None = None,
) -> Report:
    """Gather what a report shows; a part that cannot be had is noted, not an error.

    Args:
        subject: what was evaluated.
        result: what was found.
        gates: limits and what was found.
        document: what ``eval --json`` prints.
        kept: samples to show spike by spike.
        speed: what was benched.
    """
    integer = bool(neuron_nodes(subject.model, integer=True))
    names = ("integer", "float") if integer else ("model", "reference")
    manifest = manifest_of(subject.path, subject.sha256)
    running: dict[str, Any] = {"custom_ops": subject.custom_ops, "threads": subject.threads}
    notes: dict[str, str] = {}

    def tried(part: str, make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except SnnquantError as error:
            notes[part] = str(error)
            return None

    entries = sum(c.entries for c in result.counters) // max(result.samples, 1)
    rates = {c.name: rate_histogram(c, names) for c in result.counters}
    return Report(
        title=subject.title,
        names=names,
        result=result,
        gates=gates,
        document=document,
        rates={name: found for name, found in rates.items() if found is not None},
        raster=tried(
            "raster", lambda: spike_raster(subject.model, subject.reference, kept, **running)
        ),
        membranes=tried(
            "membranes",
            lambda: membrane_histograms(
                subject.model,
                subject.reference,
                subject.dataset,
                names=names,
                samples=subject.samples,
                entries=entries,
                scales=manifest.scales,
                **running,
            ),
        ),
        weights=tried(
            "weights",
            lambda: weight_layers(subject.model, subject.reference, manifest.bits, names),
        ),
        speed=speed,
        facts=facts(subject.model, manifest, document),
        notes=notes,
    )
