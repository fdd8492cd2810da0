"""What an operation makes of the values that flow into it, whatever says the operation.

The rules of the lowering read ONNX nodes, the torch modules read themselves; both ask here which
group a synapse opens, what a neuron adds to it, and what becomes of bounds and factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnquant.errors import ModelError
from snnquant.lowering.constants import along_features
from snnquant.lowering.flow import Flow, Group, Kind, StaysFloat, join
from snnquant.lowering.integers import to_rows
from snnquant.lowering.plan import Named, Plan
from snnquant.lowering.terms import Constant, Term
from snnquant.neurons import NeuronModel, Quantization, Reset
from snnquant.numerics import FLOAT32_EXACT, INT32, FloatArray, IntArray
from snnquant.target import Target


def synapse(
    plan: Plan,
    key: Named,
    source: Flow,
    weight: FloatArray,
    bias: FloatArray | None,
    axis: int,
    spatial: int,
) -> Flow:
    """Return the current of weights applied to integers: it opens a group of its own.

    Args:
        plan: takes the weights under ``key``.
        key: the synapse.
        source: flow of the input (INTEGER).
        weight: real weights.
        bias: one value per output channel, or one for all.
        axis: axis of ``weight`` that counts output channels.
        spatial: number of axes behind the channels in the output.
    """
    rows = to_rows(weight, axis)
    group = plan.new_group(key.name or "synapse")
    plan.terms[key] = Term(
        rows * source.factor,
        coherence=source.coherence,
        reach=source.reach,
        bits=plan.weight_bits_of(key.name),
    )
    group.terms.append(plan.terms[key])
    if bias is not None:
        if bias.size not in (1, len(rows)) or (bias.size > 1 and bias.shape[-1] != bias.size):
            raise StaysFloat("its bias is not one value per output channel")
        group.constants.append(Constant(bias.reshape(-1), np.arange(len(rows))))
    channels = np.arange(len(rows)).reshape(-1, *([1] * spatial))
    return Flow(Kind.CURRENT, group=group, channels=channels)


@dataclass(frozen=True)
class Neuron:
    """What the lowering must know of one layer of neurons.

    Attributes:
        key: the layer; its name is the neuron's.
        model: definition of the neuron.
        parameters: real values by name: one, per channel, or per neuron; those that only set
            initial states may be absent.
        choices: structural choices by name.
        rank: number of feature axes of the current (behind time and batch); None: not known.
        recurrent_weight: ``[N, N]``, from neuron to neuron; None: no recurrence.
    """

    key: Named
    model: NeuronModel
    parameters: Mapping[str, FloatArray]
    choices: Mapping[str, int]
    rank: int | None
    recurrent_weight: FloatArray | None = None

    @property
    def name(self) -> str:
        """Name for reports and messages."""
        return self.key.name or self.model.name

    @property
    def most_spikes(self) -> int:
        """Most spikes that one step can give."""
        return int(self.choices.get("max_spikes", 1))


def neuron(plan: Plan, layer: Neuron, source: Named, flow: Flow) -> tuple[Flow, Flow]:
    """Return the flows of a neuron's spikes and of its membranes; it adds to its current's group.

    Args:
        plan: rates, target, groups.
        layer: the neuron.
        source: the value that is its current.
        flow: flow of the current; a float one gets a group of its own.

    Raises:
        ModelError: the target's arithmetic has no form for the neuron.
        StaysFloat: the neuron cannot be carried in integers.
    """
    check_target(layer, plan.target)
    group = _group_of(plan, layer, source, flow)
    plan.neurons[layer.key] = group
    if flow.channels is not None and (layer.rank is None or flow.channels.ndim > layer.rank):
        # Constants differ along features only, not along time or batch.
        group.per_tensor = True
    rank = max(layer.rank or 1, 1)
    factor = flow.factor if flow.kind is Kind.CURRENT else 1.0
    for parameter in layer.model.parameters:
        if parameter.name not in layer.parameters:
            continue
        on_membrane = parameter.rule in (Quantization.MEMBRANE, Quantization.THRESHOLD)
        if on_membrane and not parameter.limit:
            # The group counts in units of its current, of which a mean over n values is an n-th.
            values = along_features(layer.parameters[parameter.name], rank) / factor
            of_spike = "v_threshold" in (parameter.name, parameter.default_from)
            group.constants.append(Constant(values, flow.channels, threshold=of_spike))
    spikes = plan.spikes(layer.name, layer.most_spikes)
    if layer.recurrent_weight is not None:
        _add_recurrence(plan, layer, group, flow, spikes)
    membrane = Flow(Kind.CURRENT, factor, group=group, channels=flow.channels, membrane=True)
    return spikes, membrane


def check_target(layer: Neuron, target: Target) -> None:
    """Raise ModelError for what the target's arithmetic has no form for."""

    def refuse(what: str) -> None:
        raise ModelError(
            f"neuron '{layer.name}' {what}, which target {target.name} does not have; "
            "choose another target or retrain with what it has"
        )

    if "reset" in layer.choices:
        reset = Reset(layer.choices["reset"])
        if reset not in target.resets:
            refuse(f"resets {reset.name}")
        if layer.choices.get("reset_after_leak", 0) and not target.reset_after_leak:
            refuse("resets after the leak")
        if layer.most_spikes > target.max_spikes:
            refuse("fires several spikes per step")
    if layer.choices.get("refractory", 0):
        steps = float(layer.parameters["refractory_steps"].max(initial=0))
        if steps > target.max_refractory_steps:
            refuse(f"is refractory for {steps:g} steps")


