"""How far the integers of a whole model can get: intervals follow its graph, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant.bounds.arithmetic import Extent
from snnquant.bounds.intervals import Interval
from snnquant.bounds.neurons import Reach, neuron_reach
from snnquant.bounds.operations import anything, constant, exact, follow
from snnquant.bounds.synapses import SYNAPSE_OPS, Weighted, open_synapse
from snnquant.ops.attach import node_attributes, standard_opset
from snnquant.ops.schema import CURRENT, DOMAIN, MEMBRANE, RECURRENT_WEIGHT, OpSchema, schemas

Array = npt.NDArray[Any]


@dataclass
class GraphReach:
    """What the integers of a model can be.

    Attributes:
        neurons: by the name of each integer neuron.
        currents: width in two's complement of all partial sums of a synapse, by its name.
        values: by name, of those that were asked for.
        steps: that the neurons take, at most.
    """

    neurons: dict[str, Reach] = field(default_factory=dict)
    currents: dict[str, int] = field(default_factory=dict)
    values: dict[str, Interval] = field(default_factory=dict)
    steps: int = 0


def graph_reach(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    any_length: bool = False,
    watch: Collection[str] = (),
) -> GraphReach:
    """Prove how far the integers of a model get, whatever it is given.

    Args:
        model: integer model, not fused.
        shapes: of the inputs.
        any_length: prove it for any number of steps, of a model that does not mix them.
        watch: names of values to tell the intervals of.
    """
    walk = _Walk(model, any_length)
    for value in model.graph.input:
        if value.name not in walk.values:
            kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            walk.values[value.name] = anything(np.zeros(shapes[value.name], kind))
            walk.boundless.add(value.name)
    left = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        walk.visit(node)
        walk.pass_on(node)
        for name in set(node.output).intersection(watch):
            reached = walk.value(name)
            if reached is not None:
                walk.found.values[name] = reached
        for name in filter(None, node.input):
            left[name] -= 1
            if not left[name]:
                walk.values.pop(name, None)
    return walk.found


class _Walk:
    def __init__(self, model: onnx.ModelProto, any_length: bool) -> None:
        self.opset = standard_opset(model)
        self.any_length = any_length
        self.found = GraphReach()
        #: Values that inputs decide alone: a state that starts from one has no width.
        self.boundless: set[str] = set()
        self.values: dict[str, Interval | Weighted | None] = {
            tensor.name: constant(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }

    def visit(self, node: onnx.NodeProto) -> None:
        """Give the outputs of a node what they can be; None behind what no rule can follow."""
        if any(self.values[name] is None for name in node.input if name):
            self.values.update(dict.fromkeys(filter(None, node.output)))
            return
        try:
            results = self._results(node)
        except _NOT_FOLLOWED:
            self.values.update(dict.fromkeys(filter(None, node.output)))
            return
        self.values.update(
            (name, result) for name, result in zip(node.output, results, strict=False) if name
        )

    def pass_on(self, node: onnx.NodeProto) -> None:
        """Note what states of neurons, moved or not, can be without bounds."""
        reach = self.found.neurons.get(node.name) if node.domain == DOMAIN else None
        if reach is not None:
            states = node.output[1:] if not reach.settled else []
        else:
            moved = node.op_type in _MOVES and node.input[0] in self.boundless
            states = node.output if moved else []
        self.boundless.update(filter(None, states))

    def _results(self, node: onnx.NodeProto) -> list[Any]:
        schema = schemas().get(node.op_type) if node.domain == DOMAIN else None
        if schema is not None:
            return list(self._neuron(node, schema))
        if node.domain not in ("", "ai.onnx"):
            raise NotImplementedError(node.op_type)
        if node.op_type in SYNAPSE_OPS:
            return [open_synapse(node, [self.value(name) for name in node.input], self.opset)]
        kept = self._still_open(node)
        return [kept] if kept is not None else list(self._standard(node))

    def value(self, name: str) -> Interval | None:
        """Return what a value can be; a synapse is applied for that."""
        if not name:
            return None
        held = self.values[name]
        if not isinstance(held, Weighted):
            return held
        total, passed = held.current()
        width = Extent(passed.low.shape)
        width.add(passed.map(lambda end: end.astype(np.int64)))
        known = self.found.currents.get(held.node.name, 1)
        self.found.currents[held.node.name] = int(width.bits.max(initial=known))
        self.values[name] = total
        return total

    def _standard(self, node: onnx.NodeProto) -> list[Interval]:
        return follow(node, [self.value(name) for name in node.input], self.opset)

    def _still_open(self, node: onnx.NodeProto) -> Weighted | None:
        """Return what becomes of weights that a node scales, or adds to others or constants."""
        held = [self.values.get(name) for name in node.input]
        open_ones = [h for h in held if isinstance(h, Weighted)]
        if not open_ones:
            return None
        if node.op_type == "Cast":
            kind = next(a.i for a in node.attribute if a.name == "to")
            wide = helper.tensor_dtype_to_np_dtype(kind)
            return replace(open_ones[0], kind=wide) if kind in _WIDE else None
        if node.op_type not in ("Add", "Mul") or len(held) != 2:
            return None
        other = held[1] if held[0] is open_ones[0] else held[0]
        if isinstance(other, Weighted):
            return open_ones[0].plus(other) if node.op_type == "Add" else None
        if other is None or not exact(other):
            return None
        fixed = other.low.astype(np.float64)
        if node.op_type == "Add":
            return open_ones[0].plus(fixed)
        return open_ones[0].times(fixed) if fixed.size == 1 and np.all(fixed > 0) else None

    def _neuron(self, node: onnx.NodeProto, schema: OpSchema) -> list[Interval]:
        """Return what the outputs of neurons can be; of float ones only the shapes are known."""
        given = [self.value(name) for name in node.input]
        inputs = {
            port.name: value
            for port, value in zip(schema.inputs, given, strict=True)
            if value is not None
        }
        current = inputs[CURRENT]
        shape = current.low.shape
        if not schema.integer:
            like = {True: np.zeros(shape, np.float32), False: np.zeros(shape[1:], np.float32)}
            return [anything(like[port.timed]) for port in schema.outputs]
        count = shape[0]
        self.found.steps = max(self.found.steps, count)
        reach = neuron_reach(
            schema.neuron,
            node_attributes(node, schema),
            _integers(_same_steps(current)),
            {name: inputs[name].low for name in schema.parameter_names},
            steps=None if self.any_length else count,
            states=(
                {name: _integers(inputs[name]) for name in schema.state_names}
                if schema.stateful
                else None
            ),
            recurrent_weight=inputs[RECURRENT_WEIGHT].low if schema.recurrent else None,
        )
        if schema.stateful:
            named = dict(zip((port.name for port in schema.inputs), node.input, strict=True))
            if any(named[name] in self.boundless for name in schema.state_names):
                reach = replace(reach, settled=False)
        self.found.neurons[node.name] = reach
        results = []
        for position, port in enumerate(schema.outputs):
            if position == 0:
                held = reach.output
            elif port.name == MEMBRANE:
                held = reach.membrane
            else:
                held = reach.states[port.name]
            kind = helper.tensor_dtype_to_np_dtype(port.elem_type)
            full = (count, *held.low.shape) if port.timed else held.low.shape
            ends = (np.asarray(end, kind) for end in (held.low, held.high))
            low, high = (np.broadcast_to(end, full) for end in ends)
            results.append(Interval(low, high))
        return results


#: What onnx's evaluator raises for an op that it does not know, or cannot run on such values.
_NOT_FOLLOWED = (
    NotImplementedError,
    RuntimeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
#: Types that hold every current; in int64 one is brought to other steps, and is no sum any more.
_WIDE = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT32})


#: What leads from one step to the next.
_MOVES = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def _integers(value: Interval) -> Interval:
    return value.map(lambda a: a.astype(np.int64))


def _same_steps(current: Interval) -> Interval:
    """Return one step where all are alike."""
    low, high = current.low, current.high
    if (low == low[:1]).all() and (high == high[:1]).all():
        return Interval(low[:1], high[:1])
    return current
