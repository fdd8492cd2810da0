"""The layers of a plan in the order in which a model runs, and what a search needs of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from snnquant.lowering.constants import parameters_of
from snnquant.lowering.decided import Member, members_of
from snnquant.lowering.flow import Group
from snnquant.lowering.plan import Plan
from snnquant.ops.schema import DOMAIN, schemas

#: Decays that stand between a synapse and the membrane, in the order in which they act.
_DECAYS = ("alpha_syn", "alpha")


@dataclass(frozen=True)
class SearchLayer:
    """Synapses whose currents are added up, and the neurons behind them.

    Attributes:
        group: of the plan.
        members: all that count in steps of the group.
        synapses: the synapses among them, in order.
        recurrent: the neuron nodes with weights of their own.
        neurons: the neuron nodes, in order.
        leaks: decays between the current and the membrane.
    """

    group: Group
    members: tuple[Member, ...]
    synapses: tuple[ir.Node, ...]
    recurrent: tuple[ir.Node, ...]
    neurons: tuple[ir.Node, ...]
    leaks: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name for reports: the neuron's, else the first synapse's."""
        return (self.neurons or self.synapses)[0].name or self.group.name


def search_layers(model: ir.Model, plan: Plan) -> list[SearchLayer]:
    """Return the layers that have weights, each behind all that it receives spikes from."""
    place = {node: index for index, node in enumerate(model.graph)}
    members = members_of(plan)
    found = []
    for group in plan.groups:
        own = tuple(member for member in members if member.group is group)
        terms = {id(member.term) for member in own if member.term is not None}
        nodes = [node for node in place if node in plan.terms and id(plan.terms[node]) in terms]
        synapses = tuple(node for node in nodes if node.domain != DOMAIN)
        recurrent = tuple(node for node in nodes if node.domain == DOMAIN)
        neurons = tuple(
            node for node in place if node in plan.neurons and plan.neurons[node].root() is group
        )
        if synapses:
            found.append(SearchLayer(group, own, synapses, recurrent, neurons, _leaks(neurons)))
    return sorted(found, key=lambda layer: max(place[node] for node in layer.synapses))


def _leaks(neurons: tuple[ir.Node, ...]) -> tuple[float, ...]:
    """Return the decays of the first neuron, each as the mean over its channels."""
    if not neurons:
        return ()
    known = parameters_of(neurons[0], schemas()[neurons[0].op_type])
    return tuple(float(np.mean(known[name])) for name in _DECAYS if name in known)
