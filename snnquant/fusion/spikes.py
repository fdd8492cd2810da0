"""Spikes and inputs of the integer graph as uint8 values of the fused one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant.fusion.dims import (
    dims_of,
    leads_before,
    split_dims,
    window_of,
    window_space,
)
from snnquant.fusion.entry import HOLD, MOST, entry
from snnquant.fusion.view import Dim, Lead, NotFusedError, View
from snnquant.fusion.writer import Writer
from snnquant.passes.edit import constant, int_attribute, ints_attribute

#: Reads the first output of a node, given how many leading axes it has there.
Rule = Callable[["Spikes", ir.Node, int], View]


class Spikes:
    """Finds, and writes where needed, the fused version of spikes.

    Args:
        writer: of the fused graph.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.known: dict[tuple[ir.Value, int], View | NotFusedError] = {}

    def view(self, value: ir.Value | None, axes: int) -> View:
        """Return a value that has so many leading axes.

        Raises:
            NotFusedError: it is not known to be spikes, or an input, of 8 bits.
        """
        if value is None:
            raise NotFusedError("an input is missing")
        key = (value, axes)
        if key not in self.known:
            try:
                self.known[key] = self._find(value, axes)
            except NotFusedError as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, NotFusedError):
            raise NotFusedError(*found.args)
        return found

    def _find(self, value: ir.Value, axes: int) -> View:
        node = value.producer()
        rule = None if node is None or node.domain != "" else _RULES.get(node.op_type)
        if rule is None or node is None:
            return entry(self.writer, value, axes)
        try:
            return rule(self, node, axes)
        except NotFusedError as error:
            try:
                return entry(self.writer, value, axes)
            except NotFusedError:
                raise error from None


def _same(found: Spikes, node: ir.Node, axes: int) -> View:
    """Cast and Identity: 8-bit integers are the same in every type."""
    view = found.view(node.inputs[0], axes)
    if node.outputs[0].dtype not in HOLD or (view.zero and node.outputs[0].dtype == HOLD[0]):
        raise NotFusedError("it casts to a type that does not hold its input")
    return view


def with_lead(view: View, dims: tuple[Dim, ...], node: ir.Node, out: Writer) -> View:
    """Return a view behind a reshape of its leading axes.

    Args:
        view: before.
        dims: leading axes in the integer graph behind it.
        node: the reshape.
        out: where a reshape is written, if steps and samples are not those of before.
    """
    lead = view.lead
    try:
        return replace(view, lead=lead.reshaped(dims))
    except NotFusedError:
        if len(dims) != 2 or (not lead.timed and lead.steps is not None):
            raise
    last = [*view.space, view.channels]
    hint = f"{view.value.name}.steps"
    asked: ir.Value | None = None
    if isinstance(dims[0], int) or isinstance(dims[1], int):
        front = [dims[0], -1] if isinstance(dims[0], int) else [-1, dims[1]]
        asked = out.constant(np.array([*front, *last], np.int64), "fused.shape")
    elif node.op_type == "Reshape" and constant(node.inputs[1]) is None and node.inputs[1]:
        ends = [out.constant(np.array([k], np.int64), "fused.end") for k in (0, 2)]
        kind = ir.DataType.INT64
        first = out.standard("Slice", [node.inputs[1], *ends], f"{hint}.lead", [2], kind)
        rest = out.constant(np.array(last, np.int64), "fused.features")
        rank = 2 + len(last)
        asked = out.standard("Concat", [first, rest], f"{hint}.shape", [rank], axis=0)
    else:
        raise NotFusedError(f"a reshape to {list(dims)} may not lead back to steps and samples")
    value = out.standard("Reshape", [view.value, asked], hint, [*dims, *last])
    return replace(view, value=value, lead=Lead(2, True, *dims))


def reshaped_view(view: View, features: tuple[int, ...], out: Writer) -> View:
    """Return a view with other axes behind the leading ones in the integer graph.

    Raises:
        NotFusedError: channels or space would mix.
    """
    if features == view.features:
        return view
    if features[0] == view.channels and math.prod(features) == math.prod(view.features):
        value = out.features(view.value, view.lead, (*features[1:], view.channels))
        return replace(view, value=value, space=features[1:], flat=False)
    if len(features) == 1:
        return replace(view, flat=True)
    raise NotFusedError(f"a reshape from {list(view.features)} to {list(features)} mixes channels")


def _reshape(found: Spikes, node: ir.Node, axes: int) -> View:
    dims, features = split_dims(node.outputs[0], axes)
    source = node.inputs[0]
    if source is None:
        raise NotFusedError("an input is missing")
    reason = NotFusedError(f"a reshape to {list(features)} mixes axes")
    for before in leads_before(source, features):
        try:
            view = with_lead(found.view(source, before), dims, node, found.writer)
            return reshaped_view(view, features, found.writer)
        except NotFusedError as error:  # noqa: PERF203 - another reading may fit
            reason = error
    raise reason


def expanded_lead(lead: Lead, node: ir.Node, dims: tuple[Dim, ...]) -> Lead:
    """Return the leading axes behind an Expand that repeats something over time."""
    before = dims_of(node.inputs[0]) if node.inputs[0] is not None else ()
    after = dims_of(node.outputs[0])
    if before == after:
        return lead
    steps = dims[0]
    if lead.timed or lead.axes != 2 or len(before) != len(after) or before[1:] != after[1:]:
        raise NotFusedError("it is repeated along other axes than time")
    if not isinstance(steps, int) or lead.steps != 1:
        raise NotFusedError("it is repeated over a dynamic number of steps")
    return replace(lead, steps=steps)


