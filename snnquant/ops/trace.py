"""A backend that writes ONNX nodes instead of computing: a step becomes a function body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Scope:
    """A list of nodes under construction, inside at most one enclosing scope.

    Args:
        dtype: numpy type in which it computes.
        parent: the enclosing scope, which holds the constants.
        prefix: of names.
        axes: number of axes that plain numbers get as constants.
    """

    def __init__(
        self, dtype: Any, parent: Scope | None = None, prefix: str = "", axes: int = 0
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.axes: int = axes if parent is None else parent.axes
        self.parent = parent
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self._count = 0
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def fresh(self, hint: str) -> str:
        """Return a name that no other value of the function has."""
        self._count += 1
        return f"{self.prefix}{hint}_{self._count}"

    def emit(self, op: str, inputs: Sequence[str], hint: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        out = self.fresh(hint or op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of a constant, shared and placed in the outermost scope."""
        if self.parent is not None:
            return self.parent.constant(value, dtype or self.dtype)
        array = np.asarray(value, dtype or self.dtype)
        key = (array.dtype.str, array.tobytes(), array.shape)
        if key not in self._constants:
            tensor = numpy_helper.from_array(array, "")
            self._constants[key] = self.emit("Constant", [], "const", value=tensor)
        return self._constants[key]


def refer(node: onnx.NodeProto, name: str, kind: Any, source: str = "") -> None:
    """Give a node an attribute that is one of the function's.

    Args:
        node: in the body of a function.
        name: of the node's attribute.
        kind: its type, of ``onnx.AttributeProto``.
        source: the function's attribute; default: of the same name.
    """
    node.attribute.add(name=name, type=kind, ref_attr_name=source or name)


def used_nodes(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, in order.

    A step may compute what its structure does not use. Left in a Scan body, such nodes make ONNX
    Runtime 1.17 reuse the memory of a state that is still needed.
    """
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(node)
        wanted.update(node.input)
        for attribute in node.attribute:
            for inner in attribute.g.node:
                wanted.update(inner.input)
    return kept[::-1]


class Traced:
    """A value of the graph under construction; arithmetic on it appends nodes to its scope.

    Attributes:
        scope: where its nodes go.
        name: of the value.
        fired: it is 1 where a neuron fired, else 0.
        silent: of a condition, the spikes of which it says that there are none.
    """

    __slots__ = ("fired", "name", "scope", "silent")
    __array_ufunc__ = None

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope = scope
        self.name = name
        self.fired = False
        self.silent: Traced | None = None

    def apply(self, op: str, *operands: Any, **attributes: Any) -> Traced:
        """Append ``op`` over the operands; numbers among them become constants.

        They get the axes that the scope says: with fewer than a step has, ONNX Runtime broadcasts
        value by value where the last axis is 1.
        """
        lead = (1,) * self.scope.axes
        names = [
            o.name
            if isinstance(o, Traced)
            else self.scope.constant(np.reshape(o, lead) if np.ndim(o) == 0 else o)
            for o in operands
        ]
        return Traced(self.scope, self.scope.emit(op, names, **attributes))

    def __add__(self, other: Any) -> Traced:
        return self.apply("Add", self, other)

    def __radd__(self, other: Any) -> Traced:
        return self.apply("Add", other, self)

    def __sub__(self, other: Any) -> Traced:
        return self.apply("Sub", self, other)

    def __rsub__(self, other: Any) -> Traced:
        return self.apply("Sub", other, self)

    def __mul__(self, other: Any) -> Traced:
        return self.apply("Mul", self, other)

    def __rmul__(self, other: Any) -> Traced:
        return self.apply("Mul", other, self)

    def __neg__(self) -> Traced:
        return self.apply("Sub", 0, self)

    def __truediv__(self, other: Any) -> Traced:
        return self.apply("Div", self, other)


class OnnxBackend:
    """Implements :class:`snnquant.neurons.arithmetic.Backend` by emitting nodes into a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def _node(self, op: str, *operands: Any, **attributes: Any) -> Traced:
        return Traced(self.scope, "").apply(op, *operands, **attributes)

    def where(self, condition: Any, yes: Any, no: Any) -> Traced:
        """Select elementwise.

        Real numbers that spikes select are multiplied by 0 and 1, which gives the same finite
        numbers: ONNX Runtime takes several times as long for Where.
        """
        spikes = condition.silent
        if spikes is not None and self.scope.dtype.kind == "f":
            kept: Traced = yes * (1 - spikes) + no * spikes
            return kept
        return self._node("Where", condition, yes, no)

    def equal(self, a: Any, b: Any) -> Traced:
        """Compare elementwise."""
        result = self._node("Equal", a, b)
        if isinstance(a, Traced) and a.fired and b == 0:
            result.silent = a
        return result

    def maximum(self, a: Any, b: Any) -> Traced:
        """Return the larger, elementwise."""
        return self._node("Max", a, b)

    def minimum(self, a: Any, b: Any) -> Traced:
        """Return the smaller, elementwise."""
        return self._node("Min", a, b)

    def zeros_like(self, a: Any) -> Any:
        """Return a zero that broadcasts."""
        return 0

    def floor(self, a: Any) -> Traced:
        """Round real numbers down."""
        return self._node("Floor", a)

    def ceil(self, a: Any) -> Traced:
        """Round real numbers up."""
        return self._node("Ceil", a)

    def spikes_above(self, v: Any, threshold: Any, on_equal: bool) -> Traced:
        """Return 1 where ``v > threshold`` (or ``>=``), else 0, in the scope's type."""
        fires = self._node("GreaterOrEqual" if on_equal else "Greater", v, threshold)
        kind = helper.np_dtype_to_tensor_dtype(self.scope.dtype)
        spikes = self._node("Cast", fires, to=kind)
        spikes.fired = True
        return spikes

    def counted(self, spikes: Any, v: Any, threshold: Any, divisor: Any, most: int) -> Any:
        """Return ``spikes``: there are no gradients here."""
        return spikes

    def power_of_two(self, exponent: Any) -> Any:
        """Return ``2**exponent``; a traced exponent gives a traced power."""
        return self._node("Pow", 2, exponent) if isinstance(exponent, Traced) else 2**exponent

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Divide integers, rounding down: ``(a - a mod b) / b`` (ONNX ``Div`` truncates)."""
        if not isinstance(a, Traced) and not isinstance(b, Traced):
            return a // b
        remainder = self._node("Mod", a, b)
        return self._node("Div", self._node("Sub", a, remainder), b)
