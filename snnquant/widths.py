"""Widths of states: proved without data, written into the model, and narrowed until one is proved.

What is written is the narrowest width with which no state is ever saturated, so that it changes no
integer; where none is proved, the target's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from snnquant.bounds import Reach, graph_reach
from snnquant.data import Batch
from snnquant.errors import ModelError, NumericalError
from snnquant.instrument import Runner
from snnquant.lowering.decided import Coarser
from snnquant.lowering.flow import Kind
from snnquant.lowering.plan import Named, Plan
from snnquant.model_file import PROVED_KEY, neuron_nodes, sort_metadata, state_bits_of
from snnquant.numerics import IntArray
from snnquant.ops.schema import STATE_BITS
from snnquant.quantize import QuantizedModel
from snnquant.stepping import step_model

Shapes = Mapping[str, tuple[int, ...]]
Make = Callable[[Coarser], onnx.ModelProto]
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

    @property
    def always(self) -> bool:
        """Whether they never do, however many steps there are."""
        return self.bits_any_length is not None and self.bits_any_length <= self.state_bits


@dataclass(frozen=True)
class Widths:
    """Widths of a whole model.

    Attributes:
        neurons: by name.
        currents: bits that hold every partial sum of a synapse, by its name.
        steps: for which it is proved.
        any_length: the model may be run for more.
    """

    neurons: dict[str, StateWidth]
    currents: dict[str, int]
    steps: int
    any_length: bool

    def proved_steps(self) -> dict[str, int | None]:
        """Return for how many steps states never saturate, by neuron; None: all there can be."""
        return {name: self._proved_steps(width) for name, width in self.neurons.items()}

    def _proved_steps(self, width: StateWidth) -> int | None:
        if width.always or (width.proved and not self.any_length):
            return None
        return self.steps if width.proved else 0

    def told(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry of a layer in reports, with its widths."""
        known, name = dict(layer), layer["name"]
        if name in self.neurons and layer["kind"] == "neuron":
            width = self.neurons[name]
            known["state_bits"] = width.state_bits
            known["proved_bits"] = width.bits
            known["proved_bits_any_length"] = width.bits_any_length
            known["proved_steps"] = self._proved_steps(width)
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
        most = state_bits_of(node)
        bits = _bits(known.neurons.get(node.name))
        longer = None if opened is None else _bits(opened.neurons.get(node.name))
        needed = longer if any_length else bits
        chosen = most if needed is None else max(min(needed, most), STATE_BITS.low)
        widths[node.name] = StateWidth(bits, longer, wanted.get(node.name, chosen))
    return Widths(widths, known.currents, known.steps, any_length)


def _bits(reach: Reach | None) -> int | None:
    return reach.bits if reach is not None and reach.settled else None


def _keeps_steps_apart(model: onnx.ModelProto) -> bool:
    """Whether a model does the same at each step, so that more of them are more of the same."""
    try:
        step_model(model, {})
    except ModelError:
        return False
    return True


def narrowed(make: Make, plan: Plan, shapes: Shapes, wanted: Mapping[str, int]) -> Coarser:
    """Return by how many bits membranes have to be coarser for the wanted widths to be proved.

    Args:
        make: makes the integer model with membranes that are so much coarser.
        plan: says which channel of its group each neuron counts in.
        shapes: of the model's inputs.
        wanted: widths that were asked for, by neuron.
    """
    groups = {key: id(group.root()) for key, group in plan.neurons.items()}
    #: By group: what shares a scale gets coarser together.
    bits: dict[int, IntArray] = {}

    def coarser() -> dict[str, IntArray]:
        return {key.name or "": bits[group] for key, group in groups.items() if group in bits}

    for _ in range(_MOST_ROUNDS if wanted else 0):
        reach = graph_reach(make(coarser()), shapes)
        more: dict[int, IntArray] = {}
        for key, group in groups.items():
            layer = reach.neurons.get(key.name or "")
            if layer is None or not layer.settled or (key.name or "") not in wanted:
                continue
            excess = np.maximum(layer.needed - wanted[key.name or ""], 0)
            if excess.any():
                own = _per_channel(excess, _channels(plan, key))
                more[group] = np.maximum(more.get(group, 0), own)
        if not more:
            break
        bits |= {group: bits.get(group, 0) + added for group, added in more.items()}
    return coarser()


def _channels(plan: Plan, neuron: Named) -> IntArray | None:
    """Return the channel of its group that each neuron counts in; None: there is one scale."""
    source = neuron.inputs[0] if isinstance(neuron, ir.Node) else None
    if source is None:
        return None
    flow = plan.flow(source)
    return flow.channels if flow.kind is Kind.CURRENT else None


def _per_channel(values: IntArray, channels: IntArray | None) -> IntArray:
    """Return the largest value of each channel of what has an axis of samples in front."""
    if channels is None or channels.size == 1:
        return np.asarray(values.max(keepdims=True).reshape(1))
    found = np.zeros(int(channels.max()) + 1, np.int64)
    where, spread = np.broadcast_arrays(channels, values)
    np.maximum.at(found, where.reshape(-1), spread.reshape(-1))
    return found


def with_widths(model: onnx.ModelProto, widths: Widths) -> onnx.ModelProto:
    """Return an integer model whose states saturate at their widths."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.metadata_props.add(key=PROVED_KEY, value=json.dumps(widths.proved_steps(), sort_keys=True))
    sort_metadata(made)
    for node in neuron_nodes(made, integer=True):
        for attribute in node.attribute:
            if attribute.name == STATE_BITS.name and node.name in widths.neurons:
                attribute.i = widths.neurons[node.name].state_bits
    return made


def shapes_for(model: ir.Model, samples: Batch) -> tuple[Shapes, bool]:
    """Return what one sample makes of the inputs of a float graph, and whether T is open."""
    runner = Runner(ir.to_proto(model), custom_ops=False)
    one = {name: values[:1] for name, values in samples.inputs.items()}
    shapes = {name: values.shape for name, values in runner.feeds(one).items()}
    return shapes, runner.layout.timesteps is None


def with_proof(result: QuantizedModel, widths: Widths) -> QuantizedModel:
    """Return a quantization whose states have their widths, in model and reports."""
    layers = [widths.told(layer) for layer in result.layers]
    return replace(result, model=with_widths(result.model, widths), layers=layers)


def check_widths(widths: Widths) -> None:
    """Raise NumericalError for a layer whose states can leave their width."""
    proved = widths.proved_steps()
    for name, width in widths.neurons.items():
        steps = proved[name]
        if steps is None:
            continue
        reached = "no width is proved" if width.bits is None else f"they can need {width.bits} bits"
        after = f" after {steps} steps, and the model takes any number" if steps else f": {reached}"
        raise NumericalError(
            f"the states of '{name}' can leave {width.state_bits} bits{after}; allow more with "
            "--state-bits or --layer, use fewer weight or input bits, fix the number of steps in "
            "the export, or --overflow saturate"
        )
