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
    memory: bool = True,
    progress: Progress = silent,
) -> BenchResult:
    """Measure an integer model beside references, on the same samples.

    Args:
        model: integer model.
        dataset: samples; the first ones are used, repeated where there are too few.
        name: of the integer model among the contenders.
        references: to compare with.
        batches: samples per call.
        threads: numbers of threads.
        seconds: to spend on each configuration.
        memory: measure the peak memory too, in processes of their own.
        progress: told after every configuration.

    Raises:
        UsageError: the data is empty.
        DataError: the samples do not fit.
    """
    if not len(dataset):
        raise UsageError("the data holds no sample; give some to run the models on")
    runners = {name: Runner(model)}
    sources: dict[str, bytes] = {name: model.SerializeToString()}
    for reference in references:
        runners[reference.name] = Runner(reference.canonical, custom_ops=False)
        sources[reference.name] = reference.model
    configurations = []
    for batch in batches:
        samples = _samples(dataset, batch)
        for count in threads:
            contenders, skipped = [], {}
            for contender, runner in runners.items():
                fixed = runner.layout.fixed_batch
                if fixed not in (None, batch):
                    skipped[contender] = f"it takes {fixed} samples at a time, no other number"
                    continue
                feeds = runner.feeds(samples)
                contenders.append(Contender(contender, sources[contender], feeds, threads=count))
            timings = interleave(contenders, seconds) if contenders else {}
            configurations.append(Configuration(batch, count, timings, skipped))
            progress(len(configurations), len(batches) * len(threads))
    first = _samples(dataset, runners[name].batch_size(batches[0]))
    peak = machine_peak()
    return BenchResult(
        model=name,
        configurations=tuple(configurations),
        layers=layer_costs(model, runners[name].feeds(first), peak),
        memory={
            contender: peak_memory(
                sources[contender],
                runner.feeds(_samples(dataset, runner.batch_size(batches[0]))),
            )
            for contender, runner in runners.items()
            if memory
        },
        peak=peak,
        repeated=len(dataset) < max(batches),
    )


def _samples(dataset: Dataset, count: int) -> Mapping[str, Array]:
    """Return the first samples, from the start again where there are too few."""
    wanted = min(count, len(dataset))
    batch = next(iter(dataset.batches(wanted, wanted)))
    return {
        key: np.concatenate([array] * (-(-count // wanted)))[:count]
        for key, array in batch.inputs.items()
    }
