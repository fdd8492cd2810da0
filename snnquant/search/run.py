"""Layer after layer: measure what comes in, choose grid, weights and biases, correct the spikes.

Every layer is measured behind the layers that were chosen before it, in integers, so that it can
answer to their errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from snnquant.data import Dataset
from snnquant.instrument import Runner
from snnquant.lowering.constants import parameters_of
from snnquant.lowering.decided import Coarser, Decided, make_coarser
from snnquant.lowering.emission import Emission
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Kind
from snnquant.lowering.plan import InputScale, Plan
from snnquant.lowering.rule import Rule, first
from snnquant.model_file import last_layers, neuron_nodes
from snnquant.ops.schema import schemas
from snnquant.progress import Progress, silent
from snnquant.quantize import QuantizedModel, quantize_model
from snnquant.quantize_options import QuantizeOptions, plan_model
from snnquant.search.correction import NeuronTrials, correct
from snnquant.search.layers import SearchLayer, search_layers
from snnquant.search.leak import STARTS, WORTH, leak_matters, search_levels
from snnquant.search.moments import Moments
from snnquant.search.rows import Axes, SynapseRows, find_axes, input_of
from snnquant.search.segments import Segments
from snnquant.search.weights import choose_weights

#: Samples that are looked at where nothing else is said.
DEFAULT_SAMPLES = 256
#: Samples in a batch, at most.
_BATCH = 32
#: Rows of inputs that the moments of one synapse are of, about.
_ROWS = 1 << 15
#: Bytes of currents on which thresholds are tried.
_TRIAL_BYTES = 1 << 27
#: Share of the batches that the search for thresholds does not see.
_HELD_OUT = 0.25
#: Inputs of one weight matrix up to which second moments are measured; they are squares of it.
_MOST_INPUTS = 4096


@dataclass
class SearchResult:
    """What a search decided.

    Attributes:
        decided: for :func:`~snnquant.quantize.quantize_model`, by node name.
        layers: for reports, one entry per layer in the order of the search.
    """

    decided: dict[str, Decided] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)


class _Names(Emission):
    """Notes what synapses and neurons of the integer model read."""

    def __init__(self) -> None:
        self.read: dict[str, str] = {}

    def emit(self, rule: Rule, node: ir.Node, out: Emitter) -> None:
        """Write a node, and note the first input of what has its name now."""
        before = len(out.tape.nodes)
        rule.emit(node, out)
        for made in out.tape.nodes[before:]:
            if made.name == node.name and made.inputs[0] is not None:
                self.read[node.name or ""] = made.inputs[0].name or ""


class Search:
    """A search under way: the layers in order, and what was decided of those in front.

    Args:
        model: canonical float graph.
        scales: calibrated input scales by value name.
        options: target, widths, method of rounding.
        rates: calibrated firing rates by neuron name.
        dataset: calibration samples.
        samples: use at most the first so many.
        threads: threads of ONNX Runtime.
        coarser: bits by which membranes are coarser than they would be, per channel by neuron.

    Attributes:
        plan: what becomes integers, and all weights.
        layers: with weights, each behind all that it receives spikes from.
        result: what was decided so far.
    """

    def __init__(
        self,
        model: ir.Model,
        scales: Mapping[str, InputScale],
        options: QuantizeOptions,
        rates: Mapping[str, float],
        dataset: Dataset,
        samples: int,
        threads: int | None,
        coarser: Coarser,
    ) -> None:
        self.model = model
        self.proto = ir.to_proto(model)
        self.scales = scales
        self.options = replace(options, fuse=False)
        self.rates = rates
        self.coarser = coarser
        self.plan: Plan = plan_model(model, scales, options, rates)
        make_coarser(self.plan, coarser)
        self.layers = search_layers(model, self.plan)
        spiking = [n.name for n in neuron_nodes(self.proto) if _spiking(n.op_type)]
        #: Their spikes are compared across channels, so that no channel is moved for itself.
        self.last = frozenset(last_layers(self.proto, spiking))
        self.result = SearchResult()
        self.made: tuple[QuantizedModel, dict[str, str]] | None = None
        synapses = [node for layer in self.layers for node in layer.synapses]
        inputs = [input_of(node) for node in synapses]
        spikes = neuron_nodes(self.proto)[0].output[0]
        runner = Runner(self.proto, [*inputs, spikes], custom_ops=False, threads=threads)
        fixed = runner.layout.fixed_batch
        total = min(samples, len(dataset))
        size = fixed or max(1, min(_BATCH, total // 8))
        batches = [batch.inputs for batch in dataset.batches(size, total)]
        probe = {key: value[: fixed or 3] for key, value in batches[0].items()}
        steps = len(runner.run(probe)[spikes])
        self.axes: dict[ir.Node, Axes] = find_axes(runner, probe, synapses, steps)
        self.counts = [fixed or len(next(iter(batch.values()))) for batch in batches]
        made, _ = self.quantized()
        feeder = Runner(made.model, threads=threads)
        self.float = Segments(
            [runner.feeds(batch) for batch in batches], custom_ops=False, threads=threads
        )
        self.integer = Segments(
            [feeder.feeds(batch) for batch in batches], custom_ops=True, threads=threads
        )

    def quantized(self) -> tuple[QuantizedModel, dict[str, str]]:
        """Return the model with what was decided so far, and what its nodes read."""
        if self.made is not None:
            return self.made
        names = _Names()
        made = quantize_model(
            self.model,
            self.scales,
            self.options,
            rates=self.rates,
            decided=self.result.decided,
            emission=names,
            coarser=self.coarser,
        )
        self.made = made, names.read
        return self.made

    def decide(self, decided: Mapping[str, Decided]) -> None:
        """Take decisions, which the next model has."""
        self.result.decided |= decided
        self.made = None

    def measured(self, layer: SearchLayer) -> dict[ir.Node, Moments]:
        """Measure what the weights of one layer receive, behind all that was decided."""
        made, read = self.quantized()
        names = [read[node.name or ""] for node in layer.synapses]
        reals = [input_of(node) for node in layer.synapses]
        self.integer.advance(made.model, names)
        self.float.advance(self.proto, reals)
        moments = {
            node: self.moments(layer, node, name, real)
            for node, name, real in zip(layer.synapses, names, reals, strict=True)
            if self.plan.terms[node].rows.shape[1] <= _MOST_INPUTS
        }
        return moments | {
            node: self.recurrent_moments(layer, node)
            for node in layer.recurrent
            if self.plan.terms[node].rows.shape[1] <= _MOST_INPUTS
        }

    def choose(self, layer: SearchLayer, moments: Mapping[ir.Node, Moments]) -> None:
        """Choose everything of one layer from what its weights receive."""
        decided, finding = choose_weights(layer, self.plan, moments, self.options)
        self.decide(decided)
        told: dict[str, Any] = {"name": layer.name, **finding.shares()}
        self.result.layers.append(told | self.correct(layer))

    def moments(self, layer: SearchLayer, node: ir.Node, name: str, real: str) -> Moments:
        """Measure what one synapse receives, in units of its integer inputs."""
        steps = max(1, len(self.float.value(real, 0)) // max(self.counts[0], 1))
        positions = max(1, _ROWS // (sum(self.counts) * steps))
        rows = SynapseRows(node, self.axes[node], positions)
        source = node.inputs[0]
        factor = self.plan.integer(source).factor if source is not None else 1.0
        found: Moments | None = None
        pairs = zip(self.integer.values(name), self.float.values(real), self.counts, strict=True)
        for quantized, floats, count in pairs:
            q, f = rows.of(quantized, count), rows.of(floats, count)
            found = found or Moments(len(q), q.shape[-1])
            found.add(q, f / factor, layer.leaks)
        if found is None:
            raise RuntimeError("a search needs a batch")
        return found

    def recurrent_moments(self, layer: SearchLayer, neuron: ir.Node) -> Moments:
        """Measure what recurrent weights receive: the spikes of the step before, in float."""
        spikes = neuron.outputs[0].name or ""
        found: Moments | None = None
        for values in self.float.peek(self.proto, [spikes]):
            rows = values[spikes].reshape(1, *values[spikes].shape[:2], -1)
            before = np.concatenate([np.zeros_like(rows[:, :1]), rows[:, :-1]], axis=1)
            found = found or Moments(1, before.shape[-1])
            found.add(before, before, layer.leaks)
        if found is None:
            raise RuntimeError("a search needs a batch")
        return found

    def correct(self, layer: SearchLayer) -> dict[str, Any]:
        """Move leak, thresholds and biases of a layer where that helps; return what to tell."""
        if len(layer.neurons) != 1 or not _corrigible(layer, self.plan):
            return {}
        (neuron,) = layer.neurons
        name, synapse = neuron.name or "", layer.synapses[-1].name or ""
        real = parameters_of(neuron, schemas()[neuron.op_type])
        step = self.plan.flow(first(neuron)).scale() / 2.0**layer.group.current_shift
        leaks = leak_matters(neuron, real, step, self.options.target)
        if name in self.last and not leaks:
            return {}
        trials = self.trials(layer)
        if trials is None:
            return {}
        scale = np.asarray(layer.group.scale, np.float64)
        known = self.result.decided.get(name)
        base = known or Decided(scale, 1, layer.group.current_shift)

        def centred(share: float) -> NeuronTrials:
            self.decide({name: replace(base, centred=share)})
            return trials.of_model(self.quantized()[0].model)

        alone = name not in self.last
        before, found = trials.as_it_is(), correct(trials, alone=alone)
        if leaks:
            share, moved = search_levels(trials, centred)
            other = correct(moved, STARTS, alone=alone)
            if other.beats(found, WORTH):
                found, base = other, replace(base, centred=share)
            self.result.decided.pop(name)
            self.decide({} if known is None else {name: known})
        if not found.moves and not base.centred:
            return {}
        factor, fed = found.threshold_factor, self.result.decided[synapse]
        self.decide(
            {
                name: replace(base, threshold_factor=factor),
                synapse: fed.with_bias(found.current_shift * scale),
            }
        )
        return {
            "distance": found.distance,
            "distance_before": before.distance,
            "threshold_factor": [float(factor.min()), float(factor.max())],
            "centred": base.centred,
        }

    def trials(self, layer: SearchLayer) -> NeuronTrials | None:
        """Return the layer's neuron ready to run; None: there are too few samples for that."""
        (neuron,) = layer.neurons
        made, read = self.quantized()
        current, spikes = read[neuron.name or ""], neuron.outputs[0].name or ""
        batches, wanted, size = [], [], 0
        held = [value.name for value in made.model.graph.input]
        pairs = zip(
            self.integer.peek(made.model, [current]),
            self.float.peek(self.proto, [spikes]),
            strict=True,
        )
        for index, (integers, floats) in enumerate(pairs):
            inputs = {k: self.integer.value(k, index) for k in held if k in self.integer.known()}
            batches.append({**inputs, **integers})
            wanted.append(floats[spikes].astype(np.uint8))
            size += integers[current].nbytes + wanted[-1].nbytes
            if size > _TRIAL_BYTES and len(batches) > 1:
                break
        held_out = max(1, round(len(batches) * _HELD_OUT))
        if held_out == len(batches):
            return None
        name = neuron.name or ""
        return NeuronTrials(made.model, name, batches, wanted, layer.leaks, held_out)


