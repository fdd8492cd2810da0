"""Writes nodes of the fused graph, in front of the node that is being replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.fusion.twin import Twin
from snnquant.fusion.view import Current, Dim, Lead, View
from snnquant.names import take_name
from snnquant.numerics import FLOAT32_EXACT, INT32, IntArray
from snnquant.ops.schema import DOMAIN


class Writer:
    """Adds nodes and initializers to a graph.

    Attributes:
        graph: that is edited.
        anchor: new nodes go in front of it.
        synapses: name of the synapse in each fused neuron node, by the node's name.
        twins: values that both graphs have.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.anchor: ir.Node = next(iter(graph))
        self.synapses: dict[str, str] = {}
        self.twins: list[Twin] = []
        self._names = {v.name or "" for v in graph.inputs} | set(graph.initializers)
        self._names |= {v.name or "" for node in graph for v in node.outputs}
        self._constants: dict[tuple[Any, ...], ir.Value] = {}
        #: Channels last to channels first, and back.
        self._other_layout: dict[tuple[ir.Value, int], ir.Value] = {}
        self._made: dict[tuple[Any, ...], ir.Value] = {}

    def fresh(self, hint: str) -> str:
        """Return a value name that is not in use."""
        return take_name(hint, self._names)

    def constant(self, array: npt.NDArray[Any], hint: str) -> ir.Value:
        """Return an initializer; equal weights, and equal ones of the same hint, are there once."""
        array = np.asarray(array, order="C")
        # A loop that was written out has its weights in every step, under other names.
        key = (hint if array.ndim < 2 else "", array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.fresh(hint)
            tensor = ir.tensor(array, name=name)
            value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape))
            value.type = ir.TensorType(tensor.dtype)
            self.graph.register_initializer(value)
            self._constants[key] = value
        return self._constants[key]

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        outputs: Sequence[tuple[str, int, Sequence[Dim]]],
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        domain: str = DOMAIN,
        doc: str | None = None,
    ) -> list[ir.Value]:
        """Insert a node; outputs are hints of their names, element types and shapes."""
        values = [
            ir.Value(
                name=self.fresh(hint), type=ir.TensorType(ir.DataType(kind)), shape=ir.Shape(dims)
            )
            for hint, kind, dims in outputs
        ]
        made = ir.Node(
            domain,
            op_type,
            list(inputs),
            [ir.Attr(k, *_attribute(v)) for k, v in (attributes or {}).items()],
            outputs=values,
            name=name or values[0].name,
            doc_string=doc,
        )
        self.anchor.prepend(made)
        return values

    def standard(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        hint: str,
        dims: Sequence[Dim],
        kind: ir.DataType | None = None,
        doc: str | None = None,
        **attributes: Any,
    ) -> ir.Value:
        """Insert a standard node with one output; the same node on the same inputs is there once.

        Args:
            op_type: its type.
            inputs: its inputs.
            hint: name of the output, if it is free.
            dims: shape of the output.
            kind: type of the output; default that of the first input.
            doc: of the node.
            attributes: of the node.
        """
        key = (op_type, tuple(inputs), tuple(dims), kind, str(attributes))
        if key not in self._made:
            element = kind or inputs[0].dtype or ir.DataType.UNDEFINED
            results = [(hint, int(element), dims)]
            made = self.node(op_type, inputs, results, attributes, domain="", doc=doc)
            self._made[key] = made[0]
        return self._made[key]

    def cast(self, value: ir.Value, kind: ir.DataType) -> ir.Value:
        """Return a value in another type."""
        if value.dtype == kind:
            return value
        hint = f"{value.name}.{kind.name.lower()}"
        return self.standard("Cast", [value], hint, shape(value), kind, to=int(kind))

    def features(self, value: ir.Value, lead: Lead, features: Sequence[int]) -> ir.Value:
        """Return a value with other axes behind its leading ones."""
        before = shape(value)
        wanted = (*before[: lead.rank], *features)
        if wanted == before:
            return value
        # 0 keeps a size.
        asked = self.constant(np.array([0] * lead.rank + list(features), np.int64), "fused.shape")
        return self.standard("Reshape", [value, asked], f"{value.name}.reshaped", wanted)

    def channels_last(self, value: ir.Value, lead: int) -> ir.Value:
        """Return ``[lead..., channels, *space]`` with the channels last."""
        rank = len(shape(value))
        return self._transposed(value, lead, [*range(lead + 1, rank), lead], "last")

    def channels_first(self, value: ir.Value, lead: int) -> ir.Value:
        """Return ``[lead..., *space, channels]`` with the channels first."""
        rank = len(shape(value))
        return self._transposed(value, lead, [rank - 1, *range(lead, rank - 1)], "first")

    def _transposed(self, value: ir.Value, lead: int, order: list[int], hint: str) -> ir.Value:
        """Return a value with the axes behind its leading ones in another order."""
        if len(order) < 2:
            return value
        if (value, lead) not in self._other_layout:
            perm = [*range(lead), *order]
            dims = shape(value)
            moved = [dims[k] for k in perm]
            made = self.standard("Transpose", [value], f"{value.name}.{hint}", moved, perm=perm)
            self._other_layout |= {(value, lead): made, (made, lead): value}
        return self._other_layout[value, lead]

    def plain(self, value: ir.Value, of: View | Current) -> ir.Value:
        """Return a value of the fused graph as the integer graph has it, leading axes included."""
        lead = of.lead
        first = self.channels_first(value, lead.rank)
        if lead.rank == lead.axes and of.features == (of.channels, *of.space):
            return first
        rows: list[int] = [-1] if lead.axes == 1 else [0, 0]
        batch = f"{first.name}[0]"
        dims: list[Dim] = [batch] if lead.axes == 1 else list(shape(first)[:2])
        asked = self.constant(np.array([*rows, *of.features], np.int64), "fused.shape")
        hint = f"{first.name}.reshaped"
        return self.standard("Reshape", [first, asked], hint, [*dims, *of.features])

    def remember(self, value: ir.Value, plain: ir.Value, lead: Lead, zero: int = 0) -> None:
        """Note that a value of the fused graph equals one of the integer graph."""
        if lead.timed or lead.steps in (None, 1):
            twin = Twin(value.name or "", plain.name or "", lead.rank, zero)
            if twin not in self.twins:
                self.twins.append(twin)


def shape(value: ir.Value) -> tuple[Dim, ...]:
    """Return the shape of a value, names for sizes that are not fixed."""
    if value.shape is None:
        raise RuntimeError(f"'{value.name}' has no shape")
    return tuple(
        d if isinstance(d, int) else d.value or f"{value.name}[{k}]"
        for k, d in enumerate(value.shape)
    )


def _attribute(value: Any) -> tuple[ir.AttributeType, Any]:
    if isinstance(value, int):
        return ir.AttributeType.INT, value
    return ir.AttributeType.INTS, [int(v) for v in value]


def within(sums: IntArray, bias: IntArray, gain: int) -> bool:
    """Whether sums are exact in float32, and their multiples with a bias within 32 bits."""
    exact = int(sums.max(initial=0)) < FLOAT32_EXACT
    return exact and int((sums * gain + np.abs(bias)).max(initial=0)) <= INT32.high
