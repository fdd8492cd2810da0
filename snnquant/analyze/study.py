"""Running the float model once over the data and any number of other models on the same batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from snnquant.analyze.layers import Layer, find_layers, prepared
from snnquant.analyze.meters import LayerMeasure, LayerMeter, OutputMeasure, OutputMeter
from snnquant.analyze.mixed import Mixed, float_model, local_model, mixed_model
from snnquant.calibrate import RealSamples
from snnquant.data import Dataset
from snnquant.errors import ModelError, NumericalError, UsageError
from snnquant.evaluate import check_labels, choose_output, read_out
from snnquant.instrument import Runner
from snnquant.lowering.plan import InputScale
from snnquant.model_file import last_layers, neuron_nodes, states_of
from snnquant.ops.schema import schemas
from snnquant.ops.states import runs_of
from snnquant.progress import Progress
from snnquant.quantize_options import QuantizeOptions

#: Models that are open at the same time take no more than this, or the data is read again.
_MAX_OPEN_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Setting:
    """How layers are quantized: widths, target, and how analog values enter."""

    options: QuantizeOptions
    scales: Mapping[str, InputScale]


@dataclass(frozen=True)
class Job:
    """One model to compare with the float one.

    Attributes:
        setting: how the chosen layers are quantized.
        chosen: layers in integers; the last is looked at.
        local: every layer sees float values only; there is no output then, and all are looked at.
    """

    setting: Setting
    chosen: tuple[Layer, ...]
    local: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a job found.

    Attributes:
        layers: of the layers that were looked at, by name.
        output: None for a local job.
        fingerprint: hash of the model.
    """

    layers: dict[str, LayerMeasure]
    output: OutputMeasure | None
    fingerprint: str


@dataclass(frozen=True)
class Scoring:
    """What is run and scored.

    Attributes:
        output: name of the output; None: the first.
        readout: how time is reduced.
        samples: at most this many; None: all.
        batch_size: samples per batch.
        threads: of ONNX Runtime.
    """

    output: str | None = None
    readout: str = "auto"
    samples: int | None = None
    batch_size: int = 64
    threads: int | None = None


@dataclass
class _Open:
    """A job whose model is open."""

    job: Job
    runner: Runner
    meters: dict[str, LayerMeter]
    output: OutputMeter | None
    fingerprint: str


