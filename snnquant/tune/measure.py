"""Integer models with the widths of a configuration, and how far they are from the float model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
import onnx_ir as ir

from snnquant.analyze.meters import Power
from snnquant.calibration import Calibration
from snnquant.convert_model import convert_model
from snnquant.data import Dataset
from snnquant.evaluate import Judged, evaluate_model
from snnquant.lowering.layer_options import LayerOptions
from snnquant.lowering.plan import make_plan
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

    def measure(self, widths: Mapping[str, int]) -> list[Measures]:
        """Make the model with these widths and run it: on held-out samples, then on others to test.

        Args:
            widths: of the weights, by layer.

        Raises:
            NumericalError: values for which no faithful integers exist.
        """
        layers = dict(self.options.layers)
        for name, bits in widths.items():
            layers[name] = layers.get(name, LayerOptions()).with_other(LayerOptions(bits))
        made = convert_model(
            self.graph,
            self.calibration,
            replace(self.options, layers=layers),
            source_sha256="",
            calibration_sha256="",
            dataset=self.dataset,
            samples=self.samples,
            threads=self.threads,
        )
        sets = [self.held_out, *([] if self.test is None else [self.test])]
        return [self._measured(made.model, dataset) for dataset in sets]

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
