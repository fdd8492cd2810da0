"""The calibration stage: stream data through the float graph and keep statistics.

States start anew with every sample, because a neuron op runs whole sequences (states that are
inputs of the model start as :class:`~snnquant.instrument.Runner` says). Memory holds one
batch and a fixed number of histogram bins per tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnx_ir as ir

from snnquant.calibration import DECLARED, SPIKES, Calibration, CalibrationSettings
from snnquant.collected import Collected
from snnquant.data import Dataset, first_samples, samples_bytes
from snnquant.errors import DataError, NumericalError, UsageError
from snnquant.files import replace_files
from snnquant.instrument import Runner
from snnquant.interrupts import Interruptions
from snnquant.lowering.plan import InputScale, make_plan
from snnquant.model_file import graph_hash, last_layers, neuron_nodes
from snnquant.observers import TensorStatistics
from snnquant.ops.schema import schemas
from snnquant.ops.states import runs_of
from snnquant.partial import PartialFile
from snnquant.passes.edit import unmoved
from snnquant.progress import Progress, silent
from snnquant.spike_sums import with_spike_sums
from snnquant.target import Target, load_target


@dataclass(frozen=True)
class RealSamples:
    """The samples of a batch that a model with a fixed batch size has others added to."""

    count: int
    size: int

    def of(self, value: npt.NDArray[Any], steps: int | None) -> npt.NDArray[Any]:
        """Return a value ``[T, B, ...]``, ``[T*B, ...]`` or ``[B, ...]`` without what was added."""
        if self.count == self.size:
            return value
        if value.shape[1:2] == (self.size,) and steps in (None, value.shape[0]):
            return value[:, : self.count]
        if value.shape[0] == self.size:
            return value[: self.count]
        if value.shape[0] % self.size == 0:
            timed = value.reshape(-1, self.size, *value.shape[1:])
            return timed[:, : self.count]
        return value


def calibration_points(model: ir.Model, target: Target | None = None) -> list[str]:
    """Return the names of all values that may be quantized where they enter integers.

    Both readings of the inputs (analog, or spikes already) are walked, since data decides later,
    and both of what comes between layers, since some layers may be kept float.
    """
    profile = target or load_target("generic")
    read_as: list[dict[str, InputScale]] = [{}, {v.name or "": SPIKES for v in model.graph.inputs}]
    plans = [
        make_plan(model, profile, scales, analog=analog)
        for analog in (True, False)
        for scales in read_as
    ]
    return list(dict.fromkeys(name for plan in plans for name in plan.entries()))


def same_elements(model: ir.Model, points: Sequence[str]) -> dict[str, str]:
    """Return for each value the one among them to look at: it has the same elements.

    An input of the model is taken where there is one, because it need not be handed out.
    """
    values = {value.name or "": value for value in model.graph.inputs}
    values |= {out.name or "": out for node in model.graph for out in node.outputs}
    alike: dict[ir.Value, list[str]] = {}
    for point in points:
        alike.setdefault(unmoved(values[point]), []).append(point)
    inputs = {value.name for value in model.graph.inputs}
    chosen: dict[str, str] = {}
    for group in alike.values():
        first = next((point for point in group if point in inputs), group[0])
        chosen |= dict.fromkeys(group, first)
    return chosen


def calibrate_model(
    model: ir.Model,
    dataset: Dataset,
    settings: CalibrationSettings,
    *,
    timesteps: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
    partial: PartialFile | None = None,
) -> Calibration:
    """Run calibration data through a canonical float graph.

    Args:
        model: canonical float graph.
        dataset: calibration samples.
        settings: method, number of samples, batch size, forced inputs.
        timesteps: number of steps that the samples must have, if given.
        threads: threads of ONNX Runtime.
        progress: told after every batch.
        partial: where the progress is kept; an interruption saves it.

    Raises:
        CalibrationMismatchError: the progress to go on from is of another run.
        DataError: the samples do not fit the model.
        NumericalError: NaN or infinity on the way, or a network that never fires at its output.
        UsageError: a forced input that the model does not have.
    """
    proto = ir.to_proto(model)
    points = calibration_points(model)
    for name in settings.inputs:
        if name not in points:
            listed = ", ".join(points) or "none"
            raise UsageError(f"--input {name}: no such analog input; the model has {listed}")
    neurons = [node for node in neuron_nodes(proto) if schemas()[node.op_type].neuron.spiking]
    same = same_elements(model, points)
    seen = list(dict.fromkeys(same.values()))
    counting, sums = with_spike_sums(proto, [node.output[0] for node in neurons])
    extra = [*seen, *(name for counted in sums.values() for name in counted.names)]
    runner = Runner(counting, extra, threads=threads, custom_ops=False)
    collected = Collected(seen, (node.name for node in neurons))
    runs = [
        [node.name for node in run if node.name in collected.activity]
        for run in runs_of(neuron_nodes(proto)).values()
    ]
    size = runner.batch_size(settings.batch_size)
    total = min(settings.samples, len(dataset))
    settings = replace(settings, samples=total, batch_size=size)
    graph_sha256 = graph_hash(model)
    if partial is not None:
        partial.start(collected, settings, graph_sha256=graph_sha256, data_sha256=dataset.sha256)
    progress(collected.done, total)
    left = total - collected.done
    with Interruptions() as interruptions:
        try:
            for batch in dataset.batches(size, left, start=collected.done) if left else ():
                values = runner.run(batch.inputs)
                real = RealSamples(len(batch), runner.batch_size(len(batch)))
                with interruptions.held_back(), collected.batch(len(batch)):
                    for point, counted in collected.statistics.items():
                        counted.update(real.of(values[point], runner.layout.timesteps))
                    steps_of = {}
                    for node in neurons:
                        found = sums[node.output[0]].read(values, len(batch))
                        spikes, entries, steps_of[node.name] = found
                        collected.count_spikes(node.name, spikes, entries)
                    for run in filter(None, runs):
                        collected.steps.add(sum(steps_of[name] for name in run))
                progress(collected.done, total)
                if partial is not None:
                    partial.batch_done(collected)
        except KeyboardInterrupt:
            if partial is not None:
                partial.save(collected)
            raise
    steps = collected.steps
    if timesteps is not None and steps and steps != {timesteps}:
        raise DataError(
            f"the samples give T = {sorted(steps)} steps, not the {timesteps} that were asked for; "
            "cut or pad the sequences, or drop --timesteps"
        )
    rates = collected.firing_rates()
    tensors = {point: collected.statistics[same[point]].renamed(point) for point in points}
    _refuse_silence(proto, neurons, rates)
    _refuse_false_spikes(tensors, settings.inputs)
    return Calibration(
        graph_sha256=graph_sha256,
        data_sha256=dataset.sha256,
        settings=settings,
        timesteps=min(steps) if len(steps) == 1 else (runner.layout.timesteps or 0),
        tensors=tensors,
        neurons=rates,
    )


def write_calibration(
    calibration: Calibration, dataset: Dataset, output: Path, model: str, target: Target
) -> Calibration:
    """Write a calibration file, and the first samples beside it, each whole or not at all.

    Args:
        calibration: what :func:`calibrate_model` returned.
        dataset: the samples that it saw.
        output: path of the JSON file; the samples go to ``<stem>.samples.npz``.
        model: short name of the model, for people.
        target: whose input width and observer the shown scales are for.

    Returns:
        The calibration, bound to the samples file.

    Raises:
        UsageError: a file cannot be written.
    """
    samples_file = samples_path(output)
    samples = samples_bytes(first_samples(dataset))
    bound = replace(
        calibration,
        samples_file=samples_file.name,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        source={"model": model, "data": dataset.path.name},
    )
    text = bound.dumps(target.input_bits, target.input_observer)
    replace_files({samples_file: samples, output: text})
    return bound


def samples_path(output: Path) -> Path:
    """Return where the samples of a calibration file go."""
    return output.with_suffix(".samples.npz")


def calibration_warnings(calibration: Calibration) -> list[str]:
    """Return what a user should know about a calibration that succeeded."""
    silent_layers = [
        f"neuron '{name}' never fired on these samples"
        for name, rate in calibration.firing_rates().items()
        if rate == 0
    ]
    return silent_layers + [
        f"'{name}' is 0 in all samples, so that its scale cannot be known; it is taken for spikes"
        for name, statistics in calibration.tensors.items()
        if statistics.absmax == 0 and name not in calibration.settings.inputs
    ]


def _refuse_false_spikes(statistics: dict[str, TensorStatistics], forced: dict[str, str]) -> None:
    """Raise if a value that was declared spikes holds what those cannot be."""
    for name, choice in forced.items():
        known = statistics[name]
        ranges, words = DECLARED.get(choice, ((), ""))
        if ranges and known.count and not any(map(known.holds_only_integers, ranges)):
            raise UsageError(
                f"--input {name}={choice}: the values go from {known.minimum:g} to "
                f"{known.maximum:g}{'' if known.all_integer else ' and are not whole'}; {words}"
            )


def _refuse_silence(
    model: onnx.ModelProto,
    neurons: Sequence[onnx.NodeProto],
    rates: dict[str, dict[str, float]],
) -> None:
    """Raise if the layers that feed the outputs never fired: the network says nothing."""
    last = last_layers(model, [node.name for node in neurons])
    if last and all(rates[name]["firing_rate"] == 0 for name in last):
        raise NumericalError(
            f"the network is silent: neuron '{last[0]}' never fires on these samples; "
            "check the scaling of the data and that the model was trained"
        )
