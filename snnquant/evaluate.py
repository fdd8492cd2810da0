"""The evaluation: accuracy and spike statistics of an integer model, beside its float origin.

Counters add up over batches, so memory does not grow with the data. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.data import Batch, Dataset
from snnquant.errors import DataError, NumericalError, UsageError
from snnquant.instrument import Layout, Runner
from snnquant.model_file import neuron_nodes
from snnquant.neurobench import NeuroBench, NeuroBenchCounter
from snnquant.ops.fused import channels_third, neuron_schema
from snnquant.overflow_counter import OverflowCounter
from snnquant.progress import Progress, silent
from snnquant.spike_counter import LayerCounter, LayerReport, agreement_of
from snnquant.stepping import StepRunner, open_runner

Array = npt.NDArray[Any]
#: Numbers of layers that count for the model as they are in the worst layer.
WORST_OF_LAYERS = ("rate_drift", "rate_emd", "dead", "saturated", "overflow")
READOUTS = ("auto", "sum", "mean", "max", "last")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; accuracies are fractions, None without labels.

    ``counters`` hold what was counted per neuron, in the order of ``layers``.
    """

    samples: int
    accuracy: float | None
    float_accuracy: float | None
    drop: float | None
    prediction_agreement: float | None
    spike_agreement: float | None
    layers: tuple[LayerReport, ...]
    neurobench: NeuroBench | None = None
    counters: tuple[LayerCounter, ...] = field(default=(), repr=False, compare=False)

    def metrics(self) -> dict[str, float | int | None]:
        """Return the whole-model numbers by name; those of layers are the worst layer's."""
        others = ("layers", "neurobench", "counters")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in others}
        worst = {name: self.worst(name) for name in WORST_OF_LAYERS}
        return values | {n: None if w is None else getattr(w, n) for n, w in worst.items()}

    def worst(self, name: str) -> LayerReport | None:
        """Return the layer in which one of :data:`WORST_OF_LAYERS` is largest, None: in none."""
        known = [layer for layer in self.layers if getattr(layer, name) is not None]
        return max(known, key=lambda layer: float(getattr(layer, name)), default=None)


@dataclass(frozen=True)
class Judged:
    """One batch, with what was predicted for it: by the model, and by the reference.

    Attributes:
        batch: the samples.
        predicted, predicted_float: classes; None without a reference.
        scores, scores_float: ``[B, classes]``.
    """

    batch: Batch
    predicted: Array
    predicted_float: Array | None
    scores: Array | None = None
    scores_float: Array | None = None


def _ignore(judged: Judged) -> None:
    """Do nothing with a batch."""


def read_out(output: Array, layout: Layout, readout: str) -> Array:
    """Reduce an output over time and return ``[B, classes]``.

    Args:
        output: values of the output.
        layout: its axes.
        readout: how time is reduced; "auto" sums.

    Raises:
        UsageError: the output has no batch axis, or no time axis to reduce.
        NumericalError: the largest score of a sample is NaN or infinite, so that no class is.
    """
    batch, time = layout.batch_axis, layout.time_axis
    if batch is None:
        raise UsageError(f"output '{layout.name}' has no batch axis; choose another --output")
    if time is None:
        if readout not in ("auto", "sum"):
            raise UsageError(
                f"--readout {readout}: output '{layout.name}' carries no time; use auto"
            )
    else:
        if readout in ("auto", "sum"):
            output = output.sum(axis=time, dtype=np.float64)
        elif readout == "mean":
            output = output.mean(axis=time, dtype=np.float64)
        elif readout == "max":
            output = output.max(axis=time)
        else:
            output = np.take(output, -1, axis=time)
        batch -= int(time < batch)
    moved = np.moveaxis(output, batch, 0)
    scores = moved.reshape(len(moved), -1)
    if scores.size and not np.isfinite(scores.max(axis=1)).all():
        raise NumericalError(
            f"output '{layout.name}' is NaN or infinite on these samples, which predicts nothing; "
            "repair or retrain the model"
        )
    return scores


