"""The whole benchmark of an integer model against references, in several configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.bench.layers import LayerCost, layer_costs
from snnquant.bench.memory import peak_memory
from snnquant.bench.peak import MachinePeak, machine_peak
from snnquant.bench.timing import Contender, Timing, interleave
from snnquant.data import Dataset
from snnquant.errors import UsageError
from snnquant.instrument import Runner
from snnquant.progress import Progress, silent

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Reference:
    """A model to compare with.

    Attributes:
        name: of the contender.
        model: as it is run.
        canonical: what it was recognised as, which tells how it takes its inputs.
    """

    name: str
    model: bytes
    canonical: onnx.ModelProto


@dataclass(frozen=True)
class Configuration:
    """One batch size and number of threads, with what was measured.

    Attributes:
        batch: samples per call.
        threads: of ONNX Runtime.
        timings: by contender.
        skipped: why a contender does not take part, by contender.
    """

    batch: int
    threads: int
    timings: dict[str, Timing]
    skipped: dict[str, str] = field(default_factory=dict)

    def speed_up(self, name: str, reference: str) -> float:
        """Return how many times faster a contender is than a reference."""
        return self.timings[reference].median / self.timings[name].median


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark found.

    Attributes:
        model: name of the integer model among the contenders.
        configurations: in the order asked for.
        layers: where the integer model's time goes at the first batch size, one thread.
        memory: by how many bytes each contender raises the peak of a process; None: not known.
        peak: of the machine.
        repeated: the data holds fewer samples than the largest batch, and is repeated.
    """

    model: str
    configurations: tuple[Configuration, ...]
    layers: tuple[LayerCost, ...]
    memory: dict[str, int | None]
    peak: MachinePeak
    repeated: bool


def bench_model(
    model: onnx.ModelProto,
    dataset: Dataset,
    *,
    name: str = "integer",
    references: Sequence[Reference] = (),
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    seconds: float = 2.0,
    progress: Progress = silent,
) -> BenchResult:
    """Measure an integer model beside references, on the same samples: speed, layers, memory.

    Args:
        model: integer model.
        dataset: samples; the first ones are used, repeated where there are too few.
        name: of the integer model among the contenders.
        references: to compare with.
        batches: samples per call.
        threads: numbers of threads.
        seconds: to spend on each configuration.
        progress: told after every configuration.

    Raises:
        UsageError: the data is empty.
        DataError: the samples do not fit.
    """
    entrants = _entrants(model, name, references)
    configurations = _compare(entrants, dataset, batches, threads, seconds, progress)
    first = {
        entrant.name: entrant.runner.feeds(_samples(dataset, entrant.runner.batch_size(batches[0])))
        for entrant in entrants
    }
    peak = machine_peak()
    return BenchResult(
        model=name,
        configurations=configurations,
        layers=layer_costs(model, first[name], peak),
        memory={e.name: peak_memory(e.model, first[e.name]) for e in entrants},
        peak=peak,
        repeated=len(dataset) < max(batches),
    )


def compare_speed(
    model: onnx.ModelProto,
    dataset: Dataset,
    *,
    name: str = "integer",
    references: Sequence[Reference] = (),
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    seconds: float = 2.0,
    progress: Progress = silent,
) -> tuple[Configuration, ...]:
    """Measure only the speed of an integer model beside references, in every configuration.

    Takes what :func:`bench_model` takes.

    Raises:
        UsageError: the data is empty.
        DataError: the samples do not fit.
    """
    entrants = _entrants(model, name, references)
    return _compare(entrants, dataset, batches, threads, seconds, progress)


@dataclass(frozen=True)
class _Entrant:
    """A model that takes part, whatever the configuration."""

    name: str
    model: bytes
    runner: Runner


def _entrants(
    model: onnx.ModelProto, name: str, references: Sequence[Reference]
) -> tuple[_Entrant, ...]:
    """Return the integer model, then the references."""
    return (
        _Entrant(name, model.SerializeToString(), Runner(model)),
        *(_Entrant(r.name, r.model, Runner(r.canonical, custom_ops=False)) for r in references),
    )


def _compare(
    entrants: Sequence[_Entrant],
    dataset: Dataset,
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    progress: Progress,
) -> tuple[Configuration, ...]:
    """Let all models run in turn in every configuration."""
    if not len(dataset):
        raise UsageError("the data holds no sample; give some to run the models on")
    configurations: list[Configuration] = []
    for batch in batches:
        samples = _samples(dataset, batch)
        for count in threads:
            contenders, skipped = [], {}
            for entrant in entrants:
                fixed = entrant.runner.layout.fixed_batch
                if fixed not in (None, batch):
                    skipped[entrant.name] = f"it takes {fixed} samples at a time, no other number"
                    continue
                feeds = entrant.runner.feeds(samples)
                contenders.append(Contender(entrant.name, entrant.model, feeds, threads=count))
            timings = interleave(contenders, seconds) if contenders else {}
            configurations.append(Configuration(batch, count, timings, skipped))
            progress(len(configurations), len(batches) * len(threads))
    return tuple(configurations)


def _samples(dataset: Dataset, count: int) -> Mapping[str, Array]:
    """Return the first samples, from the start again where there are too few."""
    wanted = min(count, len(dataset))
    batch = next(iter(dataset.batches(wanted, wanted)))
    return {
        key: np.concatenate([array] * (-(-count // wanted)))[:count]
        for key, array in batch.inputs.items()
    }