def _group_of(plan: Plan, layer: Neuron, source: Named, flow: Flow) -> Group:
    """Return the group of the neuron's current, made here if no synapse made one."""
    if flow.kind is Kind.CURRENT and flow.group is not None:
        return flow.group.root()
    group = plan.new_group(layer.name)
    if flow.kind is Kind.INTEGER:
        group.terms.append(Term(np.array([[flow.factor]]), reach=flow.reach, bits=plan.weight_bits))
        return group
    entry = plan.scales.get(plan.scale_name(source))
    group.largest_current = 1.0 if entry is None else entry.scale * max(-entry.low, entry.high)
    plan.float_currents.append(source)
    return group


def _add_recurrence(plan: Plan, layer: Neuron, group: Group, flow: Flow, spikes: Flow) -> None:
    """Let the recurrent weights share the group's scale, per neuron where channels are neurons."""
    weight = layer.recurrent_weight
    if weight is None:
        return
    if flow.membrane:
        raise StaysFloat("it is recurrent on a membrane")
    if flow.kind is Kind.CURRENT and flow.factor != 1.0:
        raise StaysFloat("it is recurrent on an averaged current")
    plan.terms[layer.key] = Term(
        weight.T,
        coherence=spikes.coherence,
        reach=spikes.reach,
        bits=plan.weight_bits_of(layer.key.name),
    )
    group.terms.append(plan.terms[layer.key])
    if layer.rank != 1 or flow.channels is None or flow.channels.size != len(weight):
        group.per_tensor = True


def sum_of(name: str, a: Flow, b: Flow, sign: int = 1) -> Flow:
    """Return ``a + b`` (or ``a - b``): integers of one factor, or currents of one group.

    Raises:
        StaysFloat: the two have no common step.
    """
    if Kind.FLOAT in (a.kind, b.kind):
        raise StaysFloat("one side is float")
    if a.kind is Kind.INTEGER and b.kind is Kind.INTEGER:
        factor = min(a.factor, b.factor)
        a, b = _in_steps_of(factor, a), _in_steps_of(factor, b)
        low, high = (
            (a.low + b.low, a.high + b.high) if sign > 0 else (a.low - b.high, a.high - b.low)
        )
        return Flow(Kind.INTEGER, factor, low, high)
    if a.kind is Kind.CURRENT and b.kind is Kind.CURRENT:
        if a.factor != b.factor:
            raise StaysFloat("its sides are currents of different scales")
        return added_currents(name, a, b)
    current, spikes = (a, b) if a.kind is Kind.CURRENT else (b, a)
    if current.group is None:
        raise StaysFloat("its current has no scale")
    row = np.array([[spikes.factor / current.factor]])
    current.group.root().terms.append(Term(row, every_channel=True, reach=spikes.reach))
    return current


def added_currents(name: str, a: Flow, b: Flow) -> Flow:
    """Return the sum of two currents, in the finer of their steps; they share a scale."""
    group = join(name, [a, b])
    factor = min(a.factor, b.factor)
    group.summands = max(group.summands, math.ceil(max(a.factor, b.factor) / factor))
    channels = _wider(a.channels, b.channels)
    membrane = a.membrane or b.membrane
    return Flow(Kind.CURRENT, factor, group=group, channels=channels, membrane=membrane)


def _in_steps_of(factor: float, flow: Flow) -> Flow:
    """Return an integer flow counted in finer steps; only a whole number of them will do."""
    ratio = flow.factor / factor
    if ratio != round(ratio) or ratio > 2**16:
        raise StaysFloat("its sides are integers of different scales")
    return replace(flow, factor=factor, low=flow.low * int(ratio), high=flow.high * int(ratio))


