"""The inputs and outputs of an imported file: the original's names, types and shapes.

A batch size that the original fixes binds its interface only. The file declares it, and remembers
where, so that whoever reads the file again has a graph for any batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import onnx
from onnx import helper

from snnquant.instrument import ModelLayout
from snnquant.model_file import metadata

#: Metadata: the fixed batch size, and the axis and symbol of the batch by input or output.
_BATCH_KEY = "snnquant.fixed_batch"
_SYMBOL = "batch"


def declare_interface(
    canonical: onnx.ModelProto,
    original: onnx.ModelProto,
    layout: ModelLayout,
    fixed_batch: int | None,
) -> onnx.ModelProto:
    """Return a canonical graph whose inputs and outputs are declared as the original's.

    Args:
        canonical: the graph.
        original: a model with the same inputs and outputs, declared as they are to be.
        layout: where the batch stands in them.
        fixed_batch: batch size that the interface is bound to; None: any.
    """
    bound = onnx.ModelProto()
    bound.CopyFrom(canonical)
    shapes = {v.name: v.type for v in (*original.graph.input, *original.graph.output)}
    for value in (*bound.graph.input, *bound.graph.output):
        declared = shapes.get(value.name)
        if declared is not None and declared.tensor_type.HasField("shape"):
            value.type.CopyFrom(declared)
    if fixed_batch is None:
        return bound
    places: dict[str, tuple[int, str]] = {}
    axes = {entry.name: entry.batch_axis for entry in (*layout.inputs, *layout.outputs)}
    for value in (*bound.graph.input, *bound.graph.output):
        axis = axes.get(value.name)
        shape = value.type.tensor_type.shape
        if axis is not None and axis < len(shape.dim):
            places[value.name] = (axis, shape.dim[axis].dim_param or _SYMBOL)
            shape.dim[axis].dim_value = fixed_batch
    # Shapes of inner values say "any batch", which the interface now contradicts.
    del bound.graph.value_info[:]
    remembered = json.dumps({"batch": fixed_batch, "places": places}, sort_keys=True)
    properties = metadata(bound) | {_BATCH_KEY: remembered}
    helper.set_model_props(bound, dict(sorted(properties.items())))
    return bound


def free_batch(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int | None]:
    """Return a model for any batch size, and the size that its interface was bound to, if any.

    Only undoes what :func:`declare_interface` did; another model is returned as it is.
    """
    properties = metadata(model)
    text = properties.pop(_BATCH_KEY, None)
    if text is None:
        return model, None
    free = onnx.ModelProto()
    free.CopyFrom(model)
    helper.set_model_props(free, properties)
    try:
        held = json.loads(text)
        batch, places = int(held["batch"]), dict(held["places"])
        _set_symbols((*free.graph.input, *free.graph.output), batch, places)
    except (*(ValueError, TypeError, KeyError, AttributeError), OverflowError, RecursionError):
        return model, None  # metadata is a help, not a condition
    return free, batch


def _set_symbols(
    values: Iterable[onnx.ValueInfoProto], batch: int, places: dict[str, tuple[int, str]]
) -> None:
    """Make the remembered dimensions dynamic again."""
    for value in values:
        dims = value.type.tensor_type.shape.dim
        axis, symbol = places.get(value.name, (len(dims), ""))
        if 0 <= int(axis) < len(dims) and dims[int(axis)].dim_value == batch:
            dims[int(axis)].dim_param = str(symbol) or _SYMBOL
