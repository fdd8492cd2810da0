"""Run a model piece by piece: what a piece gave is kept, and later pieces go on from there.

The nodes behind a piece may change between two runs, as weights do that are chosen one layer after
the other; each node in front of them runs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant import runtime

Array = npt.NDArray[Any]


class Segments:
    """Values of a model on batches of samples, as far as it was run.

    Args:
        batches: inputs of the model by name, for each batch.
        custom_ops: load the library for integer neurons.
        threads: threads of ONNX Runtime.
    """

    def __init__(
        self,
        batches: Sequence[Mapping[str, Array]],
        *,
        custom_ops: bool,
        threads: int | None = None,
    ) -> None:
        self._batches = [dict(batch) for batch in batches]
        self._custom_ops = custom_ops
        self._threads = threads

    def __len__(self) -> int:
        return len(self._batches)

    def known(self) -> set[str]:
        """Return the names of the values that are kept."""
        return set(self._batches[0])

    def value(self, name: str, batch: int) -> Array:
        """Return a kept value, in the type that the model gave."""
        return _unpack(self._batches[batch][name])

    def values(self, name: str) -> Iterable[Array]:
        """Return a kept value batch by batch."""
        return (_unpack(batch[name]) for batch in self._batches)

    def advance(self, model: onnx.ModelProto, wanted: Sequence[str]) -> None:
        """Run what the wanted values need, and keep them and what later nodes need of it.

        Args:
            model: may differ from the one of the last call behind what was run.
            wanted: names of values.
        """
        nodes = needed_nodes(model, self.known(), wanted)
        if not nodes:
            return
        made = {name for node in nodes for name in node.output if name}
        ends = [value.name for value in model.graph.output]
        later = {*ends, *wanted}
        for node in needed_nodes(model, self.known() | made, ends):
            later.update(node.input)
        given = sorted(made & later)
        for index, results in enumerate(self._run(model, nodes, given)):
            batch = {k: v for k, v in self._batches[index].items() if k in later}
            self._batches[index] = batch | {k: _pack(v) for k, v in results.items()}

    def peek(
        self, model: onnx.ModelProto, wanted: Sequence[str], batches: int | None = None
    ) -> Iterator[dict[str, Array]]:
        """Yield wanted values batch by batch without keeping them.

        Args:
            model: as for :meth:`advance`.
            wanted: names of values.
            batches: only so many of them; None: all.
        """
        nodes = needed_nodes(model, self.known(), wanted)
        made = {name for node in nodes for name in node.output}
        given = [name for name in dict.fromkeys(wanted) if name in made]
        known = [name for name in dict.fromkeys(wanted) if name not in made]
        runs = self._run(model, nodes, given) if nodes else ({} for _ in self._batches)
        for index, results in enumerate(islice(runs, batches)):
            yield results | {name: self.value(name, index) for name in known}

    def _run(
        self, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], given: Sequence[str]
    ) -> Iterator[dict[str, Array]]:
        """Run nodes on every batch and yield values that they make."""
        piece = submodel(model, nodes, self._batches[0], given)
        session = runtime.load_session(
            piece.SerializeToString(),
            custom_ops=self._custom_ops,
            threads=self._threads,
            spinning=False,
        )
        taken = [value.name for value in piece.graph.input]
        for batch in self._batches:
            results = session.run(list(given), {name: _unpack(batch[name]) for name in taken})
            yield dict(zip(given, results, strict=True))


def needed_nodes(
    model: onnx.ModelProto, known: set[str], wanted: Iterable[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that make the wanted values from the known ones, in order."""
    missing = set(wanted) - known
    chosen = []
    for node in reversed(model.graph.node):
        if missing & set(node.output):
            chosen.append(node)
            missing |= set(node.input) - known
    return chosen[::-1]


def submodel(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    examples: Mapping[str, Any],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """Return a model of some nodes, whose inputs are values with examples of them."""
    read = dict.fromkeys(name for node in nodes for name in node.input if name)
    made = {name for node in nodes for name in node.output}
    held = [tensor for tensor in model.graph.initializer if tensor.name in read]
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(_unpack(examples[name]).dtype), None
        )
        for name in read
        if name in examples and name not in made
    ]
    graph = helper.make_graph(
        list(nodes),
        "piece",
        inputs,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        initializer=held,
    )
    return helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        functions=list(model.functions),
        ir_version=model.ir_version,
    )


@dataclass(frozen=True)
class _Packed:
    """Small integers that came as floats of a type."""

    array: npt.NDArray[np.uint8]
    dtype: np.dtype[Any]


def _pack(array: Array) -> Any:
    """Return spikes and counts in a byte each."""
    if array.dtype.kind == "f" and array.itemsize > 1:
        with np.errstate(invalid="ignore"):
            small = array.astype(np.uint8)
        if np.array_equal(small, array):
            return _Packed(small, array.dtype)
    return array


def _unpack(held: Any) -> Array:
    return held.array.astype(held.dtype) if isinstance(held, _Packed) else held
