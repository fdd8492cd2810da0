"""Writes integers on other steps: multiplied, shifted with rounding, limited, all in int64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from snnquant.lowering.flow import Flow
from snnquant.lowering.scaling import Scaling, choose_scaling
from snnquant.numerics import INT32, FloatArray, IntRange

if TYPE_CHECKING:
    from snnquant.lowering.emitter import Emitter

_SMALL = (np.uint8, np.int8)


@dataclass(frozen=True)
class Part:
    """Integers of a sum, and what each is worth in steps of the result.

    Attributes:
        carrier: the integers.
        factor: broadcastable against the last axes.
        reach: largest magnitude of the integers.
    """

    carrier: ir.Value
    factor: FloatArray
    reach: int


def part_of(out: Emitter, value: ir.Value, step: float, sign: int = 1) -> Part:
    """Return a value as a part of a sum that counts in steps of this real value."""
    factor = sign * out.flow(value).scale() / step
    return Part(out.carrier(value), factor, out.bound(value))


def rescaled(
    out: Emitter,
    parts: Sequence[Part],
    limits: IntRange,
    hint: str,
    doc: str = "",
    offset: FloatArray | None = None,
) -> tuple[ir.Value, Scaling]:
    """Write a sum of parts in the smallest type that holds its limits; return it and how."""
    scaling = choose_scaling([p.factor for p in parts], [p.reach for p in parts], limits, offset)
    total: ir.Value | None = None
    for part, multiplier in zip(parts, scaling.multipliers, strict=True):
        wide = out.cast(part.carrier, np.int64)
        factor = out.constant(_compact(multiplier), f"{hint}.multiplier")
        product = out.op("Mul", [wide, factor], f"{hint}.product", np.int64, doc=doc)
        if total is None:
            total = product
        else:
            total = out.op("Add", [total, product], f"{hint}.sum", np.int64)
    if total is None:
        raise RuntimeError(f"'{hint}' has no parts")
    start = out.constant(_compact(scaling.start), f"{hint}.rounding")
    total = out.op("Add", [total, start], f"{hint}.started", np.int64)
    zero = out.constant(np.array(0, np.int64), f"{hint}.zero")
    total = out.op("Max", [total, zero], f"{hint}.above", np.int64)
    divisor = out.constant(_compact(scaling.divisor), f"{hint}.divisor")
    total = out.op("Div", [total, divisor], f"{hint}.shifted", np.int64)
    span = out.constant(np.array(limits.high - limits.low, np.int64), f"{hint}.span")
    total = out.op("Min", [total, span], f"{hint}.below", np.int64)
    if limits.low:
        low = out.constant(np.array(limits.low, np.int64), f"{hint}.low")
        total = out.op("Add", [total, low], f"{hint}.signed", np.int64)
    return out.cast_exactly(total, _smallest(limits), hint), scaling


def requantized(
    out: Emitter,
    value: ir.Value,
    flow: Flow,
    parts: Sequence[Part],
    offset: FloatArray | None = None,
) -> ir.Value:
    """Write a value as integers on calibrated steps, and say so in the report.

    Args:
        out: the graph under construction.
        value: of the float graph.
        flow: the steps, and the limits.
        parts: what it is the sum of, in these steps.
        offset: real number of steps that is added.
    """
    bits = (flow.high - flow.low).bit_length()
    name = f"{value.name}.requantized"
    doc = f"{name}: {bits} bits, one integer step is worth {flow.factor:.6g}"
    limits = IntRange(flow.low, flow.high)
    carrier, scaling = rescaled(out, parts, limits, name, doc, offset)
    carrier.shape = value.shape
    out.requantizations.append(_describe(value, flow, scaling))
    return carrier


def _describe(value: ir.Value, flow: Flow, scaling: Scaling) -> dict[str, Any]:
    """Return what reports say of a value on steps of its own."""
    node = value.producer()
    return {
        "value": value.name,
        "op": "" if node is None else node.op_type,
        "scale": flow.factor,
        "low": flow.low,
        "high": flow.high,
        "channels": int(scaling.shift.size),
        "multiplier_min": min(int(m.min()) for m in scaling.multipliers),
        "multiplier_max": max(int(m.max()) for m in scaling.multipliers),
        "shift_min": int(scaling.shift.min()),
        "shift_max": int(scaling.shift.max()),
    }


def _smallest(limits: IntRange) -> Any:
    for kind in (*_SMALL, np.int32):
        info = np.iinfo(kind)
        if info.min <= limits.low and limits.high <= info.max:
            return kind
    return np.int64


def _compact(array: Any) -> Any:
    """Return an array that is the same everywhere as one number."""
    same = array.size and (array == array.flat[0]).all()
    return np.array(array.flat[0], np.int64) if same else np.asarray(array, np.int64)


def reach_of(parts: Sequence[Part]) -> IntRange:
    """Return limits that no sum of the parts reaches, within 32 bits."""
    most = sum(np.abs(part.factor).max(initial=0.0) * part.reach for part in parts)
    high = int(min(np.ceil(most) + 1, INT32.high))
    return IntRange(-high, high)
