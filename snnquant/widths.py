"""Widths of states: proved without data, written into the model, and narrowed until one is proved.

What is written is the narrowest width with which no state is ever saturated, so that it changes no
integer; where none is proved, the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from snnquant.bounds import GraphReach, Reach, graph_reach
from snnquant.errors import ModelError, NumericalError
from snnquant.lowering.plan import Plan
from snnquant.model_file import neuron_nodes
from snnquant.ops.schema import STATE_BITS
from snnquant.stepping import step_model

Shapes = Mapping[str, tuple[int, ...]]
Make = Callable[[Mapping[str, int]], onnx.ModelProto]
#: Times that scales are narrowed; each brings every layer to its width but for rounding.
_MOST_ROUNDS = 8


@dataclass(frozen=True)
class StateWidth:
    """The states of one layer of neurons.

    Attributes:
        bits: proved to hold them through all steps, in two's complement; None: not proved.
        bits_any_length: the same for any number of steps.
        state_bits: at which they saturate.
    """

    bits: int | None
    bits_any_length: int | None
    state_bits: int

    @property
    def proved(self) -> bool:
        """Whether they never saturate."""
        return self.bits is not None and self.bits <= self.state_bits


@dataclass(frozen=True)
class Widths:
    """Widths of a whole model.

    Attributes:
        neurons: by name.
        currents: bits that hold every partial sum of a synapse, by its name.
    """

    neurons: dict[str, StateWidth] = field(default_factory=dict)
    currents: dict[str, int] = field(default_factory=dict)

    def told(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry of a layer in reports, with its widths."""
        known, name = dict(layer), layer["name"]
        if name in self.neurons and layer["kind"] == "neuron":
            width = self.neurons[name]
            known["state_bits"] = width.state_bits
            known["proved_bits"] = width.bits
            known["proved_bits_any_length"] = width.bits_any_length
        elif name in self.currents:
            known["current_bits"] = self.currents[name]
        return known


def prove_widths(
    model: onnx.ModelProto,
    shapes: Shapes,
    wanted: Mapping[str, int],
    *,
    any_length: bool,
) -> Widths:
    """Prove how wide the states of an integer model have to be, and choose widths.

    Args:
        model: integer model, not fused.
        shapes: of its inputs.
        wanted: widths that were asked for, by neuron.
        any_length: it may be run for more steps than ``shapes`` have.
    """
    known = graph_reach(model, shapes)
    opened = graph_reach(model, shapes, any_length=True) if _keeps_steps_apart(model) else None
    widths = {}
    for node in neuron_nodes(model, integer=True):
        (most,) = (a.i for a in node.attribute if a.name == STATE_BITS.name)
        bits = _bits(known.neurons.get(node.name))
        longer = None if opened is None else _bits(opened.neurons.get(node.name))
        needed = longer if any_length else bits
        chosen = most if needed is None else max(min(needed, most), STATE_BITS.low)
        widths[node.name] = StateWidth(bits, longer, wanted.get(node.name, chosen))
    return Widths(widths, known.currents)


def _bits(reach: Reach | None) -> int | None:
    return reach.bits if reach is not None and reach.settled else None


def _keeps_steps_apart(model: onnx.ModelProto) -> bool:
    """Whether a model does the same at each step, so that more of them are more of the same."""
    try:
        step_model(model, {})
    except ModelError:
        return False
    return True


def narrowed(make: Make, plan: Plan, shapes: Shapes, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return by how many bits membranes have to be coarser for the wanted widths to be proved.

    Args:
        make: makes the integer model with membranes that are so much coarser.
        plan: says which neurons share a membrane scale.
        shapes: of the model's inputs.
        wanted: widths that were asked for, by neuron.
    """
    group_of = {key.name or "": id(group.root()) for key, group in plan.neurons.items()}
    coarser: dict[str, int] = {}
    for _ in range(_MOST_ROUNDS if wanted else 0):
        reach = graph_reach(make(coarser), shapes)
        excess = _excess(reach, wanted)
        if not excess:
            break
        more: dict[int, int] = {}
        for name, bits in excess.items():
            group = group_of[name]
            more[group] = max(more.get(group, 0), bits)
        now: dict[int, int] = {}
        for name, group in group_of.items():
            now[group] = max(now.get(group, 0), coarser.get(name, 0))
        coarser |= {
            name: now[group] + more[group] for name, group in group_of.items() if group in more
        }
    return coarser


def _excess(reach: GraphReach, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return by how many bits layers are wider than they may be."""
    found = {}
    for name, bits in wanted.items():
        layer = reach.neurons.get(name)
        if layer is not None and layer.settled and layer.bits > bits:
            found[name] = layer.bits - bits
    return found


def with_widths(model: onnx.ModelProto, widths: Widths) -> onnx.ModelProto:
    """Return an integer model whose states saturate at their widths."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in neuron_nodes(made, integer=True):
        for attribute in node.attribute:
            if attribute.name == STATE_BITS.name and node.name in widths.neurons:
                attribute.i = widths.neurons[node.name].state_bits
    return made


def check_widths(widths: Widths) -> None:
    """Raise NumericalError for a layer whose states can leave their width."""
    for name, width in widths.neurons.items():
        if width.proved:
            continue
        reached = "no width is proved" if width.bits is None else f"they can need {width.bits} bits"
        raise NumericalError(
            f"the states of '{name}' can leave {width.state_bits} bits: {reached}; allow more with "
            "--state-bits or --layer, use fewer weight or input bits, or --overflow saturate"
        )