def _expand(found: Spikes, node: ir.Node, axes: int) -> View:
    view = found.view(node.inputs[0], axes)
    return replace(view, lead=expanded_lead(view.lead, node, dims_of(node.outputs[0])[:axes]))


def _step(found: Spikes, node: ir.Node, axes: int) -> View:
    """Gather of one step, as a loop that was written out picks it."""
    index = constant(node.inputs[1])
    if index is None or index.size != 1 or int_attribute(node, "axis", 0) or axes != 1 + index.ndim:
        raise NotFusedError("it picks something else than one step")
    view = found.view(node.inputs[0], 2)
    if not view.lead.timed:
        raise NotFusedError("it picks a step of something without time")
    out = found.writer
    one = out.constant(index.reshape(()).astype(np.int64), "fused.step")
    dims = out_dims(view)[1:]
    value = out.standard("Gather", [view.value, one], f"{view.value.name}.step", dims, axis=0)
    return replace(
        view, value=value, lead=Lead(axes, False, 1 if axes == 2 else None, view.lead.batch)
    )


def out_dims(view: View) -> tuple[Dim, ...]:
    """Return the shape of a view's value."""
    lead = view.lead
    front = (lead.steps or "steps", lead.batch) if lead.timed else (lead.batch,)
    return (*front, *lead.rows, *view.space, view.channels)


def _pooled(found: Spikes, node: ir.Node, op: str, kernel: tuple[int, ...], high: int) -> View:
    view = _map(found, node, len(kernel))
    window = window_of(node, kernel, view.space)
    after = replace(view, space=window_space(window, view.space), high=high)
    made = found.writer.node(
        op,
        [view.value],
        [(f"{node.name}.spikes", int(ir.DataType.UINT8), out_dims(after))],
        window,
        name=node.name,
        doc=node.doc_string,
    )
    found.writer.remember(made[0], node.outputs[0], view.lead, view.zero)
    return replace(after, value=made[0], native=True)


def _map(found: Spikes, node: ir.Node, spatial: int) -> View:
    source = node.inputs[0]
    if source is None or len(dims_of(source)) != spatial + 2:
        raise NotFusedError("its map has other axes")
    view = found.view(source, 1)
    if view.flat:
        raise NotFusedError("its map has no channels")
    return view


def _max_pool(found: Spikes, node: ir.Node, axes: int) -> View:
    if axes != 1 or len(node.outputs) > 1:
        raise NotFusedError("it pools in another way")
    kernel = ints_attribute(node, "kernel_shape") or ()
    return _pooled(found, node, "QSpikeMaxPool", kernel, _map(found, node, len(kernel)).high)


def _sum_pool(found: Spikes, node: ir.Node, axes: int) -> View:
    """A depthwise convolution with ones."""
    ones = constant(node.inputs[1])
    if axes != 1 or ones is None or len(node.inputs) > 2 or (ones != 1).any():
        raise NotFusedError("its input is a current")
    view = _map(found, node, ones.ndim - 2)
    if ones.shape[:2] != (view.channels, 1) or int_attribute(node, "group", 1) != view.channels:
        raise NotFusedError("its input is a current")
    high = view.high * math.prod(ones.shape[2:])
    if view.zero or high > MOST:
        raise NotFusedError("sums of pooled spikes can leave 8 bits")
    return _pooled(found, node, "QSpikeSumPool", ones.shape[2:], high)


def _joined(found: Spikes, node: ir.Node, axes: int) -> list[View]:
    views = [found.view(value, axes) for value in node.inputs]
    first = views[0]
    for view in views[1:]:
        same = (view.space, view.flat, view.zero) == (first.space, first.flat, first.zero)
        if not same or not view.lead.matches(first.lead) or view.lead.timed != first.lead.timed:
            raise NotFusedError("it joins values of different layout")
    return views


def _add(found: Spikes, node: ir.Node, axes: int) -> View:
    views = _joined(found, node, axes)
    high = sum(view.high for view in views)
    if views[0].zero or high > MOST or views[0].channels != views[1].channels:
        raise NotFusedError("sums of spikes can leave 8 bits")
    after = replace(views[0], high=high, native=True)
    dims = (f"{node.name}.spikes", int(ir.DataType.UINT8), out_dims(after))
    inputs = [view.value for view in views]
    value = found.writer.node("QSpikeAdd", inputs, [dims], name=node.name)[0]
    found.writer.remember(value, node.outputs[0], after.lead)
    return replace(after, value=value)


def _concat(found: Spikes, node: ir.Node, axes: int) -> View:
    views = _joined(found, node, axes)
    rank = len(dims_of(node.outputs[0]))
    if int_attribute(node, "axis", 0) % rank != axes or (views[0].flat and views[0].space):
        raise NotFusedError("it joins something else than channels")
    after = replace(
        views[0],
        channels=sum(view.channels for view in views),
        high=max(view.high for view in views),
        native=all(view.native for view in views),
    )
    inputs = [view.value for view in views]
    hint = f"{node.outputs[0].name}.joined"
    value = found.writer.standard("Concat", inputs, hint, out_dims(after), axis=-1)
    found.writer.remember(value, node.outputs[0], after.lead, after.zero)
    return replace(after, value=value)


_RULES: dict[str, Rule] = {
    "Cast": _same,
    "Identity": _same,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Expand": _expand,
    "Gather": _step,
    "MaxPool": _max_pool,
    "Conv": _sum_pool,
    "Add": _add,
    "Concat": _concat,
}
