"""Export: a canonical float graph as a NIR file, where NIR can express it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.nir.convention import PREFIX
from snnquant.frontends.nir.graph import SYNAPSES, Array
from snnquant.frontends.nir.tree import RawNode
from snnquant.frontends.nir.write_file import write_tree
from snnquant.frontends.nir.write_neuron import write_neuron
from snnquant.frontends.nir.write_nodes import Current, convolution, gemm, pooling, target_shape
from snnquant.lowering.constants import along_features, parameters_of
from snnquant.lowering.flow import StaysFloat
from snnquant.ops import DOMAIN, schemas
from snnquant.ops.schema import RECURRENT_WEIGHT
from snnquant.passes.edit import constant, int_attribute, ints_attribute, only_use, shape_of

_REDUCTIONS = frozenset({"ReduceSum", "ReduceMean", "ReduceMax"})
_SAME = frozenset({"Identity", "Dropout", "Cast"})


def write_nir(model: ir.Model, path: str | Path, dt: float = 1e-4) -> list[str]:
    """Write a canonical float graph as a NIR file.

    What NIR has no field for is written as metadata that :func:`snnquant.frontends.nir.read`
    reads, so that the file gives back an equal graph.

    Args:
        model: canonical float graph (:func:`snnquant.passes.canonicalise`).
        path: file to write.
        dt: length of a step in seconds; time constants are made with it.

    Returns:
        What other readers of the file do not see, a sentence each.

    Raises:
        ModelError: the graph holds what NIR cannot express.
        UsageError: ``dt`` is no length of time, the file cannot be written, or h5py is missing.
    """
    if not 0 < dt < np.inf:
        raise UsageError(f"the step is {dt:g} s long, must be above 0")
    failures: list[tuple[int, ModelError]] = []
    # An input is a sequence [T, B, ...] or static [B, ...]; only one of them reaches the neurons.
    for lead in (2, 1):
        walk = _Walk(model.graph, lead, dt)
        try:
            walk.run()
        except ModelError as error:
            failures.append((walk.done, error))
            continue
        write_tree(walk.tree, path)
        return walk.notes
    raise max(failures, key=lambda failure: failure[0])[1]


class _Walk:
    """Goes through the graph once, for inputs with ``lead`` axes in front of the features."""

    def __init__(self, graph: ir.Graph, lead: int, dt: float) -> None:
        self.graph, self.lead, self.dt = graph, lead, dt
        self.tree = RawNode("NIRGraph", metadata={PREFIX + "dt": np.array(dt)})
        self.currents: dict[ir.Value, Current] = {}
        self.notes: list[str] = []
        self.done = 0

    def run(self) -> None:
        """Fill the tree; ``done`` counts the nodes that were understood, also on failure."""
        for value in self.graph.inputs:
            shape = shape_of(value)
            sizes = () if shape is None else tuple(d or 0 for d in shape[self.lead :])
            if not sizes or 0 in sizes:
                raise ModelError(
                    f"input '{value.name}' has the shape {list(shape or ())}; NIR needs the shape "
                    "of one step"
                )
            name = self._node(value.name or "input", RawNode("Input", {"shape": np.array(sizes)}))
            self.currents[value] = Current((name,), sizes, self.lead, self.lead == 2)
        for node in self.graph:
            self._add(node)
            self.done += 1
        for value in self.graph.outputs:
            current = self._current(value, "the graph")
            output = RawNode("Output", {"shape": np.array(current.features)})
            self._link(current, self._node(value.name or "output", output))

    def _add(self, node: ir.Node) -> None:
        """Add what one ONNX node is in NIR."""
        result = node.outputs[0]
        if result.dtype is not None and not result.dtype.is_floating_point():
            return  # shapes for Reshape
        if node.domain == DOMAIN:
            self.currents[result] = self._neuron(node)
            return
        operands = [v for v in node.inputs if v is not None and constant(v) is None]
        data = [v for v in operands if v in self.currents]
        if node.domain != "" or not data:
            raise self._refusal(node)
        source = self.currents[data[0]]
        kind = node.op_type
        if kind in _SAME:
            made = source
        elif kind in ("Reshape", "Flatten"):
            made = self._reshaped(node, source)
        elif kind in ("MatMul", "Gemm"):
            made = self._through(node, source, gemm(node, source))
        elif kind == "Conv":
            made = self._through(node, source, convolution(node, source))
        elif kind in ("AveragePool", "GlobalAveragePool"):
            made = self._through(node, source, pooling(node, source))
        elif kind in ("Add", "Sub") and len(data) == 2:
            made = self._sum(node, source, self.currents[data[1]])
        elif kind in ("Add", "Sub"):
            made = self._biased(node, data[0])
        elif kind in ("Mul", "Div") and len(data) == 1:
            made = self._scaled(node, data[0])
        else:
            made = self._along_time(node, source)
        self.currents[result] = made

    def _refusal(self, node: ir.Node, why: str = "NIR has no node for it") -> ModelError:
        return ModelError(f"node '{node.name}' ({node.op_type}) cannot be written as NIR: {why}")

    def _current(self, value: ir.Value, where: str) -> Current:
        if value not in self.currents:
            raise ModelError(f"'{value.name}', which {where} needs, is no current and no spikes")
        return self.currents[value]

    def _node(self, name: str, node: RawNode) -> str:
        """Register a NIR node under a free name; HDF5 takes ``/`` for a folder."""
        base = name.strip("/.").replace("/", ".") or node.kind.lower()
        free, count = base, 0
        while free in self.tree.nodes:
            count += 1
            free = f"{base}_{count}"
        self.tree.nodes[free] = node
        return free

    def _link(self, source: Current, target: str) -> None:
        self.tree.edges += [(name, target) for name in source.sources]

    def _through(self, node: ir.Node, source: Current, made: RawNode | None) -> Current:
        """Add one NIR node behind a current, with the shape that ONNX gives it."""
        shape = shape_of(node.outputs[0])
        features = None if shape is None else shape[source.lead :]
        if made is None or not features or None in features:
            raise self._refusal(node, "its weights, padding or shape do not fit NIR's")
        name = self._node(node.name or node.op_type, made)
        self._link(source, name)
        return replace(source, sources=(name,), features=tuple(int(d or 0) for d in features))

    def _reshaped(self, node: ir.Node, source: Current) -> Current:
        """Fold or unfold time, which NIR does not see, or flatten the features."""
        after = target_shape(node)
        flat = (math.prod(source.features),)
        leads = (1, 2) if source.timed else (1,)
        for lead in leads:
            if after is not None and after[lead:] == source.features:
                return replace(source, lead=lead)
        for lead in leads:
            if after is not None and after[lead:] == flat:
                shape = np.array(source.features)
                fields = {"start_dim": np.array(0), "end_dim": np.array(-1), "input_type": shape}
                name = self._node(node.name or "flatten", RawNode("Flatten", dict(fields)))
                self._link(source, name)
                return replace(source, sources=(name,), features=flat, lead=lead)
        raise self._refusal(node, "it neither folds time nor flattens all features")

    def _sum(self, node: ir.Node, a: Current, b: Current) -> Current:
        """Several edges into one node are a sum."""
        if (a.features, a.lead, a.timed) != (b.features, b.lead, b.timed):
            raise self._refusal(node, "its inputs have different shapes")
        if node.op_type == "Sub" or set(a.sources) & set(b.sources):
            factor = np.full(b.features, -1.0 if node.op_type == "Sub" else 1.0)
            name = self._node(f"{node.name}.scale", RawNode("Scale", {"scale": factor}))
            self._link(b, name)
            b = replace(b, sources=(name,))
        return replace(a, sources=(*a.sources, *b.sources))

    def _biased(self, node: ir.Node, value: ir.Value) -> Current:
        """Put a constant into the bias of the synapse in front."""
        current = self.currents[value]
        held = next(c for c in map(constant, node.inputs) if c is not None)
        synapse = self.tree.nodes[current.sources[0]]
        bias = np.asarray(held, np.float64)
        channels = current.features[0]
        # Along channels: all axes behind the channel are 1.
        trailing = len(current.features) - 1
        fits = bias.size == 1 or (
            bias.size == channels and math.prod(bias.shape[bias.ndim - trailing :] or (1,)) == 1
        )
        negated = node.op_type == "Sub" and constant(node.inputs[0]) is not None
        if len(current.sources) > 1 or synapse.kind not in SYNAPSES or not fits or negated:
            raise self._refusal(node, "it adds a constant that is no bias of one synapse")
        if not self._alone(value):
            raise self._refusal(node, "the current without its constant is used too")
        sign = -1.0 if node.op_type == "Sub" else 1.0
        before = np.asarray(synapse.fields.get("bias", 0.0), np.float64)
        total = np.broadcast_to(before + sign * bias.reshape(-1), (channels,))
        synapse.fields["bias"] = total.astype(np.float32)
        if synapse.kind == "Linear":
            synapse.kind = "Affine"
        return current

    def _alone(self, value: ir.Value) -> bool:
        """Whether nothing else reads a synapse that reaches ``value`` through reshapes."""
        while only_use(value) is not None:
            node = value.producer()
            if node is None or node.op_type != "Reshape" or node.inputs[0] is None:
                return True
            value = node.inputs[0]
        return False

    def _scaled(self, node: ir.Node, value: ir.Value) -> Current:
        """Write a constant factor as Scale, or an average times its window as a sum."""
        current = self.currents[value]
        held = next((c for c in map(constant, node.inputs) if c is not None), None)
        if held is None or (node.op_type == "Div" and constant(node.inputs[0]) is not None):
            raise self._refusal(node, "NIR multiplies by constants only")
        factor = np.asarray(held, np.float64)
        factor = 1 / factor if node.op_type == "Div" else factor
        pool = self.tree.nodes[current.sources[0]]
        if pool.kind == "AvgPool2d" and len(current.sources) == 1 and self._alone(value):
            window = float(np.prod(np.asarray(pool.fields["kernel_size"])))
            if (factor == window).all():
                pool.kind = "SumPool2d"
                return current
        rank = len(current.features)
        if factor.ndim > rank + current.lead or any(d != 1 for d in factor.shape[:-rank]):
            raise self._refusal(node, "its factor differs from step to step")
        along = factor.reshape(factor.shape[-rank:]) if factor.ndim > rank else factor
        scale = np.broadcast_to(along, current.features)
        name = self._node(node.name or "scale", RawNode("Scale", {"scale": scale}))
        self._link(current, name)
        return replace(current, sources=(name,))

    def _along_time(self, node: ir.Node, source: Current) -> Current:
        """Leave out what only repeats, reorders or reduces time, and say so."""
        kind, result = node.op_type, node.outputs[0]
        rank = source.lead + len(source.features)
        if kind == "Unsqueeze" and not source.timed:
            return source
        if kind == "Expand" and not source.timed:
            self.notes.append("The input is static; feed the same input at every step.")
            return replace(source, lead=2, timed=True)
        if kind == "Transpose" and ints_attribute(node, "perm") == (1, 0, *range(2, rank)):
            return source
        if kind in _REDUCTIONS and source.lead == 2 and result.is_graph_output():
            axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
            over = ints_attribute(node, "axes") if axes is None else tuple(axes.tolist())
            if over == (0,) and not result.uses():
                what = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "maximum"}[kind]
                self.notes.append(
                    f"Output '{result.name}' is the {what} over all steps; NIR gives every step."
                )
                return source
        raise self._refusal(node)

    def _neuron(self, node: ir.Node) -> Current:
        """Write a neuron, and its recurrent weights as a Linear node in a cycle."""
        schema = schemas()[node.op_type]
        if schema.integer or schema.stateful or schema.with_membrane:
            raise self._refusal(node, "states and membranes are no outputs of a NIR neuron")
        value = node.inputs[0]
        source = self._current(value, f"neuron '{node.name}'") if value is not None else None
        if source is None or source.lead != 2:
            raise self._refusal(node, "its current has no time axis")
        rank = len(source.features)
        try:
            given = parameters_of(node, schema)
        except StaysFloat as error:
            raise self._refusal(node, str(error)) from error
        name = node.name or node.op_type
        written = write_neuron(
            name,
            schema.neuron,
            {key: along_features(held, rank) for key, held in given.items()},
            {c.name: int_attribute(node, c.name, c.default) for c in schema.neuron.choices},
            source.features,
            self.dt,
        )
        if written.lost:
            self.notes.append(
                f"Neuron '{name}' {', '.join(written.lost)}: only snnquant reads that."
            )
        first = last = ""
        for made in written.nodes:
            added = self._node(name if not last else f"{name}.threshold", made)
            if last:
                self.tree.edges.append((last, added))
            first, last = first or added, added
        self._link(source, first)
        if schema.recurrent:
            ports = [port.name for port in schema.inputs]
            weight = constant(node.inputs[ports.index(RECURRENT_WEIGHT)])
            self._recurrence(node, first, last, weight, source.features)
        return replace(source, sources=(last,))

    def _recurrence(
        self,
        node: ir.Node,
        first: str,
        last: str,
        weight: Array | None,
        features: tuple[int, ...],
    ) -> None:
        """Add the cycle of a recurrent neuron."""
        if weight is None or len(features) != 1:
            raise self._refusal(node, "its recurrent weights are computed, or not over a vector")
        matrix = np.asarray(weight, np.float32).T
        loop = self._node(f"{last}.w_rec", RawNode("Linear", {"weight": matrix}))
        self.tree.edges += [(last, loop), (loop, first)]