@dataclass
class Study:
    """A float model, its layers, and the data to run it on.

    Args:
        model: canonical float graph.
        setting: the setting that is studied.
        rates: calibrated firing rates by neuron name.
        dataset: samples.
        scoring: what is run and scored.

    Raises:
        ModelError: nothing becomes an integer.
        UsageError: the model is a single time step, or has no such output.
    """

    model: ir.Model
    setting: Setting
    rates: Mapping[str, float]
    dataset: Dataset
    scoring: Scoring
    layers: list[Layer] = field(init=False)

    def __post_init__(self) -> None:
        """Open the float model."""
        self.model = prepared(self.model)
        setting, rates = self.setting, self.rates
        self.layers = find_layers(self.model, setting.scales, setting.options, rates)
        self._real = float_model(self.model, self.layers)
        threads = self.scoring.threads
        self._runner = Runner(
            self._real.model, self._real.names, threads=threads, custom_ops=False, spinning=False
        )
        layout = self._runner.layout
        if states_of(self._real.model) and layout.timesteps == 1:
            raise UsageError(
                "the model is a single time step with its states as inputs, so that every sample "
                "would be one step from rest; give the model of whole sequences, or --timesteps T"
            )
        self._layout = choose_output(self._runner, self.scoring.output)
        nodes = neuron_nodes(self._real.model)
        spiking = [node.name for node in nodes if schemas()[node.op_type].neuron.spiking]
        self._ends = last_layers(self._real.model, spiking)
        runs = [[node.name for node in run] for run in runs_of(nodes).values()]
        self._runs = {
            layer.name: [run for run in runs if run[0] in layer.neurons] for layer in self.layers
        }
        count = len(self.dataset)
        limit = self.scoring.samples
        self.samples = count if limit is None else min(limit, count)
        self.float_accuracy: float | None = None

    def run(
        self, jobs: Sequence[Job], progress: Progress, *, skip: bool = False
    ) -> dict[Job, Outcome]:
        """Run jobs, each once; progress counts samples of all of them.

        Args:
            jobs: what to compare with the float model.
            progress: told after every batch of every job.
            skip: leave out jobs for which there are no integers, rather than raise.

        Raises:
            DataError: the samples do not fit the model, or the labels its classes.
            NumericalError: values for which no faithful integers exist.
        """
        found: dict[Job, Outcome] = {}
        wanted = list(dict.fromkeys(jobs))
        total = self.samples * len(wanted)
        for opened in self._chunks(wanted, skip):
            self._pass(opened, len(found) * self.samples, total, progress)
            for entry in opened:
                layers = {name: meter.result() for name, meter in entry.meters.items()}
                output = None if entry.output is None else entry.output.result()
                found[entry.job] = Outcome(layers, output, entry.fingerprint)
                if output is not None and output.accuracy is not None and output.drop is not None:
                    self.float_accuracy = output.accuracy + output.drop
        return found

    def _build(self, job: Job) -> Mixed:
        """Return the model of a job.

        Raises:
            ModelError, NumericalError: as :func:`~snnquant.quantize.quantize_model`.
        """
        scales, options = job.setting.scales, job.setting.options
        if job.local:
            return local_model(self.model, self.layers, scales, options, self.rates)
        return mixed_model(
            self.model,
            self.layers,
            job.chosen,
            scales,
            options,
            self.rates,
            show=job.chosen[-1:],
            spiking=self._ends,
        )

    def _chunks(self, jobs: Sequence[Job], skip: bool) -> Iterator[list[_Open]]:
        """Yield jobs with open models, as many at a time as memory allows."""
        opened: list[_Open] = []
        size = 0
        for job in jobs:
            try:
                mixed = self._build(job)
            except (ModelError, NumericalError):
                if skip:
                    continue
                raise
            data = mixed.model.SerializeToString(deterministic=True)
            if opened and size + len(data) > _MAX_OPEN_BYTES:
                yield opened
                opened, size = [], 0
            size += len(data)
            looked_at = job.chosen if job.local else job.chosen[-1:]
            meters = {
                layer.name: LayerMeter(layer, self._runs[layer.name], self._real, mixed)
                for layer in looked_at
            }
            output = None
            if not job.local:
                output = OutputMeter(self._ends, self._real, mixed, self.dataset.has_labels)
            threads = self.scoring.threads
            runner = Runner(mixed.model, mixed.names, threads=threads, spinning=False)
            fingerprint = hashlib.sha256(data).hexdigest()
            opened.append(_Open(job, runner, meters, output, fingerprint))
        if opened:
            yield opened

    def _pass(self, opened: Sequence[_Open], done: int, total: int, progress: Progress) -> None:
        """Run the float model and all open ones over the data."""
        size = self._runner.batch_size(self.scoring.batch_size)
        for batch in self.dataset.batches(size, self.samples):
            samples = RealSamples(len(batch), self._runner.batch_size(len(batch)))
            real = self._runner.run(batch.inputs)
            scores = self._scores(real)
            if batch.labels is not None:
                check_labels(batch.labels, scores.shape[1])
            for entry in opened:
                values = entry.runner.run(batch.inputs)
                for meter in entry.meters.values():
                    meter.add(real, values, samples)
                if entry.output is not None:
                    both = scores, self._scores(values)
                    entry.output.add(both, batch.labels, real, values, samples)
                done += len(batch)
                progress(done, total)

    def _scores(self, values: Mapping[str, Any]) -> Any:
        return read_out(values[self._layout.name], self._layout, self.scoring.readout)
