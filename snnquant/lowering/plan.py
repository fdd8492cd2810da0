"""First walk over the canonical graph: what becomes an integer, what shares a scale, what stays.

The walk needs no data. With calibrated input scales it also gives every factor and bound.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import onnx_ir as ir

from snnquant.lowering.flow import FLOAT, Flow, Group, Kind, StaysFloat
from snnquant.lowering.layer_options import LayerOptions
from snnquant.lowering.terms import Term
from snnquant.numerics import FloatArray, IntRange
from snnquant.ops.schema import DOMAIN
from snnquant.passes.edit import (
    constant,
    expanded_constant,
    is_state,
    picked_steps,
    state_inputs,
)
from snnquant.rounding.weight_grid import DEFAULT_COHERENCE, coherence_of
from snnquant.target import Target

#: Largest integer that spikes, counts and values of input width can be.
MOST_COUNT = 255
_GOLDEN = (5**0.5 - 1) / 2


class Named(Protocol):
    """A value or a layer, known by identity; the name is for scales, rates and reports."""

    @property
    def name(self) -> str | None:
        """Name within its model."""


@dataclass(frozen=True)
class InputScale:
    """How an analog value enters the integers: ``clamp(round(x / scale), -2**(bits-1), ...)``.

    Attributes:
        scale: real value of one step.
        low, high: integers that can occur.
        coherence: ``mean**2 / variance`` of the values.
        spikes: the values are spikes or counts already, and the scale is 1.
    """

    scale: float
    low: int
    high: int
    coherence: float = DEFAULT_COHERENCE
    spikes: bool = False


@dataclass(frozen=True)
class LeftFloat:
    """A node that stays float, and why."""

    node: str
    op: str
    reason: str


@dataclass
class Plan:
    """The verdicts of the walk.

    Attributes:
        target: arithmetic profile; neurons that it cannot express are refused.
        input_bits, weight_bits: widths of analog inputs and of weights.
        scales: calibrated input scales by value name; a default stands in where one is missing.
        rates: calibrated firing rates by neuron name, where known.
        flows: verdict per value; values that carry no network data (shapes) are absent.
        points: values that are quantized where they enter a synapse or a neuron, in order.
        groups: groups in order of their first synapse.
        left: nodes that stay float.
        terms: weights per synapse or recurrent neuron.
        neurons: group of each neuron's current.
        state_inputs: inputs of the graph that are nothing but states of neurons.
        steps_of: values that are single steps of another, which gives all of them one scale.
        threshold_factors: by neuron name, what its threshold to fire is multiplied by.
        layers: widths of single layers, by name.
        centred: by neuron name, by which share its levels are moved as rounding moves its membrane.
        analog: values between layers that have no common step become integers too, on steps of
            their own.
        made: values that come out of their node on steps of their own.
        unknown: steps that are not calibrated are taken to be all different.
    """

    target: Target
    input_bits: int
    weight_bits: int
    scales: Mapping[str, InputScale] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    flows: dict[Named, Flow] = field(default_factory=dict)
    points: dict[Named, Flow] = field(default_factory=dict)
    float_currents: list[Named] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    left: list[LeftFloat] = field(default_factory=list)
    terms: dict[Named, Term] = field(default_factory=dict)
    neurons: dict[Named, Group] = field(default_factory=dict)
    state_inputs: frozenset[Named] = frozenset()
    steps_of: dict[Named, str] = field(default_factory=dict)
    threshold_factors: dict[str, FloatArray] = field(default_factory=dict)
    layers: Mapping[str, LayerOptions] = field(default_factory=dict)
    centred: dict[str, float] = field(default_factory=dict)
    analog: bool = False
    made: set[Named] = field(default_factory=set)
    unknown: bool = False

    def flow(self, value: Named | None) -> Flow:
        """Return the verdict on a value (FLOAT for constants and what is unknown)."""
        return FLOAT if value is None else self.flows.get(value, FLOAT)

    def integer(self, value: Named) -> Flow:
        """Return the value as an integer flow, quantizing it here if it is none yet."""
        flow = self.flow(value)
        return flow if flow.kind is Kind.INTEGER else self._point(value)

    def narrow(self, value: Named, most: int = 0) -> Flow:
        """Return the value as an integer flow of input width, or one of at most this magnitude."""
        flow = self.flow(value)
        small = flow.kind is Kind.INTEGER and flow.reach <= max(most, MOST_COUNT)
        return flow if small else self._point(value)

    def is_narrowed(self, value: Named) -> bool:
        """Whether some readers of integers take them on other steps than they are on."""
        known = self.flow(value)
        return known.kind is not Kind.FLOAT and self.points.get(value, known) is not known

    def rescales(self, flow: Flow) -> bool:
        """Whether integers come to the steps of a current by a real factor, not by whole steps."""
        return self.analog and flow.kind is Kind.INTEGER and flow.reach > MOST_COUNT

    def make(self, value: Named, verdict: StaysFloat) -> Flow:
        """Return the flow of a value that its node brings to steps of its own.

        Raises:
            StaysFloat: the verdict, where values between layers are not to be.
        """
        if not self.analog:
            raise verdict
        self.made.add(value)
        return self._point(value)

    def _point(self, value: Named) -> Flow:
        """Return the flow of a value that is quantized here, on calibrated steps."""
        if value not in self.points:
            limits = IntRange.signed(self.input_bits)
            entry = self.scales.get(self.scale_name(value))
            if entry is None:
                # No two of these, and no whole number of one, make another.
                step = 1 + (len(self.points) + 1) * _GOLDEN % 1 if self.unknown else 1.0
                entry = InputScale(step, limits.low, limits.high)
            self.points[value] = entering(entry)
        return self.points[value]

    def scale_name(self, value: Named) -> str:
        """Return the name under which a value is calibrated: its own, if it has a scale."""
        own = value.name or ""
        return own if own in self.scales else self.steps_of.get(value, own)

    def entries(self) -> list[str]:
        """Return the names of all values that need a calibrated scale."""
        return [self.scale_name(value) for value in (*self.points, *self.float_currents)]

    def weight_bits_of(self, name: str | None) -> int:
        """Return the width of the weights of a layer."""
        own = self.layers.get(name or "")
        return self.weight_bits if own is None or own.weight_bits is None else own.weight_bits

    def spikes(self, name: str, most: int) -> Flow:
        """Return the flow of a neuron's spikes, 0 to ``most`` per step."""
        rate = self.rates.get(name)
        known = DEFAULT_COHERENCE if rate is None else coherence_of(rate, rate * (1 - rate))
        return Flow(Kind.INTEGER, 1.0, 0, most, coherence=known)

    def drop_merged(self) -> None:
        """Keep only the groups that no other took in; for the end of a walk."""
        self.groups = [group for group in self.groups if group.merged_into is None]

    def new_group(self, name: str) -> Group:
        """Return a new group of synapses."""
        group = Group(name)
        self.groups.append(group)
        return group


