"""Which layers a model has: what shares a membrane scale, and so is quantized together or not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.lowering.plan import InputScale
from snnquant.names import take_name
from snnquant.ops.schema import DOMAIN, op_name, schemas
from snnquant.passes.edit import int_attribute
from snnquant.quantize_options import QuantizeOptions, plan_model
from snnquant.rounding.weight_grid import DEFAULT_COHERENCE, coherence_of


@dataclass(frozen=True)
class Layer:
    """A synapse, or several whose currents are added up, with the neurons behind it.

    Attributes:
        name: of the neurons, else of the synapse.
        synapses: names of the synapses; a neuron may stand alone.
        neurons: names of the neurons; several where a loop over time was written out.
        encoder: an analog value enters here.
    """

    name: str
    synapses: tuple[str, ...]
    neurons: tuple[str, ...]
    encoder: bool = False

    @property
    def members(self) -> frozenset[str]:
        """Names of all its nodes that have weights or neurons."""
        return frozenset((*self.synapses, *self.neurons))


def prepared(model: ir.Model) -> ir.Model:
    """Return a copy of a canonical graph in which a node is known by its name alone."""
    copy: ir.Model = ir.from_proto(ir.to_proto(model))
    neurons = {node.name for node in copy.graph if node.domain == DOMAIN}
    taken = {node.name or "" for node in copy.graph}
    for node in copy.graph:
        if node.domain != DOMAIN and node.name in neurons:
            node.name = take_name(node.name or "", taken)
    return copy


def with_membranes(model: ir.Model, names: Collection[str]) -> tuple[ir.Model, dict[str, str]]:
    """Return a copy in which the named neurons give their membranes too, and the values of these.

    Args:
        model: canonical float graph.
        names: of neurons.
    """
    copy: ir.Model = ir.from_proto(ir.to_proto(model))
    taken = {v.name or "" for node in copy.graph for v in node.outputs}
    taken |= {v.name or "" for v in (*copy.graph.inputs, *copy.graph.initializers.values())}
    found = {}
    for node in list(copy.graph):
        if node.domain != DOMAIN or node.name not in names:
            continue
        schema = schemas()[node.op_type]
        if not schema.neuron.spiking:
            found[node.name or ""] = node.outputs[0].name or ""
        elif schema.with_membrane:
            found[node.name or ""] = node.outputs[-1].name or ""
        else:
            node.op_type = op_name(
                schema.neuron,
                integer=False,
                recurrent=schema.recurrent,
                stateful=schema.stateful,
                with_membrane=True,
            )
            node.resize_outputs(len(node.outputs) + 1)
            value, spikes = node.outputs[-1], node.outputs[0]
            value.name = take_name(f"{node.name}.membrane", taken)
            value.type, value.shape = spikes.type, spikes.shape
            found[node.name or ""] = value.name
    return copy, found


def find_layers(
    model: ir.Model,
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
) -> list[Layer]:
    """Return the layers that become integers, in the order of the graph.

    Args:
        model: as :func:`prepared` returns it.
        scales: calibrated input scales by value name.
        options: widths and target.
        rates: calibrated firing rates by neuron name.

    Raises:
        ModelError: the target cannot express a neuron, or nothing becomes an integer.
    """
    plan = plan_model(model, scales, options, rates)
    left = {entry.node for entry in plan.left}
    group_of = {
        id(term): group
        for group in plan.groups
        for term in (*group.terms, *(twin for twin, _ in group.twins))
    }
    found: dict[int, tuple[list[ir.Node], list[ir.Node]]] = {}
    for node in model.graph:
        if node.name in left:
            continue
        term = plan.terms.get(node)
        if node in plan.neurons:
            found.setdefault(id(plan.neurons[node].root()), ([], []))[1].append(node)
        elif term is not None and id(term) in group_of:
            found.setdefault(id(group_of[id(term)]), ([], []))[0].append(node)
    if not found:
        raise ModelError("no layer of the model becomes an integer; there is nothing to analyze")
    place = {node: index for index, node in enumerate(model.graph)}
    ordered = sorted(found.values(), key=lambda parts: place[(parts[1] or parts[0])[0]])
    analog = {
        value
        for value in (*plan.points, *plan.float_currents)
        if (entry := scales.get(plan.scale_name(value))) is None or not entry.spikes
    }
    return [
        Layer(
            (neurons or synapses)[0].name or "",
            _names(synapses),
            _names(neurons),
            any(value in analog for node in (*synapses, *neurons) for value in node.inputs),
        )
        for synapses, neurons in ordered
    ]


def spikes_of(model: ir.Model, rates: Mapping[str, float]) -> dict[str, InputScale]:
    """Return how the spikes of every neuron enter integers, by value: as they leave integer ones.

    Args:
        model: canonical float graph.
        rates: calibrated firing rates by neuron name.
    """
    found = {}
    for node in model.graph:
        if node.domain != DOMAIN or not schemas()[node.op_type].neuron.spiking:
            continue
        rate = rates.get(node.name or "")
        known = DEFAULT_COHERENCE if rate is None else coherence_of(rate, rate * (1 - rate))
        most = int_attribute(node, "max_spikes", 1)
        found[node.outputs[0].name or ""] = InputScale(1.0, 0, most, known, spikes=True)
    return found


def _names(nodes: Sequence[ir.Node]) -> tuple[str, ...]:
    return tuple(node.name or "" for node in nodes)
