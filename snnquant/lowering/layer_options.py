"""Widths that a user chooses for single layers, and the check that there are such layers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from snnquant.errors import UsageError
from snnquant.names import suggestion

if TYPE_CHECKING:
    from snnquant.lowering.plan import Plan


@dataclass(frozen=True)
class LayerOptions:
    """What a user may choose for one layer; None: as for all layers.

    Attributes:
        weight_bits: width of the weights of a synapse, or of the recurrent weights of a neuron.
        state_bits: width of the states of a neuron.
    """

    weight_bits: int | None = None
    state_bits: int | None = None

    def with_other(self, other: LayerOptions) -> LayerOptions:
        """Return these with what ``other`` chooses in their place."""
        return LayerOptions(
            self.weight_bits if other.weight_bits is None else other.weight_bits,
            self.state_bits if other.state_bits is None else other.state_bits,
        )


def weighted_layers(plan: Plan) -> list[str]:
    """Return the names of layers whose weights have a width of their own, in order.

    Where a loop over time was written out, the first step's layer stands for all.
    """
    copies = {id(twin) for group in plan.groups for twin, _ in group.twins}
    return [key.name or "" for key, term in plan.terms.items() if id(term) not in copies]


def neuron_layers(plan: Plan) -> list[str]:
    """Return the names of layers whose states have a width of their own, in order."""
    return [key.name or "" for key in plan.neurons]


def check_layers(
    model: ir.Model,
    plan: Plan,
    layers: Mapping[str, LayerOptions],
    keep_float: Collection[str] = (),
) -> None:
    """Check that every layer for which something was chosen is there, and has it.

    Args:
        model: that the plan is of.
        plan: says what has weights and states.
        layers: choices by name of the layer.
        keep_float: layers that do not become integers here, whatever was chosen.

    Raises:
        UsageError: there is no such layer, or it has no such width.
    """
    weighted, neurons = weighted_layers(plan), neuron_layers(plan)
    for name, chosen in layers.items():
        if name in keep_float:
            continue
        if chosen.weight_bits is not None and name not in weighted:
            raise UsageError(_missing(model, plan, name, weighted, "weights", neurons))
        if chosen.state_bits is not None and name not in neurons:
            raise UsageError(_missing(model, plan, name, neurons, "states", weighted))


def _missing(
    model: ir.Model, plan: Plan, name: str, known: list[str], what: str, others: Iterable[str]
) -> str:
    """Say that a layer is not there, or what it lacks, and what could be meant."""
    meant = suggestion(name, known) or f"layers with {what}: {_listed(known)}"
    kept = next((entry for entry in plan.left if entry.node == name), None)
    if kept is not None:
        return f"layer '{name}' stays float ({kept.reason}), so it has no width; {meant}"
    if name in others or any(node.name == name for node in model.graph):
        return f"layer '{name}' has no {what} of its own; {meant}"
    return f"there is no layer '{name}'; {meant}"


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
