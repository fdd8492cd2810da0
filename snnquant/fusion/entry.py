"""Where spikes and inputs enter the fused graph: transposed to channels last, without a sign."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.fusion.dims import dims_of, split_dims
from snnquant.fusion.view import Lead, NotFusedError, View
from snnquant.fusion.writer import Writer
from snnquant.ops.schema import DOMAIN
from snnquant.passes.edit import constant

#: Most that a uint8 spike count can be.
MOST = 255
#: What the zero of an int8 input becomes.
_SHIFT = 128
#: Types that hold all of 0 to 255; all but the first hold negative numbers too.
HOLD = (
    ir.DataType.UINT8,
    ir.DataType.INT32,
    ir.DataType.INT64,
    ir.DataType.FLOAT,
    ir.DataType.DOUBLE,
)
#: Operations whose results are some of their first input's values.
_KEEPS = frozenset(
    {"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand"}
    | {"Tile", "Slice", "Gather", "MaxPool", "Split"}
)


def entry(out: Writer, value: ir.Value, axes: int) -> View:
    """Return a value that is not computed channels last, transposed."""
    low, high = _range(value)
    dims, (channels, *space) = split_dims(value, axes)
    zero = 0
    shifted = _requantized(out, value) if low < 0 else value
    if low < 0:
        zero = _SHIFT
        if shifted is value:
            real = out.cast(value, ir.DataType.FLOAT)
            by = out.constant(np.array(zero, np.float32), "fused.zero_point")
            shifted = out.standard("Add", [real, by], f"{value.name}.shifted", dims_of(value))
    whole = out.cast(shifted, ir.DataType.UINT8)
    last = out.channels_last(whole, axes)
    lead = Lead(1, False, None, dims[0])
    if axes > 1:
        lead = Lead(axes, True, dims[0], dims[1], dims[2:])
    out.remember(last, value, lead, zero)
    return View(last, lead, tuple(space), channels, high + zero, zero)


def _range(value: ir.Value) -> tuple[int, int]:
    """Return the limits of a value that holds 8-bit integers in whatever type.

    Raises:
        NotFusedError: it may hold something else.
    """
    node = value.producer()
    if value.dtype == ir.DataType.UINT8:
        most = node.attributes.get("max_spikes") if node is not None else None
        neuron = node is not None and node.domain == DOMAIN and value.index() == 0
        if neuron and most is not None:
            return 0, most.as_int()
        if node is not None and node.op_type == "Clip":
            held = constant(node.inputs[2]) if len(node.inputs) > 2 else None
            return 0, MOST if held is None else int(held)
        return 0, MOST
    if value.dtype == ir.DataType.INT8:
        return -_SHIFT, _SHIFT - 1
    if node is not None and node.domain == "" and node.op_type in _KEEPS and node.inputs[0]:
        if value.dtype not in HOLD:
            raise NotFusedError("it casts to a type that does not hold its input")
        return _range(node.inputs[0])
    raise NotFusedError("its input is not spikes or an input of 8 bits")


def _requantized(out: Writer, value: ir.Value) -> ir.Value:
    """Return an int8 input as uint8, quantized anew; another value as it is."""
    node = value.producer()
    source = None if node is None or node.domain != "" else node.inputs[0]
    if node is None or source is None:
        return value
    hint, dims = f"{value.name}.unsigned", dims_of(value)
    if node.op_type == "QuantizeLinear":
        zero = out.constant(np.array(_SHIFT, np.uint8), "fused.input_zero")
        kind = ir.DataType.UINT8
        scale = [value for value in node.inputs[1:2] if value is not None]
        inputs = [source, *scale, zero]
        return out.standard("QuantizeLinear", inputs, hint, dims, kind, doc=node.doc_string)
    if node.op_type == "Clip" and len(node.inputs) == 3:
        limits = [constant(limit) for limit in node.inputs[1:]]
        inner = _requantized(out, source)
        if inner is source or limits[0] is None or limits[1] is None:
            return value
        moved = [
            out.constant((limit.astype(np.int64) + _SHIFT).astype(np.uint8), "fused.input_limit")
            for limit in limits
            if limit is not None
        ]
        return out.standard("Clip", [inner, *moved], hint, dims, doc=node.doc_string)
    return value
