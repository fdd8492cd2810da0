"""The pass: neurons with their synapses first, then what is left of synapses and sums."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from snnquant.fusion.currents import Currents
from snnquant.fusion.dims import dims_of
from snnquant.fusion.layers import fuse_neuron, fuse_time_sum, plain_current
from snnquant.fusion.spikes import Spikes
from snnquant.fusion.synapses import int8_weight
from snnquant.fusion.twin import Twin
from snnquant.fusion.view import Current, NotFusedError
from snnquant.fusion.writer import Writer
from snnquant.model_file import SYNAPSES_KEY, sort_metadata
from snnquant.ops import attach_functions
from snnquant.ops.schema import DOMAIN
from snnquant.passes.clean import infer_shapes
from snnquant.passes.edit import replace_value


@dataclass
class Fusion:
    """A fused model.

    Attributes:
        model: self-contained ONNX model.
        fused: fused op by the name of a synapse or neuron.
        reasons: why a synapse or neuron stayed as it was, by name.
        twins: values that the integer model has too.
    """

    model: onnx.ModelProto
    fused: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    twins: list[Twin] = field(default_factory=list)


def fuse_model(model: onnx.ModelProto) -> Fusion:
    """Return an integer model with fused ops in place of synapses and neurons.

    Args:
        model: as the quantization emits it; it is not changed.
    """
    graph = infer_shapes(ir.from_proto(model))
    fusion = Fusion(model)
    run = _Run(graph, fusion)
    run.neurons()
    run.rest()
    common.RemoveUnusedNodesPass()(graph)
    common.TopologicalSortPass()(graph)
    if run.writer.synapses:
        graph.metadata_props[SYNAPSES_KEY] = json.dumps(run.writer.synapses, sort_keys=True)
    proto = ir.to_proto(graph)
    sort_metadata(proto)
    attach_functions(proto)
    onnx.checker.check_model(proto, full_check=True)
    fusion.model = proto
    named = {node.name for node in proto.graph.node} | set(run.writer.synapses.values())
    everything = run.currents.layers | fusion.fused
    fusion.fused = {name: op for name, op in everything.items() if name in named}
    present = {name for node in proto.graph.node for name in node.output}
    fusion.twins = [twin for twin in run.writer.twins if twin.fused in present]
    return fusion


class _Run:
    """One run over one graph; what is replaced stays in it, unused, until the end."""

    def __init__(self, model: ir.Model, fusion: Fusion) -> None:
        self.graph = model.graph
        self.fusion = fusion
        self.writer = Writer(model.graph)
        self.spikes = Spikes(self.writer)
        self.currents = Currents(self.spikes)
        self.emitted = list(model.graph)

    def neurons(self) -> None:
        """Fuse neurons with the synapses in front of them."""
        for node in self.emitted:
            if node.domain != DOMAIN:
                continue
            self.writer.anchor = node
            try:
                made = fuse_neuron(node, self.currents)
            except NotFusedError as error:
                self.fusion.reasons[node.name or ""] = str(error)
                self._same_samples(node)
                continue
            self.fusion.fused |= made.layers
            if made.view is not None:
                self.spikes.known[node.outputs[0], 2] = made.view
                self.spikes.known[made.outputs[0], 2] = made.view
            for old, new in zip(node.outputs, made.outputs, strict=True):
                replace_value(old, new)

    def _same_samples(self, node: ir.Node) -> None:
        """Let spikes of a neuron that stays have the steps and samples of its current."""
        current = self.currents.known.get((node.inputs[0], 2)) if node.inputs[0] else None
        if isinstance(current, Current) and node.outputs[0].dtype == ir.DataType.UINT8:
            lead = replace(current.lead, timed=True, axes=2)
            with suppress(NotFusedError):
                view = self.spikes.view(node.outputs[0], 2)
                self.spikes.known[node.outputs[0], 2] = replace(view, lead=lead)

    def rest(self) -> None:
        """Fuse sums over time and synapses whose currents go elsewhere."""
        live = live_nodes(self.graph)
        for node in self.emitted:
            if node in live and node.domain == "" and node.op_type == "ReduceSum":
                self.writer.anchor = node
                made = fuse_time_sum(node, self.spikes)
                if made is not None:
                    replace_value(node.outputs[0], made)
        for node in self.emitted:
            if int8_weight(node) is None or node not in live_nodes(self.graph):
                continue
            self.writer.anchor = node
            try:
                self._lone_synapse(node)
            except NotFusedError as error:
                self.fusion.reasons[node.name or ""] = str(error)
        self._share()

    def _lone_synapse(self, node: ir.Node) -> None:
        """Put an op in place of a synapse without neuron, as far as its current can be followed."""
        live = live_nodes(self.graph)
        value = node.outputs[0]
        axes = 1 if node.op_type == "Conv" else max(1, len(dims_of(value)) - 1)
        current = self.currents.current(value, axes)
        while not value.is_graph_output():
            users = [use.node for use in value.uses() if use.node in live]
            if len(users) != 1 or len(users[0].outputs) != 1:
                break
            further = self._further(users[0].outputs[0])
            if further is None:
                break
            value, current = users[0].outputs[0], further
        if current.space and not self._worth(current):
            raise NotFusedError("nothing around it is fused")
        made = plain_current(current, value, self.writer)
        self.fusion.fused |= made.layers
        replace_value(value, made.outputs[0])

    def _worth(self, current: Current) -> bool:
        """Whether channels last pays for a map of currents that is transposed behind it."""
        if not current.lead.timed and current.lead.steps is not None:
            return True  # One step is computed instead of all.
        live = live_nodes(self.graph)
        used = any(use.node in live for value in current.extras for use in value.uses())
        return used or any(synapse.view.native for synapse in current.sources)

    def _further(self, value: ir.Value) -> Current | None:
        rank = 0 if value.shape is None else len(value.shape)
        for axes in (*range(3, rank), 2, 1):
            with suppress(NotFusedError):
                return self.currents.current(value, axes)
        return None

    def _share(self) -> None:
        """Let what stays as it is read pooled and joined spikes that are there channels last."""
        live = live_nodes(self.graph)
        for (value, _), view in list(self.spikes.known.items()):
            node = value.producer()
            if isinstance(view, NotFusedError) or node is None or node not in live:
                continue
            source = view.value.producer()
            computed = source is not None and source in live and source.domain == DOMAIN
            computed = computed and node.domain == ""
            if computed and (view.lead.timed or view.lead.steps is None):
                self.writer.anchor = node
                plain = self.writer.plain(view.value, view)
                kind = value.dtype or ir.DataType.UINT8
                replace_value(value, self.writer.cast(plain, kind))


def live_nodes(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes that outputs of a graph depend on."""
    found: set[ir.Node] = set()
    pending = list(graph.outputs)
    while pending:
        node = pending.pop().producer()
        if node is not None and node not in found:
            found.add(node)
            pending += [value for value in node.inputs if value is not None]
    return found
