"""Second walk: write the integer graph, node by node, in the order of the float graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.errors import ModelError, NumericalError
from snnquant.lowering.flow import Flow, Kind
from snnquant.lowering.plan import Plan
from snnquant.lowering.requantize import part_of, requantized
from snnquant.names import take_name
from snnquant.numerics import FLOAT32_EXACT, INT32, INT64, FloatArray, IntRange
from snnquant.passes.edit import constant

DTypeLike = npt.DTypeLike


class Emitter:
    """The integer graph under construction.

    Values of the float graph are the keys. Each may have an integer carrier (any of uint8, int8,
    int32, or float32 while its integers are below 2**24) and a float version, made on demand.

    Attributes:
        state_scales: real value of one integer step of what goes on from time step to time step,
            as ``<node>.<state>``: states of neurons, sums and maxima.
        requantizations: what reports say of values that were brought to other steps.
    """

    def __init__(self, model: ir.Model, plan: Plan) -> None:
        self.source = model.graph
        self.plan = plan
        self.tape = ir.tape.Tape()
        self.inputs: list[ir.Value] = []
        self.layers: list[dict[str, Any]] = []
        self.state_scales: dict[str, FloatArray] = {}
        self.warnings: list[dict[str, str]] = []
        self.requantizations: list[dict[str, Any]] = []
        self._narrow: dict[ir.Value, ir.Value] = {}
        self._carriers: dict[ir.Value, ir.Value] = {}
        self._floats: dict[ir.Value, ir.Value] = {}
        self._casts: dict[tuple[ir.Value, str], ir.Value] = {}
        self._weights: dict[tuple[Any, ...], tuple[npt.NDArray[Any], ir.Value]] = {}
        self._bounds: dict[ir.Value, int] = {}
        self._names: set[str] = {v.name or "" for v in (*model.graph.inputs, *model.graph.outputs)}

    # -- building ------------------------------------------------------------------------------

    def fresh(self, hint: str) -> str:
        """Return a value name that is not in use."""
        return take_name(hint, self._names)

    def constant(self, array: npt.NDArray[Any], hint: str) -> ir.Value:
        """Add an initializer; weights of a loop that was written out are there once."""
        array = np.asarray(array, order="C")
        key = (hint, array.dtype.str, array.shape, hash(array.tobytes()))
        known, value = self._weights.get(key, (None, None))
        if value is not None and known is not None and np.array_equal(known, array):
            return value
        stored = self.tape.initializer(ir.tensor(array, name=self.fresh(hint)))
        if array.ndim > 1:
            self._weights[key] = array, stored
        return stored

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        hint: str,
        dtype: DTypeLike | None = None,
        attributes: dict[str, Any] | None = None,
        doc: str | None = None,
        node_name: str | None = None,
    ) -> ir.Value:
        """Add a standard node with one output of a known type; by default it has its name."""
        name = self.fresh(hint)
        out = self.tape.op(
            op_type, list(inputs), attributes=attributes, name=node_name or name, doc_string=doc
        )
        out.name = name
        out.type = inputs[0].type
        if dtype is not None:
            out.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
        return out

    def cast(self, value: ir.Value, dtype: DTypeLike, hint: str | None = None) -> ir.Value:
        """Return the value in another type, one Cast per value and type."""
        wanted = ir.DataType.from_numpy(np.dtype(dtype))
        if value.dtype == wanted:
            return value
        key = (value, wanted.name)
        if key not in self._casts:
            if value.dtype == ir.DataType.INT64 and wanted == ir.DataType.INT32:
                value = self._limited(value, INT32)
            name = hint or f"{value.name}.{np.dtype(dtype).name}"
            self._casts[key] = self.op("Cast", [value], name, dtype, {"to": wanted})
            self._casts[key].shape = value.shape
        return self._casts[key]

    def cast_exactly(self, value: ir.Value, dtype: DTypeLike, hint: str) -> ir.Value:
        """Return a value that the other type holds, in that type and under a name of its own."""
        wanted = ir.DataType.from_numpy(np.dtype(dtype))
        return self.op("Cast", [value], hint, dtype, {"to": wanted})

    # -- values --------------------------------------------------------------------------------

    def set(self, old: ir.Value, new: ir.Value, bound: int | None = None) -> None:
        """Record the integer carrier of a value, and the largest magnitude it can have."""
        self._carriers[old] = new
        # Without it ONNX Runtime takes what follows a neuron of unknown shape for a scalar.
        new.shape = new.shape or old.shape
        if bound is not None:
            self._bounds[old] = bound
            if bound > INT64.high:
                raise NumericalError(
                    f"the sum at '{old.name}' can reach {bound}, beyond 64 bits; use fewer steps"
                )

    def warn(self, code: str, message: str) -> None:
        """Note something that a user should know."""
        self.warnings.append({"code": code, "message": message})

    def sum_type(self, bound: int) -> DTypeLike:
        """Return the integer type in which a sum of this magnitude is exact."""
        return np.int32 if bound <= INT32.high else np.int64

    def _limited(self, value: ir.Value, limits: IntRange) -> ir.Value:
        """Limit an int64 value, so that a cast to a narrower type saturates instead of wrapping."""
        low, high = (
            self.constant(np.array(bound, np.int64), f"{value.name}.limit")
            for bound in (limits.low, limits.high)
        )
        return self.op("Clip", [value, low, high], f"{value.name}.limited", np.int64)

    def set_float(self, old: ir.Value, new: ir.Value) -> None:
        """Record the float version of a value."""
        self._floats[old] = new

    def flow(self, value: ir.Value) -> Flow:
        """Return the flow under which the carrier of a value is kept."""
        flow = self.plan.flow(value)
        return self.plan.points[value] if flow.kind is Kind.FLOAT else flow

    def bound(self, value: ir.Value) -> int:
        """Return the largest magnitude that the integers of a value can have."""
        if value in self._bounds:
            return self._bounds[value]
        return self.flow(value).reach

    def carrier(self, value: ir.Value) -> ir.Value:
        """Return the integers of a value, in whatever type they are."""
        if value not in self._carriers:
            self._enter(value)
        return self._carriers[value]

    def narrowed(self, value: ir.Value, flow: Flow) -> ir.Value:
        """Return a value as the integers that one of its readers takes.

        Args:
            value: of the float graph.
            flow: an INTEGER one: the value's own, or what it is brought to.
        """
        own = self.plan.flow(value)
        if own.kind is Kind.FLOAT or own is flow:
            return self.carrier(value)
        if value not in self._narrow:
            if self.plan.analog:
                parts = [part_of(self, value, flow.factor)]
                self._narrow[value] = requantized(self, value, flow, parts)
            else:
                self.narrow_again(value)
        return self._narrow[value]

    def narrow_again(self, value: ir.Value) -> None:
        """Let the float version of a value be what its readers on other steps take."""
        flow, name = self.plan.points[value], f"{value.name}.requantized"
        self._narrow[value] = self._quantize(self.float(value), flow, name)

    def has_float(self, value: ir.Value) -> bool:
        """Whether a value is there as it is in the float graph, or dequantized already."""
        return value in self._floats or (
            value not in self._carriers and constant(value) is not None
        )

    def has_carrier(self, value: ir.Value) -> bool:
        """Whether the integers of a value are there."""
        return value in self._carriers

    def enter_again(self, value: ir.Value) -> None:
        """Let the float version of a value be what integers go on from, in place of its own."""
        flow = self.plan.flow(value)
        entered = self._quantize(self._floats[value], flow, f"{value.name}.quantized")
        self.set(value, entered, flow.reach)

    def real(self, value: ir.Value) -> ir.Value:
        """Return the integers of a value in a floating type that holds each of them exactly."""
        wide = self.bound(value) >= FLOAT32_EXACT
        return self.cast(self.carrier(value), np.float64 if wide else np.float32)

    def float(self, value: ir.Value) -> ir.Value:
        """Return the real values, dequantized if there are only integers."""
        if value in self._floats:
            return self._floats[value]
        if value not in self._carriers:
            held = constant(value)
            if held is None:
                raise RuntimeError(f"value '{value.name}' was not emitted")
            self._floats[value] = self.constant(held, value.name or "constant")
            return self._floats[value]
        self._floats[value] = self.dequantize(value, f"{value.name}.float")
        return self._floats[value]

    def dequantize(self, value: ir.Value, hint: str) -> ir.Value:
        """Multiply the integers of a value by their scale, in float32."""
        scale = self.flow(value).scale()
        if scale.size == 1 and scale[0] == 1:
            return self.op(
                "Cast", [self.carrier(value)], hint, np.float32, {"to": ir.DataType.FLOAT}
            )
        real = self.cast(self.carrier(value), np.float32)
        factor = self.constant(scale.astype(np.float32), f"{value.name}.scale")
        return self.op("Mul", [real, factor], hint, np.float32)

    def _enter(self, value: ir.Value) -> None:
        """Quantize a float value where it enters the integers."""
        flow = self.plan.points[value]
        real = self._floats[value]
        self.set(
            value,
            self._quantize(real, flow, f"{value.name}.quantized"),
            flow.reach,
        )

    def _quantize(self, real: ir.Value, flow: Flow, hint: str) -> ir.Value:
        """Emit ``clamp(round(x / scale))`` as QuantizeLinear (float32 division, ties to even)."""
        real = self.cast(real, np.float32)
        held = np.uint8 if flow.low >= 0 else np.int8
        scale = self.constant(np.array(flow.factor, np.float32), f"{hint}.scale")
        zero = self.constant(np.array(0, held), f"{hint}.zero_point")
        bits = (flow.high - flow.low).bit_length()
        doc = f"{hint}: {bits}-bit input, one integer step is worth {flow.factor:.6g}"
        entered = self.op("QuantizeLinear", [real, scale, zero], hint, held, doc=doc)
        info = np.iinfo(held)
        if (flow.low, flow.high) != (info.min, info.max):
            low = self.constant(np.array(flow.low, held), f"{hint}.low")
            high = self.constant(np.array(flow.high, held), f"{hint}.high")
            entered = self.op("Clip", [entered, low, high], f"{hint}.limited", held, doc=doc)
        return entered

    # -- graph ---------------------------------------------------------------------------------

    def copy(self, node: ir.Node, name: str | None = None) -> None:
        """Emit a node as it is, on float values (or on carriers where only the shape matters).

        Args:
            node: of the float graph.
            name: of the copy, where its own is needed for another node.
        """
        if any(attr.type == ir.AttributeType.GRAPH for attr in node.attributes.values()):
            raise ModelError(
                f"node '{node.name}' ({node.op_type}) holds a graph of its own, which cannot be "
                "carried into the integer model; export without loops and conditions"
            )
        inputs: list[ir.Value | None] = []
        for value in node.inputs:
            if value is None:
                inputs.append(None)
            elif node.op_type == "Shape" and node.domain == "" and value in self._carriers:
                inputs.append(self._carriers[value])
            else:
                inputs.append(self.float(value))
        attributes = {name: attr for name, attr in node.attributes.items()}
        outputs = []
        for old in node.outputs:
            new = ir.Value(name=self.fresh(old.name or "value"), type=old.type, shape=old.shape)
            outputs.append(new)
            self._floats[old] = new
        self.tape.op_multi_out(
            node.op_type,
            inputs,
            attributes=attributes,
            outputs=outputs,
            domain=node.domain,
            name=name or node.name,
        )

    def features(self, value: ir.Value) -> tuple[int, ...] | None:
        """Return the static dimensions behind time and batch of a ``[T, B, ...]`` value."""
        if value.shape is None:
            return None
        dims = list(value.shape)[2:]
        known = [d for d in dims if isinstance(d, int)]
        return tuple(known) if len(known) == len(dims) else None