def search_model(
    model: ir.Model,
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
    dataset: Dataset,
    *,
    samples: int = DEFAULT_SAMPLES,
    threads: int | None = None,
    progress: Progress = silent,
    coarser: Coarser | None = None,
) -> SearchResult:
    """Choose the integers of all layers, one after the other.

    Args:
        model: canonical float graph.
        scales: calibrated input scales by value name.
        options: target, widths, method of rounding.
        rates: calibrated firing rates by neuron name.
        dataset: calibration samples.
        samples: use at most the first so many.
        threads: threads of ONNX Runtime.
        progress: told after every layer.
        coarser: bits by which membranes are coarser than they would be, per channel by neuron.
    """
    search = Search(model, scales, options, rates, dataset, samples, threads, coarser or {})
    progress(0, len(search.layers))
    for done, layer in enumerate(search.layers, 1):
        search.choose(layer, search.measured(layer))
        progress(done, len(search.layers))
    return search.result


def _corrigible(layer: SearchLayer, plan: Plan) -> bool:
    """Whether the layer's neuron has a threshold, and its current the channels of the synapse."""
    neuron = layer.neurons[0]
    source = neuron.inputs[0]
    if not _spiking(neuron.op_type) or source is None:
        return False
    flow = plan.flow(source)
    if flow.kind is not Kind.CURRENT or flow.channels is None or flow.factor != 1.0:
        return False
    channels = len(plan.terms[layer.synapses[-1]].rows)
    # Channels have to be the first axis of the features, where shifts are added.
    first = flow.channels.shape[0] if flow.channels.ndim else 0
    rank = None if source.shape is None else len(source.shape) - 2
    return first == channels and rank == flow.channels.ndim


def _spiking(op_type: str) -> bool:
    return schemas()[op_type].neuron.spiking
