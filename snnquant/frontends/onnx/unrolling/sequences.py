"""Follow sequences and optionals, which exporters use for lists and None, to their tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from snnquant.frontends.onnx.preparation.names import described, int_of
from snnquant.frontends.onnx.unrolling.loops import MAX_STEPS, Unroller

#: What a node becomes: other nodes; a reason why not; None: it stays, and is understood.
Resolved = list[onnx.NodeProto] | str | None


class Sequences:
    """What each sequence and each optional of a graph holds, nodes being given in order.

    Nodes that make sequences stay where they are; nobody reads them in the end.
    """

    def __init__(self, unroller: Unroller) -> None:
        self._unroller = unroller
        # A list and how much of it: appending to a sequence need not copy it.
        self._held: dict[str, tuple[list[str], int]] = {}
        #: What an optional holds; None: nothing.
        self._optional: dict[str, str | None] = {}

    def resolve(self, node: onnx.NodeProto) -> Resolved:
        """Note what a node puts in sequences, or say what stands for what it takes out."""
        handler = _HANDLERS.get(node.op_type)
        if handler is not None:
            return handler(self, node)
        if node.op_type == "Identity":
            source, result = node.input[0], node.output[0]
            if source in self._held:
                self._held[result] = self._held[source]
            if source in self._optional:
                self._optional[result] = self._optional[source]
        return None

    def _items(self, name: str) -> list[str] | None:
        held = self._held.get(name)
        return None if held is None else held[0][: held[1]]

    def _position(self, node: onnx.NodeProto, index: int, length: int) -> int | None:
        """Return a position that a node gives, the end by default; None: it depends on data."""
        if len(node.input) <= index or not node.input[index]:
            return length
        value = self._unroller.known.value(node.input[index])
        if value is None:
            return None
        position = int(value.item())
        return position + length if position < 0 else position

    def _construct(self, node: onnx.NodeProto) -> Resolved:
        self._held[node.output[0]] = (list(node.input), len(node.input))
        return None

    def _insert(self, node: onnx.NodeProto) -> Resolved:
        held = self._held.get(node.input[0])
        if held is None:
            return _unknown(node)
        items, length = held
        position = self._position(node, 2, length)
        if position is None:
            return _unknown(node)
        if position != length or len(items) != length:
            items = items[:length]
        items.insert(position, node.input[1])
        self._held[node.output[0]] = (items, length + 1)
        return None

    def _erase(self, node: onnx.NodeProto) -> Resolved:
        items = self._items(node.input[0])
        position = None if items is None else self._position(node, 1, len(items) - 1)
        if items is None or position is None:
            return _unknown(node)
        del items[position]
        self._held[node.output[0]] = (items, len(items))
        return None

    def _at(self, node: onnx.NodeProto) -> Resolved:
        held = self._held.get(node.input[0])
        position = None if held is None else self._position(node, 1, held[1])
        if held is None or position is None:
            return _unknown(node)
        if not 0 <= position < held[1]:
            raise ValueError(f"{described(node)} takes place {position} of {held[1]}")
        return self._identity(node, held[0][position])

    def _length(self, node: onnx.NodeProto) -> Resolved:
        held = self._held.get(node.input[0])
        if held is None:
            return _unknown(node)
        return self._identity(node, self._unroller.constant(held[1]))

    def _concat(self, node: onnx.NodeProto) -> Resolved:
        items = self._items(node.input[0])
        if items is None:
            return _unknown(node)
        if not items:
            raise ValueError(f"{described(node)} joins an empty list")
        axis = int_of(node, "axis", 0)
        if int_of(node, "new_axis", 0):
            return self._unroller.stack(items, node.output[0], axis)
        return [helper.make_node("Concat", items, node.output, node.name, axis=axis)]

    def _split(self, node: onnx.NodeProto) -> Resolved:
        source, result = node.input[0], node.output[0]
        if result in self._held:
            return None
        axis = int_of(node, "axis", 0)
        shape = self._unroller.known.shape(source)
        size = None if shape is None else shape[axis]
        if size is None:
            return f"{described(node)} splits a dynamic dimension; export it with a fixed size"
        pieces = np.ones(size, np.int64)
        if len(node.input) > 1 and node.input[1]:
            given = self._unroller.known.value(node.input[1])
            if given is None:
                return _unknown(node)
            step = int(given.item()) if given.ndim == 0 else 1
            whole, rest = divmod(size, step)
            even = [step] * whole + ([rest] if rest else [])
            pieces = np.array(even) if given.ndim == 0 else given
        if len(pieces) > MAX_STEPS:
            raise self._unroller.too_large(node)
        names = [self._unroller.names.new(f"{result}_t{k}") for k in range(len(pieces))]
        squeezes = len(node.input) < 2 and not int_of(node, "keepdims", 1)
        if squeezes:
            made = [
                helper.make_node(
                    "Gather", [source, self._unroller.constant(k)], [name], name, axis=axis
                )
                for k, name in enumerate(names)
            ]
        else:
            sizes = self._unroller.constant([int(p) for p in pieces])
            made = [helper.make_node("Split", [source, sizes], names, names[0], axis=axis)]
        # The list itself is written once more, for loops that are not written out yet.
        made.append(helper.make_node("SequenceConstruct", names, [result], node.name))
        return made

    def _make_optional(self, node: onnx.NodeProto) -> Resolved:
        self._optional[node.output[0]] = node.input[0] if node.input else None
        return None

    def _has_element(self, node: onnx.NodeProto) -> Resolved:
        if not node.input or not node.input[0]:
            return self._identity(node, self._unroller.constant(False))
        if node.input[0] not in self._optional:
            return _unknown(node)
        full = self._optional[node.input[0]] is not None
        return self._identity(node, self._unroller.constant(full))

    def _get_element(self, node: onnx.NodeProto) -> Resolved:
        held = self._optional.get(node.input[0])
        return _unknown(node) if held is None else self._identity(node, held)

    @staticmethod
    def _identity(node: onnx.NodeProto, source: str) -> list[onnx.NodeProto]:
        return [helper.make_node("Identity", [source], node.output, node.name)]


def _unknown(node: onnx.NodeProto) -> str:
    return (
        f"{described(node)} works on a list whose contents depend on data or on a dynamic "
        "dimension; export with fixed sizes"
    )


_HANDLERS: dict[str, Callable[[Sequences, onnx.NodeProto], Resolved]] = {
    "SequenceEmpty": Sequences._construct,
    "SequenceConstruct": Sequences._construct,
    "SequenceInsert": Sequences._insert,
    "SequenceErase": Sequences._erase,
    "SequenceAt": Sequences._at,
    "SequenceLength": Sequences._length,
    "ConcatFromSequence": Sequences._concat,
    "SplitToSequence": Sequences._split,
    "Optional": Sequences._make_optional,
    "OptionalHasElement": Sequences._has_element,
    "OptionalGetElement": Sequences._get_element,
}
SEQUENCE_OPS = frozenset(_HANDLERS)
