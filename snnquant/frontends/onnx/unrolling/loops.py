"""Copies of the bodies of Loop and Scan, one per step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.graph import MAX_NODES
from snnquant.frontends.onnx.preparation.names import (
    Names,
    attribute_of,
    copy_body,
    described,
    int_of,
)
from snnquant.frontends.onnx.preparation.values import Array, KnownValues
from snnquant.ops.attach import walk

#: No spiking network is run for more steps; a loop that counts to infinity is.
MAX_STEPS = 4096
_FIX = "export with a fixed number of steps, or give --timesteps"


class Unroller:
    """Writes loops of one graph out.

    Args:
        graph: gets the constants that the copies need.
        names: source of free names.
        where: words for the model in messages.
    """

    def __init__(self, graph: onnx.GraphProto, names: Names, where: str) -> None:
        self.graph = graph
        self.names = names
        self.where = where
        self.known = KnownValues(graph)
        self._constants: dict[tuple[str, int | bool | tuple[int, ...]], str] = {}
        self._copied = 0

    def constant(self, value: int | bool | Sequence[int]) -> str:
        """Return the name of an initializer, one per value."""
        array: Array = np.array(value, np.bool_ if isinstance(value, bool) else np.int64)
        key = (array.dtype.str, value if isinstance(value, int) else tuple(value))
        if key not in self._constants:
            name = self.names.new("unrolled_" + "_".join(str(n) for n in array.reshape(-1)))
            self.graph.initializer.append(numpy_helper.from_array(array, name))
            self.known.set_value(name, array)
            self._constants[key] = name
        return self._constants[key]

    def too_large(self, node: onnx.NodeProto) -> ModelError:
        """Return the error for a loop that is too long."""
        return ModelError(
            f"{self.where}: {described(node)} runs more than {MAX_STEPS} steps or gives more than "
            f"{MAX_NODES} nodes; export fewer steps"
        )

    def write_out(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | str:
        """Return the nodes that stand for a Loop or Scan, or why it cannot be written out."""
        body = attribute_of(node, "body")
        if body is None:
            raise ValueError(f"{described(node)} has no body")
        if self._size(node) > MAX_NODES:
            raise self.too_large(node)
        scan = node.op_type == "Scan"
        return self._scan(node, body.g) if scan else self._loop(node, body.g)

    def _size(self, node: onnx.NodeProto) -> int:
        """Return how many nodes a node becomes at least, counts that are not known yet aside."""
        body = attribute_of(node, "body")
        if body is None:
            return 1
        limit = self.known.value(node.input[0]) if node.op_type == "Loop" else None
        # A while loop counts to infinity and stops by its condition.
        count = 1 if limit is None or limit.item() > MAX_STEPS else int(limit.item())
        return count * (1 + sum(self._size(inner) for inner in body.g.node))

    def _step(
        self, node: onnx.NodeProto, body: onnx.GraphProto, given: Sequence[str], step: int
    ) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return one copy of a body and the names of its results."""
        self._copied += 1 + sum(1 for _ in walk(body))
        if step >= MAX_STEPS or self._copied > MAX_NODES:
            raise self.too_large(node)
        formal = [value.name for value in body.input]
        mapping = dict(zip(formal, given, strict=True))
        nodes, mapping = copy_body(body, mapping, self.names, f"_t{step}")
        self.known.add(nodes)
        return nodes, [mapping.get(value.name, value.name) for value in body.output]

    def _loop(self, node: onnx.NodeProto, body: onnx.GraphProto) -> list[onnx.NodeProto] | str:
        limit = self.known.value(node.input[0]) if node.input[0] else np.array(2**62)
        if limit is None:
            return f"{described(node)} runs as often as a dynamic dimension or data say; {_FIX}"
        condition = node.input[1] if len(node.input) > 1 else ""
        condition = condition or self.constant(True)
        carried = list(node.input[2:])
        stacked: list[list[str]] = [[] for _ in range(len(node.output) - len(carried))]
        nodes: list[onnx.NodeProto] = []
        step = 0
        while step < int(limit.item()):
            goes_on = self.known.value(condition)
            if goes_on is None:
                return f"{described(node)} stops when data say so; {_FIX}"
            if not goes_on.item():
                break
            copies, results = self._step(
                node, body, [self.constant(step), condition, *carried], step
            )
            nodes += copies
            condition, carried = results[0], results[1 : 1 + len(carried)]
            for names, result in zip(stacked, results[1 + len(carried) :], strict=True):
                names.append(result)
            step += 1
        return self._finish(node, nodes, carried, stacked, [0] * len(stacked))

    def _scan(self, node: onnx.NodeProto, body: onnx.GraphProto) -> list[onnx.NodeProto] | str:
        count = int_of(node, "num_scan_inputs", 0)
        states = len(node.input) - count
        carried, scanned = list(node.input[:states]), list(node.input[states:])
        axes = self._ints(node, "scan_input_axes", count)
        backward = self._ints(node, "scan_input_directions", count)
        lengths = set()
        for name, axis in zip(scanned, axes, strict=True):
            shape = self.known.shape(name)
            lengths.add(None if shape is None else shape[axis])
        lengths.discard(None)
        if len(lengths) != 1:
            return f"{described(node)} runs along a dynamic dimension; {_FIX}"
        steps = lengths.pop() or 0
        stacked: list[list[str]] = [[] for _ in range(len(node.output) - states)]
        nodes: list[onnx.NodeProto] = []
        for step in range(steps):
            given = list(carried)
            for name, axis, reverse in zip(scanned, axes, backward, strict=True):
                index = self.constant(steps - 1 - step if reverse else step)
                given.append(self.names.new(f"{name}_t{step}"))
                made = helper.make_node("Gather", [name, index], [given[-1]], axis=axis)
                made.name = self.names.new(given[-1])
                nodes.append(made)
            copies, results = self._step(node, body, given, step)
            nodes += copies
            carried = results[:states]
            for names, result in zip(stacked, results[states:], strict=True):
                names.append(result)
        output_axes = self._ints(node, "scan_output_axes", len(stacked))
        for names, reverse in zip(
            stacked, self._ints(node, "scan_output_directions", len(stacked)), strict=True
        ):
            if reverse:
                names.reverse()
        return self._finish(node, nodes, carried, stacked, output_axes)

    @staticmethod
    def _ints(node: onnx.NodeProto, name: str, count: int) -> list[int]:
        """Return a list attribute of a Scan, zeros where it is not given."""
        attribute = attribute_of(node, name)
        return [0] * count if attribute is None else list(attribute.ints)

    def _finish(
        self,
        node: onnx.NodeProto,
        nodes: list[onnx.NodeProto],
        carried: Sequence[str],
        stacked: Sequence[Sequence[str]],
        axes: Sequence[int],
    ) -> list[onnx.NodeProto] | str:
        """Return all nodes, with those that name final states and stack results per step."""
        for name, result in zip(carried, node.output, strict=False):
            if result:
                made = helper.make_node("Identity", [name], [result])
                made.name = self.names.new(result)
                nodes.append(made)
        for names, result, axis in zip(stacked, node.output[len(carried) :], axes, strict=True):
            if result and not names:
                raise ModelError(f"{self.where}: {described(node)} runs no step; export at least 1")
            if result:
                nodes += self.stack(names, result, axis)
        return nodes

    def stack(self, parts: Sequence[str], result: str, axis: int) -> list[onnx.NodeProto]:
        """Return nodes that stack tensors along a new axis."""
        nodes, raised = [], []
        axes = self.constant([axis])
        for part in parts:
            raised.append(self.names.new(f"{part}_stacked"))
            nodes.append(helper.make_node("Unsqueeze", [part, axes], [raised[-1]]))
            nodes[-1].name = self.names.new(raised[-1])
        nodes.append(helper.make_node("Concat", raised, [result], axis=axis))
        nodes[-1].name = self.names.new(result)
        return nodes
