"""Write a NIR graph, with all that it leaves open decided, as the float graph with neuron nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from snnquant.errors import ModelError
from snnquant.frontends.nir.convention import Convention
from snnquant.frontends.nir.graph import ALIASES, NEURONS, SYNAPSES, Array, Graph, Node
from snnquant.frontends.nir.graph_writer import GraphWriter
from snnquant.frontends.nir.loops import Loop, recurrence
from snnquant.frontends.nir.neurons import Neuron, neuron_of
from snnquant.frontends.nir.shapes import Shape, window_of
from snnquant.frontends.reading import NeuronOrigin
from snnquant.neurons import completed
from snnquant.neurons.simulate import smallest_form
from snnquant.ops import op_name, schemas
from snnquant.ops.equation import equation_of_node
from snnquant.ops.schema import RECURRENT_WEIGHT


@dataclass(frozen=True)
class Layout:
    """How the input holds time.

    Attributes:
        time_axis: 0 for ``[T, B, ...]``, 1 for ``[B, T, ...]``, None for a static ``[B, ...]``.
        timesteps: number of steps; None: as many as the input has.
    """

    time_axis: int | None = 0
    timesteps: int | None = None


def build(
    graph: Graph,
    order: Sequence[Node],
    shapes: Mapping[str, Shape],
    loops: Mapping[str, Loop],
    convention: Convention,
    layout: Layout,
) -> tuple[onnx.ModelProto, list[NeuronOrigin]]:
    """Return the float graph, and where its neurons come from.

    Args:
        graph: without the edges that close cycles, its parameters fitted to the shapes.
        order: its nodes, sources first.
        shapes: of one step behind each node.
        loops: recurrence by the path of its neuron.
        convention: what NIR leaves open.
        layout: how the input holds time.

    Raises:
        ModelError, NumericalError: a node cannot be expressed.
    """
    builder = _Builder(graph, shapes, loops, convention, layout)
    for node in order:
        builder.add(node)
    return builder.writer.model(), builder.origins


class _Builder:
    """Adds one NIR node after the other."""

    def __init__(
        self,
        graph: Graph,
        shapes: Mapping[str, Shape],
        loops: Mapping[str, Loop],
        convention: Convention,
        layout: Layout,
    ) -> None:
        self.graph, self.shapes, self.loops = graph, shapes, loops
        self.convention, self.layout = convention, layout
        self.writer = GraphWriter(layout.timesteps)
        self.values: dict[str, str] = {}
        self.origins: list[NeuronOrigin] = []
        self.neurons = {
            node.path: neuron_of(node, convention, recurrent=node.path in loops)
            for node in graph.of_kind(NEURONS)
            if node.path in shapes
        }
        #: What the outputs of a synapse are multiplied by for the nodes behind it.
        self.gains: dict[str, Array] = {}
        self.absorbed = {path for path in shapes if self._absorb(path)}

    def add(self, node: Node) -> None:
        """Add a node, and remember the value that it gives."""
        if node.kind == "Input":
            self.values[node.path] = self._input(node)
            return
        value = self._sum(node)
        if node.kind == "Output":
            self.writer.output(value, node.path, self.shapes[node.path])
        elif node.kind in NEURONS:
            value = self._neuron(node, value)
        elif node.kind not in ALIASES:
            value = _EMITTERS[node.kind](self, node, value)
        self.values[node.path] = value

    def before(self, node: Node) -> Shape:
        """Return the shape of one step in front of a node."""
        return self.shapes[self.graph.before(node.path)[0]]

    def _input(self, node: Node) -> str:
        features = self.shapes[node.path]
        steps = self.layout.timesteps or "time"
        writer = self.writer
        if self.layout.time_axis == 0:
            return writer.input(node.path, [steps, "batch", *features])
        if self.layout.time_axis == 1:
            value = writer.input(node.path, ["batch", steps, *features])
            order = [1, 0, *range(2, len(features) + 2)]
            return writer.op("Transpose", [value], f"{node.path}.time_first", perm=order)
        value = writer.input(node.path, ["batch", *features])
        axes = writer.const([0], "repeat.axes")
        once = writer.op("Unsqueeze", [value, axes], "repeat.once")
        times = writer.const([self.layout.timesteps or 1, *[1] * (len(features) + 1)], "repeat.by")
        return writer.op("Expand", [once, times], "repeat")

    def _sum(self, node: Node) -> str:
        """Return the sum of what feeds a node."""
        first, *others = (self.values[path] for path in self.graph.before(node.path))
        for other in others:
            first = self.writer.op("Add", [first, other], f"{node.path}.sum")
        return first

    def _absorb(self, path: str) -> bool:
        """Put the factor of a Scale or read-out into the weights of the synapses in front of it."""
        node = self.graph.nodes[path]
        gain = self._own_gain(node)
        if gain is None or (gain == 1).all():
            return gain is not None
        sources = [self.graph.nodes[source] for source in self.graph.before(path)]
        for source in sources:
            alone = len(self.graph.after(source.path)) == 1 and not self._in_loop(source.path)
            per_channel = all(size == 1 for size in np.shape(gain)[1:])
            if source.kind not in SYNAPSES or not alone or not per_channel:
                return False
        for source in sources:
            self.gains[source.path] = gain
        return True

    def _own_gain(self, node: Node) -> Array | None:
        """Return the factor that a node applies to its input, shaped to the features."""
        if node.kind == "Scale":
            shape = self.shapes[node.path]
            scale = node.numbers("scale")
            if scale.size == 1:
                return scale.reshape(())
            if scale.shape == shape[:1]:
                return scale.reshape(shape[:1] + (1,) * (len(shape) - 1))
            if np.broadcast_shapes(scale.shape, (1,) * len(shape)) != shape:
                raise ModelError(
                    f"node '{node.path}' (Scale) has the shape {list(scale.shape)}, its input "
                    f"{list(shape)}"
                )
            return scale
        held = self.neurons.get(node.path)
        return None if held is None else held.gain

    def _in_loop(self, path: str) -> bool:
        return any(path in loop.inside for loop in self.loops.values())

    def _scaled(self, node: Node, value: str) -> str:
        """Return a node's input times its own factor, where no weights hold it."""
        gain = self._own_gain(node)
        if gain is None or node.path in self.absorbed:
            return value
        factor = self.writer.const(gain.reshape(1) if gain.size == 1 else gain, f"{node.path}.gain")
        return self.writer.op("Mul", [value, factor], f"{node.path}.scale")

    def _neuron(self, node: Node, value: str) -> str:
        """Add a neuron, recurrent where its spikes feed it."""
        neuron: Neuron = self.neurons[node.path]
        shape = self.shapes[node.path]
        value = self._scaled(node, value)
        loop = self.loops.get(node.path)
        inputs = []
        if loop is not None:
            weight, constant = recurrence(self.graph, loop, shape)
            if constant is not None:
                added = self.writer.const(constant, f"{node.path}.recurrent_bias")
                value = self.writer.op("Add", [value, added], f"{node.path}.bias")
            inputs.append(self.writer.const(weight, f"{node.path}.{RECURRENT_WEIGHT}"))
        schema = schemas()[op_name(neuron.model, integer=False, recurrent=loop is not None)]
        parameters = completed(neuron.model, neuron.parameters)
        given = {name: np.asarray(value) for name, value in parameters.items()}
        for name in schema.parameter_names:
            held = _compact(given[name], shape)
            inputs.append(self.writer.const(held, f"{node.path}.{name}"))
        choices = dict(neuron.choices)
        name, output = self.writer.neuron(schema, [value, *inputs], node.path, choices)
        equation = equation_of_node(schema, given, choices).text
        self.origins.append(NeuronOrigin(name, f"NIR {node.kind}", (node.path,), equation))
        return output

    def linear(self, node: Node, value: str) -> str:
        """Add a matrix: on ``[T, B, N]`` a MatMul needs no folding of time."""
        gain = self._row_gain(node, 1)
        weight = node.numbers("weight") * gain
        matrix = self.writer.const(weight.T, f"{node.path}.weight")
        value = self.writer.op("MatMul", [value, matrix], node.path)
        if node.kind == "Linear":
            return value
        return self._biased(node, value, gain.reshape(-1), ())

    def convolution(self, node: Node, value: str) -> str:
        """Add a convolution over ``[T * B, C, ...]``."""
        weight = node.numbers("weight")
        spatial = weight.ndim - 2
        gain = self._row_gain(node, spatial + 1)
        strides, pads, dilations = window_of(node, weight.shape[2:])
        inputs = [
            self.writer.merged(value, self.before(node), node.path),
            self.writer.const(weight * gain, f"{node.path}.weight"),
        ]
        bias = self._bias(node, len(weight))
        if bias.any():
            inputs.append(self.writer.const(bias * gain.reshape(-1), f"{node.path}.bias"))
        value = self.writer.op(
            "Conv",
            inputs,
            node.path,
            kernel_shape=weight.shape[2:],
            strides=strides,
            pads=pads,
            dilations=dilations,
            group=node.integers("groups", 1, 1)[0],
        )
        return self.writer.split(value, self.shapes[node.path], node.path)

    def pooling(self, node: Node, value: str) -> str:
        """Add an average over windows, times their size where NIR wants the sum."""
        window = node.integers("kernel_size", 2)
        strides, pads, _ = window_of(node, window)
        merged = self.writer.merged(value, self.before(node), node.path)
        value = self.writer.op(
            "AveragePool",
            [merged],
            node.path,
            kernel_shape=window,
            strides=strides,
            pads=pads,
            count_include_pad=1,
        )
        if node.kind == "SumPool2d":
            size = self.writer.const(np.full(1, float(math.prod(window))), f"{node.path}.size")
            value = self.writer.op("Mul", [value, size], f"{node.path}.sum")
        return self.writer.split(value, self.shapes[node.path], node.path)

    def flatten(self, node: Node, value: str) -> str:
        """Add a reshape of the features."""
        merged = self.writer.merged(value, self.shapes[node.path], node.path)
        return self.writer.split(merged, self.shapes[node.path], node.path)

    def scale(self, node: Node, value: str) -> str:
        """Add a factor, unless the weights in front hold it."""
        return self._scaled(node, value)

    def _row_gain(self, node: Node, trailing: int) -> Array:
        """Return what the output channels are multiplied by, shaped to the weights."""
        gain = self.gains.get(node.path, np.ones(()))
        return gain.reshape(-1, *[1] * trailing)

    def _bias(self, node: Node, channels: int) -> Array:
        bias = node.numbers("bias", 0.0)
        if bias.size not in (1, channels):
            raise ModelError(
                f"node '{node.path}' ({node.kind}) has {bias.size} biases for {channels} channels"
            )
        return np.broadcast_to(bias.reshape(-1), (channels,))

    def _biased(self, node: Node, value: str, gain: Array, trailing: Shape) -> str:
        bias = self._bias(node, self.shapes[node.path][0]) * gain
        if not bias.any():
            return value
        added = self.writer.const(bias.reshape(-1, *trailing), f"{node.path}.bias")
        return self.writer.op("Add", [value, added], f"{node.path}.biased")


def _compact(value: Array, shape: Shape) -> Array:
    """Return a parameter, one value or along the first axes, in the smallest of its forms."""
    if value.size == 1:
        return value.reshape(1)
    along = value.reshape(value.shape + (1,) * (len(shape) - value.ndim))
    return smallest_form(np.broadcast_to(along, shape))


_EMITTERS: dict[str, Callable[[_Builder, Node, str], str]] = {
    "Linear": _Builder.linear,
    "Affine": _Builder.linear,
    "Conv1d": _Builder.convolution,
    "Conv2d": _Builder.convolution,
    "SumPool2d": _Builder.pooling,
    "AvgPool2d": _Builder.pooling,
    "Flatten": _Builder.flatten,
    "Scale": _Builder.scale,
}