def make_plan(
    model: ir.Model,
    target: Target,
    scales: Mapping[str, InputScale] | None = None,
    *,
    rates: Mapping[str, float] | None = None,
    input_bits: int | None = None,
    weight_bits: int | None = None,
    layers: Mapping[str, LayerOptions] | None = None,
    keep_float: Collection[str] = (),
    float_spikes: Mapping[str, InputScale] | None = None,
    analog: bool = True,
) -> Plan:
    """Walk a canonical graph and return the plan.

    Args:
        model: canonical float graph.
        target: arithmetic profile.
        scales: calibrated input scales by value name, where known.
        rates: calibrated firing rates by neuron name, where known.
        input_bits: width of analog inputs; default: the target's.
        weight_bits: width of weights; default: the target's.
        layers: widths of single layers, by name.
        keep_float: names of nodes that are not to become integers.
        float_spikes: how the spikes of neurons that stay float enter the integers, by value name;
            what follows them is then as it is behind integer neurons.
        analog: values between layers that have no common step become integers too.

    Raises:
        ModelError: a neuron that the target cannot express.
    """
    from snnquant.lowering import RULES  # the rules need Plan for their own definition

    plan = Plan(
        target,
        input_bits or target.input_bits,
        weight_bits or target.weight_bits,
        scales or {},
        rates or {},
        layers=layers or {},
        analog=analog,
        unknown=True,
    )
    plan.state_inputs = frozenset(state_inputs(model.graph))
    for step, name in picked_steps(model.graph).items():
        plan.steps_of[step] = name
    for value in model.graph.inputs:
        if value in plan.state_inputs:
            continue
        entry = plan.scales.get(value.name or "")
        if entry is not None and entry.spikes:
            plan.flows[value] = entering(entry)
            plan.points[value] = plan.flows[value]
    for node in model.graph:
        if node.name in keep_float:
            plan.left.append(LeftFloat(node.name or "", node.op_type, "it is to stay as it is"))
            for value in node.outputs:
                known = (float_spikes or {}).get(value.name or "")
                if known is not None:
                    plan.flows[value] = plan.points[value] = entering(known)
            continue
        rule = RULES.get((node.domain, node.op_type))
        carried = [plan.flow(v).kind is not Kind.FLOAT for v in node.inputs if v is not None]
        if rule is None or not (any(carried) or rule.enters):
            moves = rule is not None and rule.moves
            if _is_network_data(node) and node.domain != DOMAIN and not moves:
                reason = (
                    "no rule carries this operation in integers"
                    if any(carried)
                    else "works on values in front of the first synapse"
                )
                plan.left.append(LeftFloat(node.name or "", node.op_type, reason))
            continue
        try:
            for value, flow in zip(node.outputs, rule.infer(node, plan), strict=False):
                if flow is not None:
                    plan.flows[value] = flow
        except StaysFloat as verdict:
            plan.left.append(LeftFloat(node.name or "", node.op_type, str(verdict)))
    for value in model.graph.outputs:
        flow = plan.flow(value)
        if flow.kind is Kind.CURRENT and flow.group is not None and not is_state(value):
            # A read-out is compared across channels, so it needs one scale.
            flow.group.root().per_tensor = True
    plan.drop_merged()
    return plan


def entering(entry: InputScale) -> Flow:
    """Return the flow of values that are quantized on their way in."""
    return Flow(Kind.INTEGER, entry.scale, entry.low, entry.high, coherence=entry.coherence)


def _is_network_data(node: ir.Node) -> bool:
    """Whether a node computes floating-point data rather than shapes or constants."""
    data = any(v is not None and constant(v) is None for v in node.inputs)
    data = data and any(expanded_constant(out) is None for out in node.outputs)
    return data and any(out.dtype is None or out.dtype.is_floating_point() for out in node.outputs)
