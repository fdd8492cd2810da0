"""Models in which some layers are integers and all others float, and what to look at in them.

They are made by the lowering that makes the integer model: what is not chosen is kept float, and
spikes of float neurons enter integers as those of integer neurons do. So a chosen layer has the
integers that it has in the integer model, to the last constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from snnquant.analyze.layers import Layer, spikes_of, with_membranes
from snnquant.errors import ModelError
from snnquant.lowering.emission import Emission
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Kind
from snnquant.lowering.plan import InputScale
from snnquant.lowering.rule import Rule
from snnquant.lowering.state import rounded
from snnquant.names import take_name
from snnquant.numerics import INT32, FloatArray, IntRange
from snnquant.ops import attach_functions
from snnquant.ops.schema import DOMAIN, schemas
from snnquant.passes.edit import constant
from snnquant.quantize import quantize_model
from snnquant.quantize_options import QuantizeOptions

Array = npt.NDArray[Any]
SPIKES, MEMBRANE, CURRENT = "spikes", "membrane", "current"


@dataclass(frozen=True)
class Watch:
    """One value of a model, and what one of its steps is worth.

    Attributes:
        name: of the value.
        scale: broadcastable against the value; None: the value is real.
    """

    name: str
    scale: FloatArray | None = None

    def real(self, values: Mapping[str, Array]) -> Array:
        """Return the real values: in float64, or as they are where one step is worth 1."""
        held = np.asarray(values[self.name])
        if self.scale is None or (self.scale == 1).all():
            return held
        real: Array = np.multiply(held, self.scale, dtype=np.float64)
        return real


@dataclass(frozen=True)
class Mixed:
    """A model, and the values to look at by (node, SPIKES | MEMBRANE | CURRENT)."""

    model: onnx.ModelProto
    watches: dict[tuple[str, str], Watch]

    @property
    def names(self) -> list[str]:
        """Names of all values to look at."""
        return list(dict.fromkeys(watch.name for watch in self.watches.values()))


def float_model(model: ir.Model, layers: Sequence[Layer]) -> Mixed:
    """Return the float model itself, with everything in it that may be compared."""
    every = [name for layer in layers for name in layer.neurons]
    shown, membranes = with_membranes(model, every)
    watches = {}
    for node in shown.graph:
        name = node.name or ""
        for layer in layers:
            if name in layer.neurons:
                watches[name, MEMBRANE] = Watch(membranes[name])
                watches[name, CURRENT] = Watch(_name(node.inputs[0]))
            elif name in layer.synapses and not layer.neurons:
                watches[name, CURRENT] = Watch(_name(node.outputs[0]))
        if node.domain == DOMAIN and schemas()[node.op_type].neuron.spiking:
            watches[name, SPIKES] = Watch(_name(node.outputs[0]))
    proto = ir.to_proto(shown)
    attach_functions(proto)
    return Mixed(proto, watches)


def mixed_model(
    model: ir.Model,
    layers: Sequence[Layer],
    chosen: Sequence[Layer],
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
    *,
    show: Sequence[Layer],
    spiking: Sequence[str] = (),
) -> Mixed:
    """Return the model with the chosen layers in integers and all others in float.

    Args:
        model: as :func:`~snnquant.analyze.layers.prepared` returns it.
        layers: all layers.
        chosen: layers that become integers.
        scales: calibrated input scales by value name.
        options: widths and target.
        rates: calibrated firing rates by neuron name.
        show: chosen layers whose membranes, currents and spikes are to be seen.
        spiking: names of more neurons whose spikes are.

    Raises:
        ModelError: the target cannot express a neuron.
        NumericalError: values for which no faithful integers exist.
    """
    return _build(model, layers, chosen, scales, options, rates, _Mixing(chosen, show, spiking))


def local_model(
    model: ir.Model,
    layers: Sequence[Layer],
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
) -> Mixed:
    """Return the float model with the integers of every layer beside it, fed by the float values.

    Args and errors are those of :func:`mixed_model`.
    """
    return _build(model, layers, layers, scales, options, rates, _Beside(layers, layers, ()))


def _build(
    model: ir.Model,
    layers: Sequence[Layer],
    chosen: Sequence[Layer],
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    rates: Mapping[str, float],
    emission: _Mixing,
) -> Mixed:
    shown, membranes = with_membranes(model, [n for layer in emission.show for n in layer.neurons])
    emission.membranes = {value: name for name, value in membranes.items()}
    wanted = frozenset[str]().union(*(layer.members for layer in chosen))
    every = frozenset[str]().union(*(layer.members for layer in layers))
    result = quantize_model(
        shown,
        scales,
        replace(options, readout_as="float", fuse=False),
        rates=rates,
        keep_float=every - wanted,
        float_spikes=spikes_of(shown, rates),
        emission=emission,
    )
    lost = wanted - {entry["name"] for entry in result.layers}
    if lost:
        raise ModelError(f"'{min(lost)}' cannot become an integer by itself; analyze cannot tell")
    return Mixed(result.model, emission.watches)


class _Mixing(Emission):
    """Writes the chosen layers in integers, and what follows float values both ways.

    Operations without weights or neurons are exact in integers, but a mean is not in float: float
    layers get what they get in the float model wherever that is there.
    """

    def __init__(
        self, chosen: Sequence[Layer], show: Sequence[Layer], spiking: Sequence[str]
    ) -> None:
        self.chosen = frozenset[str]().union(*(layer.members for layer in chosen))
        self.show = show
        self.spiking = frozenset(spiking)
        self.membranes: dict[str, str] = {}
        self.watches: dict[tuple[str, str], Watch] = {}
        self._kept: list[ir.Value] = []
        self._taken: set[str] = set()
        self._shown = frozenset[str]().union(*(layer.members for layer in show))
        self._ends = frozenset(n for layer in show if not layer.neurons for n in layer.synapses)

    def emit(self, rule: Rule, node: ir.Node, out: Emitter) -> None:
        """Write a node in integers, and in float where that is another reading of float values."""
        if self.beside(node, out):
            self._taken = self._taken or {other.name or "" for other in out.source}
            out.copy(node, take_name(f"{node.name}.float", self._taken))
        rule.emit(node, out)
        self.look(node, out)

    def beside(self, node: ir.Node, out: Emitter) -> bool:
        """Whether the float version of a node is written too."""
        if node.name in self.chosen:
            return False
        return all(v is None or out.has_float(v) for v in node.inputs)

    def look(self, node: ir.Node, out: Emitter) -> None:
        """Note the values of a node that are to be seen."""
        name = node.name or ""
        if name in self._ends:
            self._watch((name, CURRENT), node.outputs[0], out)
        if node.domain != DOMAIN or name not in self._shown | self.spiking:
            return
        emitted = out.carrier(node.outputs[0]).producer()
        if emitted is None:
            raise RuntimeError(f"neuron '{name}' was not emitted")
        if schemas()[node.op_type].neuron.spiking:
            self._watch((name, SPIKES), node.outputs[0], out)
        if name not in self._shown:
            return
        for value in node.outputs:
            if self.membranes.get(value.name or "") == name:
                self._watch((name, MEMBRANE), value, out)
        source, current = node.inputs[0], emitted.inputs[0]
        if source is None or current is None:
            raise RuntimeError(f"neuron '{name}' has no current")
        if out.plan.flow(source).kind is Kind.CURRENT:
            scale = out.plan.flow(source).scale()
        else:
            group = out.plan.neurons[node].root()
            scale = np.ones(1) if group.scale is None else group.scale
        self.watches[name, CURRENT] = Watch(current.name or "", scale)
        self._kept.append(current)

    def _watch(self, key: tuple[str, str], value: ir.Value, out: Emitter) -> None:
        carrier = out.carrier(value)
        self.watches[key] = Watch(carrier.name or "", out.flow(value).scale())
        self._kept.append(carrier)

    def watched(self, out: Emitter) -> Sequence[ir.Value]:
        """Return what is to be seen; spikes of float neurons too."""
        for node in out.source:
            if node.name in self.spiking and (node.name, SPIKES) not in self.watches:
                real = out.float(node.outputs[0])
                self.watches[node.name or "", SPIKES] = Watch(real.name or "")
                self._kept.append(real)
        held = {id(value) for value in out.inputs}
        return [v for v in dict.fromkeys(self._kept) if id(v) not in held and constant(v) is None]


class _Beside(_Mixing):
    """Writes every layer in integers beside the float model, and lets it see float values only."""

    real_states = True

    def beside(self, node: ir.Node, out: Emitter) -> bool:
        """The float model is all there."""
        return True

    def emit(self, rule: Rule, node: ir.Node, out: Emitter) -> None:
        """Write a node both ways; what goes on to other layers is the float model's."""
        self._enter_states(node, out)
        for value in node.inputs:
            if value is not None and out.plan.is_narrowed(value) and out.has_float(value):
                out.narrow_again(value)
        super().emit(rule, node, out)
        for value in node.outputs:
            if value in out.plan.made:
                out.enter_again(value)
        if node.domain == DOMAIN and schemas()[node.op_type].neuron.spiking:
            out.enter_again(node.outputs[0])

    def _enter_states(self, node: ir.Node, out: Emitter) -> None:
        """Round the states that a neuron takes from the inputs of the graph."""
        for value in node.inputs:
            if value is None or value not in out.plan.state_inputs or out.has_carrier(value):
                continue
            flow = out.plan.flow(value)
            if flow.kind is Kind.FLOAT:
                continue
            limits = out.plan.target.state_range
            if flow.kind is Kind.INTEGER:
                limits = IntRange(0, INT32.high)
            hint = f"{value.name}.steps"
            out.set(value, rounded(out, value, flow.scale(), limits, np.int32, hint))


def _name(value: ir.Value | None) -> str:
    return "" if value is None else value.name or ""