def _wider(a: IntArray | None, b: IntArray | None) -> IntArray | None:
    if a is None or b is None:
        return None
    return a if a.ndim >= b.ndim else b


def with_constant(flow: Flow, offset: FloatArray, sign: int = 1, negated: bool = False) -> Flow:
    """Return the sum with a constant: a bias on a current, whole steps on an integer.

    Args:
        flow: of the data.
        offset: the constant.
        sign: -1 where one side is subtracted.
        negated: the data is what is subtracted.

    Raises:
        StaysFloat: the constant is no bias and no whole number of steps.
    """
    if flow.kind is Kind.CURRENT and flow.group is not None:
        if negated:
            raise StaysFloat("it subtracts a current from a constant")
        flow.group.root().constants.append(Constant(offset / flow.factor, flow.channels))
        if offset.ndim > (0 if flow.channels is None else flow.channels.ndim) and offset.size > 1:
            channels = flow.channels
            full = np.broadcast_shapes(offset.shape, () if channels is None else channels.shape)
            channels = None if channels is None else np.broadcast_to(channels, full)
            return replace(flow, channels=channels)
        return flow
    if flow.kind is not Kind.INTEGER or offset.size != 1:
        raise StaysFloat("it adds a constant to values that are no currents")
    steps = float(offset.reshape(-1)[0]) / flow.factor
    if steps != round(steps) or abs(steps) > 2**20:
        raise StaysFloat("its constant is not a whole number of steps")
    whole = int(steps)
    if negated:
        return Flow(Kind.INTEGER, flow.factor, whole - flow.high, whole - flow.low)
    whole *= sign
    return replace(flow, low=flow.low + whole, high=flow.high + whole)


def times_constant(flow: Flow, factor: float, divide: bool = False) -> Flow:
    """Return integers times (or divided by) a positive constant: only their real value changes.

    So it is for the membranes of a read-out; a current in front of a neuron must stay on its scale.
    """
    if not (flow.kind is Kind.INTEGER or flow.membrane) or not factor > 0:
        raise StaysFloat("its factor is not one positive constant on integers")
    return replace(flow, factor=flow.factor / factor if divide else flow.factor * factor)


def product_of(a: Flow, b: Flow) -> Flow:
    """Return the elementwise product of two integers (of spikes: a logical AND)."""
    if a.kind is not Kind.INTEGER or b.kind is not Kind.INTEGER:
        raise StaysFloat("it multiplies values that are no integers")
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    if max(map(abs, corners)) > INT32.high:
        raise StaysFloat("its product can exceed 32 bits")
    return Flow(Kind.INTEGER, a.factor * b.factor, min(corners), max(corners))


def average_of(flow: Flow, size: int, most: int = FLOAT32_EXACT - 1) -> Flow:
    """Return the mean over ``size`` integers of one window: their sum, at a smaller factor.

    Args:
        flow: of the integers.
        size: number of values of a window.
        most: largest sum that whoever adds up can hold.

    Raises:
        StaysFloat: it averages currents, or the sums are too large.
    """
    if flow.kind is not Kind.INTEGER:
        raise StaysFloat("it averages currents; average the spikes in front of the synapse")
    low, high = flow.low * size, flow.high * size
    if max(abs(low), abs(high)) > most:
        raise StaysFloat(f"its sums can exceed 2**{most.bit_length()}")
    # Sums of size independent values: the mean grows as size, the deviation as its root.
    coherence = flow.coherence * size
    return Flow(Kind.INTEGER, flow.factor / size, min(low, 0), max(high, 0), coherence=coherence)


def total_of(flow: Flow, count: int, *, mean: bool) -> Flow:
    """Return the sum, or the mean, of ``count`` integers along whole axes."""
    factor = flow.factor / count if mean else flow.factor
    return Flow(Kind.INTEGER, factor, flow.low * count, flow.high * count)


def concatenated(name: str, flows: Sequence[Flow]) -> Flow:
    """Return values put side by side: integers need one factor, currents one scale."""
    kinds = {flow.kind for flow in flows}
    if kinds == {Kind.INTEGER}:
        if len({flow.factor for flow in flows}) > 1:
            raise StaysFloat("its inputs are integers of different scales")
        low, high = min(f.low for f in flows), max(f.high for f in flows)
        return Flow(Kind.INTEGER, flows[0].factor, low, high)
    if kinds == {Kind.CURRENT}:
        if len({(flow.factor, flow.membrane) for flow in flows}) > 1:
            raise StaysFloat("its inputs are currents of different scales")
        group = join(name, flows, same_place=False)
        group.per_tensor = True
        return replace(flows[0], group=group, channels=None)
    raise StaysFloat("it joins integers and float values")
