"""Follow the batch through a graph that has one batch size written into its constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.batch.dims import (
    BATCH,
    Dim,
    Dims,
    fixed,
    has_batch,
    size,
    sizes,
    uniform,
)
from snnquant.frontends.onnx.preparation.names import Names, described, inner_graphs
from snnquant.frontends.onnx.preparation.values import Array, KnownValues

#: Constants are looked into up to this many elements.
MAX_ELEMENTS = 2**24


class ConflictError(ModelError):
    """The batch cannot be where it was thought to be.

    Attributes:
        reached: how many nodes it was followed through: the best attempt tells the reason.
    """

    reached = 0


class Choices:
    """Decisions where a batch of 1 may be in several places; like cases are decided alike.

    Attributes:
        made: for each case the number of the reading, and how many there are.
    """

    def __init__(self, made: dict[Any, tuple[int, int]]) -> None:
        self.made = dict(made)

    def choose(self, case: Any, readings: Sequence[Dims]) -> Dims:
        """Return one of several readings."""
        if len(readings) == 1:
            return readings[0]
        index, _ = self.made.setdefault(case, (0, len(readings)))
        chosen: Dims = readings[index]
        return chosen

    def next(self) -> Choices | None:
        """Return the decisions to try next, or None where all were tried."""
        made = dict(self.made)
        while made:
            case, (index, count) = made.popitem()
            if index + 1 < count:
                made[case] = (index + 1, count)
                return Choices(made)
        return None


class Propagation:
    """One attempt to make the batch of a graph dynamic; it edits the graph.

    Args:
        graph: shapes inferred at ``batch``.
        names: source of free names.
        batch: batch size that is written into the graph.
        axes: batch axis of each input that has one.
        choices: decisions to begin with.
        opset: version of the standard ops.
        constants: values that need no input, beyond what the graph tells.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        names: Names,
        batch: int,
        axes: dict[str, int],
        choices: Choices,
        opset: int,
        constants: Mapping[str, Array],
    ) -> None:
        self.graph = graph
        self.names = names
        self.batch = batch
        self.axes = axes
        self.choices = choices
        self.opset = opset
        self.known = KnownValues(graph, MAX_ELEMENTS)
        for name, array in constants.items():
            self.known.set_value(name, array)
        #: Dimensions of every value that is no constant.
        self.dims: dict[str, Dims] = {}
        self.done = 0
        self._nodes: list[onnx.NodeProto] = []
        self._head: list[onnx.NodeProto] = []
        self._batch_size = ""

    def run(self, rules: dict[str, Callable[[Propagation, onnx.NodeProto], None]]) -> None:
        """Follow the batch through all nodes and rewrite what it is written into.

        Raises:
            ConflictError: a node mixes samples, or nothing is known of it.
        """
        for value in self.graph.input:
            shape = self.known.shape(value.name)
            if shape is None or None in shape:
                raise ConflictError(f"input '{value.name}' has a dynamic shape")
            dims = list(fixed(d or 0 for d in shape))
            if value.name in self.axes:
                dims[self.axes[value.name]] = (BATCH,)
            self.dims[value.name] = tuple(dims)
        for node in self.graph.node:
            if not all(self.known.value(name) is not None for name in node.output if name):
                key = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
                rules.get(key, rules[""])(self, node)
            self._nodes.append(node)
            self.done += 1
        if not any(has_batch(self.output_dims(value.name)) for value in self.graph.output):
            raise ConflictError("no output has a batch axis")
        kept = onnx.GraphProto()
        kept.node.extend(self._read([*self._head, *self._nodes]))
        del self.graph.node[:]
        self.graph.node.extend(kept.node)

    def _read(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Return the nodes that results depend on: rewritten sizes left others without a reader."""
        if any(True for node in nodes for _ in inner_graphs(node)):
            return list(nodes)  # they may read anything
        read = {value.name for value in self.graph.output}
        kept = []
        for node in reversed(nodes):
            if not read.isdisjoint(node.output):
                kept.append(node)
                read.update(node.input)
        return kept[::-1]

    def conflict(self, node: onnx.NodeProto, why: str) -> ConflictError:
        """Return the error for a node that does not go with any batch size."""
        return ConflictError(f"{described(node)} {why}")

    def constant(self, name: str) -> Array | None:
        """Return a value that depends on no data, else None."""
        return self.known.value(name) if name not in self.dims else None

    def of(self, node: onnx.NodeProto, index: int) -> Dims:
        """Return the dimensions of an input."""
        name = node.input[index]
        if name in self.dims:
            return self.dims[name]
        shape = self.known.shape(name)
        array = self.known.value(name) if shape is None or None in shape else None
        if array is not None:
            shape = array.shape
        if shape is None or None in shape:
            raise self.conflict(node, f"reads '{name}', whose shape is unknown")
        return fixed(d or 0 for d in shape)

    def output_dims(self, name: str) -> Dims:
        """Return the dimensions of a result of the graph, be it a constant."""
        array = self.constant(name)
        return self.dims.get(name, ()) if array is None else fixed(array.shape)

    def told(self, node: onnx.NodeProto, name: str) -> tuple[int, ...]:
        """Return the shape of a result at the batch size that the graph is made for."""
        shape = self.known.shape(name)
        if shape is None or None in shape:
            raise self.conflict(node, f"has a result '{name}' whose shape is unknown")
        return tuple(d or 0 for d in shape)

    def set(self, node: onnx.NodeProto, dims: Dims, index: int = 0) -> None:
        """Say what dimensions a result has."""
        if index < len(node.output) and node.output[index]:
            self.dims[node.output[index]] = dims

    def initializer(self, hint: str, array: Array) -> str:
        """Add a constant and return its name."""
        name = self.names.new(hint)
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self.known.set_value(name, array)
        return name

    def emit(self, op_type: str, inputs: Sequence[str], hint: str, **attributes: Any) -> str:
        """Insert a node before the one at hand and return the name of its result."""
        name = self.names.new(hint)
        self._nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def append(self, node: onnx.NodeProto) -> None:
        """Insert a node before the one at hand."""
        self._nodes.append(node)

    def batch_size(self) -> str:
        """Return the name of the batch size at run time, as one element."""
        if not self._batch_size:
            source, axis = next(iter(self.axes.items()))
            self._batch_size = self.names.new("batch_size")
            self._head.append(
                helper.make_node(
                    "Shape",
                    [source],
                    [self._batch_size],
                    self._batch_size,
                    start=axis,
                    end=axis + 1,
                )
            )
        return self._batch_size

    def shrink(self, node: onnx.NodeProto, index: int, dims: Dims) -> None:
        """Let a constant that repeats itself for each sample broadcast over the batch instead.

        Args:
            node: reads the constant.
            index: of the input.
            dims: what the constant is read as, of its own rank; 1 where it has size 1.
        """
        array = self.constant(node.input[index])
        if array is None or not has_batch(dims):
            return
        self._check_uniform(node, index, array, dims)
        if any(BATCH in d and d != (BATCH,) for d in dims):
            self.spread(node, index, dims)
            return
        if self.batch == 1:
            return  # of size 1 already
        for axis, d in enumerate(dims):
            if BATCH in d:
                array = np.take(array, [0], axis=axis)
        node.input[index] = self.initializer(f"{node.input[index]}.sample", array)

    def spread(self, node: onnx.NodeProto, index: int, dims: Dims) -> None:
        """Repeat a constant for each sample at run time, for an input that does not broadcast."""
        array = self.constant(node.input[index])
        if array is None or not has_batch(dims):
            return
        self._check_uniform(node, index, array, dims)
        name = node.input[index]
        factors = [f for d in dims for f in d]
        apart = array.reshape([self.batch if f == BATCH else f for f in factors])
        one = np.take(apart, [0], axis=factors.index(BATCH))
        parts = [
            self.batch_size()
            if f == BATCH
            else self.initializer(f"{name}.size", np.array([f], np.int64))
            for f in factors
        ]
        shape = parts[0]
        if len(parts) > 1:
            shape = self.emit("Concat", parts, f"{name}.shape", axis=0)
        wide = self.emit("Expand", [self.initializer(f"{name}.sample", one), shape], f"{name}.wide")
        if tuple((f,) for f in factors) != dims:
            wide = self.emit("Reshape", [wide, self.target(name, dims)], f"{name}.spread")
        node.input[index] = wide
        self.dims[wide] = dims

    def target(self, hint: str, dims: Dims) -> str:
        """Return a constant Reshape target that gives these dimensions at any batch size."""
        wanted = [-1 if BATCH in d else size(d, self.batch) for d in dims]
        return self.initializer(f"{hint}.target", np.array(wanted, np.int64))

    def _check_uniform(self, node: onnx.NodeProto, index: int, array: Array, dims: Dims) -> None:
        if array.shape != sizes(dims, self.batch) or not uniform(array, dims, self.batch):
            raise self.conflict(
                node,
                f"reads the constant '{node.input[index]}', which holds values of its own for each "
                "sample of a batch: a state was baked in",
            )


def merge(first: Dim, second: Dim) -> Dim | None:
    """Return what two dimensions broadcast to; None: they do not, or the batch does not fit."""
    if not first or first == second:
        return second
    return first if not second else None
