"""Integer models with the widths of a configuration, and how far they are from the float model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from snnquant.analyze.meters import Power
from snnquant.calibration import Calibration
from snnquant.convert_model import convert_model
from snnquant.data import Dataset
from snnquant.evaluate import Judged, evaluate_model
from snnquant.instrument import Runner
from snnquant.lowering.layer_options import LayerOptions, neuron_layers
from snnquant.lowering.plan import make_plan
from snnquant.ops.schema import schemas
from snnquant.ops.states import runs_of
from snnquant.passes.edit import int_attribute
from snnquant.progress import Progress
from snnquant.quantize_options import QuantizeOptions
from snnquant.search.widths import WidthErrors, layer_sizes, width_errors


@dataclass(frozen=True)
class Measures:
    """One integer model against the float model; accuracies are None without labels.

    Attributes:
        error: squared error of the scores, relative to the power of the float model's.
        spike_agreement: share of equal (sample, step, neuron) entries, None without spikes.
        prediction_agreement: share of samples with the same prediction.
        rate_emd: distance of the neurons' firing rates in the worst layer, in spikes per step.
        accuracy: share of right predictions.
        drop: accuracy of the float model less that.
    """

    error: float
    spike_agreement: float | None
    prediction_agreement: float
    rate_emd: float | None
    accuracy: float | None = None
    drop: float | None = None


@dataclass(frozen=True)
class StateLayer:
    """Neurons whose states have one width.

    Attributes:
        names: of the layers, more than one where a loop over time was written out.
        states: how many numbers a sample's states are.
    """

    names: tuple[str, ...]
    states: int


@dataclass(frozen=True)
class Study:
    """A model, how it becomes integers, and the samples that say what widths do.

    Attributes:
        graph: canonical float graph.
        calibration: of it.
        options: target, method of rounding, widths of layers that are given.
        dataset: its first ``samples`` are what the method of rounding looks at.
        samples: number of these.
        held_out: the samples that models are run on.
        test: samples that are run too, and choose nothing; None: none.
        evaluation: options of :func:`~snnquant.evaluate.evaluate_model`.
    """

    graph: ir.Model
    calibration: Calibration
    options: QuantizeOptions
    dataset: Dataset
    samples: int
    held_out: Dataset
    test: Dataset | None = None
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int | None:
        """Threads of ONNX Runtime."""
        threads: int | None = self.evaluation.get("threads")
        return threads

    def sizes(self) -> dict[str, int]:
        """Return how many weights each layer has, by name."""
        return layer_sizes(self.graph, make_plan(self.graph, self.options.target))

    def width_errors(self, widths: Sequence[int], progress: Progress) -> list[WidthErrors]:
        """Return what each width costs the weights of each layer, the others in their widest."""
        options = replace(self.options, weight_bits=max(widths), layers={})
        return width_errors(
            self.graph,
            self.calibration.input_scales(options.input_bits, options.target.input_observer),
            options,
            self.calibration.firing_rates(),
            self.dataset,
            widths,
            samples=self.samples,
            threads=self.threads,
            progress=progress,
        )

    def state_layers(self) -> list[StateLayer]:
        """Return the layers of neurons in order; one that was written out step by step is one."""
        proto = ir.to_proto(self.graph)
        known = set(neuron_layers(make_plan(self.graph, self.options.target)))
        runs = [run for run in runs_of(proto.graph.node).values() if run[0].name in known]
        runner = Runner(proto, [run[0].output[0] for run in runs], custom_ops=False)
        (batch,) = self.dataset.batches(1, 1)
        values = runner.run(batch.inputs)
        nodes = {node.name or "": node for node in self.graph.graph}
        found = []
        for run in runs:
            neurons = int(np.prod(values[run[0].output[0]].shape[2:], dtype=np.int64))
            states = _states_of(nodes[run[0].name])
            found.append(StateLayer(tuple(node.name for node in run), neurons * states))
        return found

    def measure(self, chosen: Mapping[str, LayerOptions]) -> list[Measures]:
        """Make the model with these widths and run it: on held-out samples, then on others to test.

        Args:
            chosen: widths by layer.

        Raises:
            NumericalError: values for which no faithful integers exist.
        """
        layers = dict(self.options.layers)
        for name, own in chosen.items():
            layers[name] = layers.get(name, LayerOptions()).with_other(own)
        narrow = any(own.state_bits is not None for own in layers.values())
        made = convert_model(
            self.graph,
            self.calibration,
            replace(self.options, layers=layers),
            source_sha256="",
            calibration_sha256="",
            dataset=self.dataset,
            samples=self.samples,
            threads=self.threads,
            # States that are as wide as they need change no integer.
            shapes=self._shapes() if narrow else None,
        )
        sets = [self.held_out, *([] if self.test is None else [self.test])]
        return [self._measured(made.model, dataset) for dataset in sets]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs of one sample."""
        (batch,) = self.dataset.batches(1, 1)
        feeds = Runner(ir.to_proto(self.graph), custom_ops=False).feeds(batch.inputs)
        return {name: values.shape for name, values in feeds.items()}

    def _measured(self, model: onnx.ModelProto, dataset: Dataset) -> Measures:
        scores = Power("a score")

        def observe(judged: Judged) -> None:
            if judged.scores is not None and judged.scores_float is not None:
                scores.add(judged.scores_float, judged.scores)

        found = evaluate_model(
            model,
            dataset,
            reference=ir.to_proto(self.graph),
            observe=observe,
            **self.evaluation,
        )
        worst = found.worst("rate_emd")
        return Measures(
            error=scores.ratio,
            spike_agreement=found.spike_agreement,
            prediction_agreement=found.prediction_agreement or 0.0,
            rate_emd=None if worst is None else worst.rate_emd,
            accuracy=found.accuracy,
            drop=found.drop,
        )


def _states_of(node: ir.Node) -> int:
    """Return how many states each neuron of a layer has."""
    neuron = schemas()[node.op_type].neuron
    choices = {c.name: int_attribute(node, c.name, c.default) for c in neuron.choices}
    return len(neuron.states_in_use(choices))
