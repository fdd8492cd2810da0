"""Finds out how a model is wired, and decides the scales of all its synapses and neurons.

The decisions are the lowering's own: the same plan, groups and choice of scales as for an ONNX
graph, fed by following the model's forward instead of walking over nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnquant.calibration import SPIKES
from snnquant.lowering.decided import choose_scales
from snnquant.lowering.flow import Group
from snnquant.lowering.plan import InputScale, Plan, entering
from snnquant.nn.quantized.follower import Follower
from snnquant.nn.quantized.mode import Mode
from snnquant.nn.quantized.module import QModule
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.running import NeuronSettings
from snnquant.nn.quantized.synapse import QSynapse, SynapseSettings
from snnquant.nn.quantized.tracker import Tracker, root_of
from snnquant.nn.quantized.wire import Wire, without_data
from snnquant.quantize_options import QuantizeOptions


@dataclass(frozen=True)
class Known:
    """What is known of the data.

    Attributes:
        inputs: per synapse path, how its input would enter the integers.
        first: how the model's own input would enter.
        rates: firing rate per neuron path.
    """

    inputs: Mapping[str, InputScale]
    first: InputScale
    rates: Mapping[str, float]


@dataclass(frozen=True)
class Decisions:
    """What was decided for every layer that the model uses."""

    synapses: dict[QSynapse, SynapseSettings]
    neurons: dict[QNeuron, list[NeuronSettings]]


def q_modules(model: nn.Module) -> dict[str, QModule]:
    """Return the quantizable modules by path, and tell each its path."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, QModule):
            module.path = path
            found[path] = module
    return found


def decide(
    model: nn.Module, options: QuantizeOptions, known: Known, example: tuple[Any, ...] | None
) -> Decisions:
    """Follow a model and choose its scales.

    Args:
        model: with quantizable modules.
        options: target and widths.
        known: scales and firing rates from data, as far as there are any.
        example: arguments of forward; None: follow it without data.

    Raises:
        UsageError: forward cannot be followed, or does what has no integer form.
        ModelError: a neuron that the target does not have.
        NumericalError: weights or constants are not finite.
    """
    plan = Plan(
        options.target,
        options.input_bits,
        options.weight_bits,
        known.inputs,
        known.rates,
    )
    tracker = _follow(model, plan, known, example)
    plan.drop_merged()
    choose_scales(plan, options.per_channel, {})
    return _decisions(tracker, options)


def _follow(model: nn.Module, plan: Plan, known: Known, example: tuple[Any, ...] | None) -> Tracker:
    tracker = Tracker(plan)
    arguments = (Wire(tracker),) if example is None else example
    first = next(a for a in arguments if isinstance(a, (Tensor, Wire)))
    if known.first.spikes:
        flow = entering(known.first)
        tracker.assign(first, flow)
        plan.points[tracker.token(first)] = flow
    with following(model, tracker), torch.no_grad():
        if example is not None:
            with tracker:
                tracker.finish(model(*arguments))
            return tracker
        remedy = "give quantize(example_input=...) a batch, or collect_q_params() and run one"
        with without_data(f"{type(model).__name__}: its forward", remedy):
            tracker.finish(model(*arguments))
    return tracker


@contextmanager
def following(model: nn.Module, tracker: Follower) -> Iterator[None]:
    """Let all quantizable modules report to a tracker, in eval mode; undone at the end.

    What forward leaves in the model (``self.v = v``) is taken back, too: it is no state of anybody.
    """
    modules = q_modules(model).values()
    kept = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    model.eval()
    try:
        for module in modules:
            module.mode = Mode.FOLLOW
            module.follow(tracker)
        yield
    finally:
        for owner, attributes, buffers in kept:
            vars(owner).clear()
            vars(owner).update(attributes)
            owner._buffers.clear()
            owner._buffers.update(buffers)


def _decisions(tracker: Tracker, options: QuantizeOptions) -> Decisions:
    plan = tracker.plan
    reached = {id(group) for group in tracker.groups_with_neurons()}
    synapses = {}
    for synapse, use in tracker.found.synapses.items():
        group = root_of(use.current)
        entry = plan.scales.get(synapse.path, SPIKES)
        term = plan.terms[tracker.key(synapse, synapse.path)]
        synapses[synapse] = SynapseSettings(
            factor=use.source.factor,
            low=use.source.low,
            high=use.source.high,
            encoder=use.enters and not entry.spikes,
            enters=use.enters,
            bits=options.weight_bits,
            scale=_chosen(group),
            gain=term.gain,
            current_shift=group.current_shift,
            group=group.name,
            reads_out=id(group) not in reached,
        )
    neurons = {
        neuron: [
            NeuronSettings(
                group=root_of(use.current).name,
                rank=use.rank,
                scale=use.current.scale(),
                current_shift=root_of(use.current).current_shift,
                target=options.target,
                bits=options.weight_bits,
                gain=_gain(tracker, neuron),
            )
            for use in uses
        ]
        for neuron, uses in tracker.found.neurons.items()
    }
    return Decisions(synapses, neurons)


def _gain(tracker: Tracker, neuron: QNeuron) -> int:
    term = tracker.plan.terms.get(tracker.key(neuron, neuron.path))
    return 1 if term is None else term.gain


def _chosen(group: Group) -> Any:
    if group.scale is None:
        raise RuntimeError(f"group '{group.name}' has no scale")
    return group.scale