def evaluate_model(
    model: onnx.ModelProto,
    dataset: Dataset,
    *,
    reference: onnx.ModelProto | None = None,
    output: str | None = None,
    readout: str = "auto",
    batch_size: int = 64,
    samples: int | None = None,
    threads: int | None = None,
    custom_ops: bool = True,
    neurobench: bool = False,
    observe: Callable[[Judged], None] = _ignore,
    progress: Progress = silent,
) -> Evaluation:
    """Run a model over a data set, and its float origin over the same batches.

    Args:
        model: integer (or float) model.
        dataset: samples with or without labels.
        reference: canonical float graph with the same neuron names, if there is one.
        output: name of the output; default the first.
        readout: how an output that carries time is reduced.
        batch_size: samples per batch.
        samples: at most this many samples.
        threads: threads of ONNX Runtime.
        custom_ops: use the library; without it the function bodies run.
        neurobench: count NeuroBench's metrics too, which takes several times as long.
        observe: told of every batch and what was predicted for it.
        progress: told after every batch.

    Raises:
        DataError: the samples do not fit, or the labels exceed the classes.
        NumericalError: samples or scores are NaN or infinite.
        UsageError: unknown output or read-out, or NeuroBench's metrics of single steps.
    """
    layers = spiking_outputs(model)
    nodes = {node.name: node for node in neuron_nodes(model)}
    origin = {} if reference is None else spiking_outputs(reference)
    shared = {name: origin[name] for name in layers if name in origin}
    bench = NeuroBenchCounter(model) if neurobench else None
    limits = OverflowCounter(model, bench.probe if bench else None)
    inner = [*layers.values(), *(bench.values if bench else ()), *limits.values]
    runner = open_runner(limits.model, inner, threads=threads, custom_ops=custom_ops)
    floats = (
        None
        if reference is None
        else Runner(reference, list(shared.values()), threads=threads, custom_ops=False)
    )
    layout = choose_output(runner, output)
    float_layout = None if floats is None else choose_output(floats, output)
    counters = {name: LayerCounter(name) for name in layers}
    total = len(dataset) if samples is None else min(samples, len(dataset))
    right = right_float = same = done = 0
    for batch in dataset.batches(runner.batch_size(batch_size), total):
        values = runner.run(batch.inputs)
        scores = read_out(values[layout.name], layout, readout)
        predicted = scores.argmax(axis=1)
        if batch.labels is not None:
            check_labels(batch.labels, scores.shape[1])
            right += int((predicted == batch.labels).sum())
        expected: Mapping[str, Array] = {}
        predicted_float = origin_scores = None
        if floats is not None and float_layout is not None:
            expected = floats.run(batch.inputs)
            origin_scores = read_out(expected[float_layout.name], float_layout, readout)
            predicted_float = origin_scores.argmax(axis=1)
            same += int((predicted == predicted_float).sum())
            if batch.labels is not None:
                right_float += int((predicted_float == batch.labels).sum())
        for name, counter in counters.items():
            spikes = channels_third(values[layers[name]], nodes[name])[:, : len(batch)]
            other = expected[shared[name]][:, : len(batch)] if name in shared and expected else None
            counter.add(spikes, other)
        limits.add(values, len(batch), runner.layout.fixed_batch)
        if bench is not None:
            bench.add(values, len(batch), runner.layout.fixed_batch)
        observe(Judged(batch, predicted, predicted_float, scores, origin_scores))
        done += len(batch)
        progress(done, total)
    reports = tuple(
        replace(counters[name].report(name in shared), overflow=limits.share(name))
        for name in layers
    )
    accuracy = right / done if dataset.has_labels else None
    float_accuracy = right_float / done if dataset.has_labels and floats is not None else None
    compared = [counters[name] for name in shared if counters[name].entries]
    return Evaluation(
        samples=done,
        accuracy=accuracy,
        float_accuracy=float_accuracy,
        drop=None if accuracy is None or float_accuracy is None else float_accuracy - accuracy,
        prediction_agreement=None if floats is None else same / done,
        spike_agreement=agreement_of(compared)[0] if compared else None,
        layers=reports,
        neurobench=None if bench is None else bench.result(list(counters.values())),
        counters=tuple(counters.values()),
    )


def measure_activity(
    model: onnx.ModelProto,
    dataset: Dataset,
    *,
    batch_size: int = 64,
    samples: int | None = None,
    threads: int | None = None,
    custom_ops: bool = True,
    progress: Progress = silent,
) -> tuple[LayerReport, ...]:
    """Run a model over data, labelled or not, and return how often its neurons fire.

    Args:
        model: float or integer model.
        dataset: samples.
        batch_size: samples per batch.
        samples: at most this many samples.
        threads: threads of ONNX Runtime.
        custom_ops: use the library for integer neurons.
        progress: told after every batch.

    Raises:
        DataError: the samples do not fit.
    """
    layers = spiking_outputs(model)
    runner = open_runner(model, list(layers.values()), threads=threads, custom_ops=custom_ops)
    counters = {name: LayerCounter(name) for name in layers}
    total = len(dataset) if samples is None else min(samples, len(dataset))
    done = 0
    for batch in dataset.batches(runner.batch_size(batch_size), total):
        values = runner.run(batch.inputs)
        for name, counter in counters.items():
            counter.add(values[layers[name]][:, : len(batch)], None)
        done += len(batch)
        progress(done, total)
    return tuple(counter.report(False) for counter in counters.values())


def spiking_outputs(model: onnx.ModelProto) -> dict[str, str]:
    """Return the name of the spikes of every spiking layer, by layer."""
    return {
        node.name: node.output[0]
        for node in neuron_nodes(model)
        if (schema := neuron_schema(node.op_type)) is not None and schema.neuron.spiking
    }


def choose_output(runner: Runner | StepRunner, name: str | None) -> Layout:
    """Return the layout of the output that is scored; UsageError if there is none of that name."""
    outputs = runner.layout.outputs
    if name is None:
        return outputs[0]
    for layout in outputs:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in outputs)
    raise UsageError(f"--output {name}: the model has no such output, it has {known}")


def check_labels(labels: Array, classes: int) -> None:
    """Raise DataError if a label is no class of the output."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= classes:
        raise DataError(
            f"label {low if low < 0 else high} is no class: the output has {classes}; "
            "check 'y' or choose another --output"
        )
