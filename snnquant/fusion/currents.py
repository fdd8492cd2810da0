"""Currents of the integer graph as synapses that wait for their neurons."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.fusion.dims import dims_of, leads_before, split_dims
from snnquant.fusion.emit import summed
from snnquant.fusion.shared import reaches_few_neurons, shared_values
from snnquant.fusion.spikes import Spikes, expanded_lead, with_lead
from snnquant.fusion.synapses import convolution, matrix
from snnquant.fusion.view import Current, Dim, NotFusedError, Pending
from snnquant.fusion.writer import Writer, shape, within
from snnquant.numerics import INT32, IntArray
from snnquant.ops.fused import GAIN_SHIFT, Synapse
from snnquant.passes.edit import constant

#: Reads the first output of a node, given how many leading axes it has there.
Rule = Callable[["Currents", ir.Node, int], Current]

_NO_SYNAPSE = "its current does not come from a synapse"


class Currents:
    """Finds the synapses behind currents.

    A current that goes to several layers is written once, and what reads it takes that.

    Args:
        spikes: what the synapses read.

    Attributes:
        layers: fused op by the name of each synapse that was written so.
    """

    def __init__(self, spikes: Spikes) -> None:
        self.spikes = spikes
        self.known: dict[tuple[ir.Value, int], Current | NotFusedError] = {}
        self.layers: dict[str, str] = {}
        self._shared = shared_values(spikes.writer.graph)

    @property
    def writer(self) -> Writer:
        """Where nodes are written."""
        return self.spikes.writer

    def current(self, value: ir.Value | None, axes: int) -> Current:
        """Return a current that has so many leading axes.

        Raises:
            NotFusedError: it is no sum of synapses that fused ops can express.
        """
        if value is None:
            raise NotFusedError("an input is missing")
        key = (value, axes)
        if key not in self.known:
            node = value.producer()
            try:
                found = _found(self, node, axes)
                self.known[key] = self._once(value, found) if value in self._shared else found
            except NotFusedError as error:
                self.known[key] = error
        known = self.known[key]
        if isinstance(known, NotFusedError):
            raise NotFusedError(*known.args)
        return known

    def _once(self, value: ir.Value, current: Current) -> Current:
        """Return a current that several nodes use, written down if it is worth that."""
        if not current.synapses or (not current.lead.timed and reaches_few_neurons(value, _RULES)):
            return current
        written = self.written(current)
        self.writer.remember(written.extras[0], value, current.lead)
        return written

    def written(self, current: Current) -> Current:
        """Return a current with its synapses written as ops of their own."""
        total = summed(current, self.writer, self.layers)
        return replace(current, synapses=(), extras=(total,), written=current.sources)


def _found(found: Currents, node: ir.Node | None, axes: int) -> Current:
    rule = None if node is None or node.domain != "" else _RULES.get(node.op_type)
    if rule is None or node is None:
        raise NotFusedError(_NO_SYNAPSE)
    return rule(found, node, axes)


def _cast(found: Currents, node: ir.Node, axes: int) -> Current:
    source = node.inputs[0]
    if source is not None and source.dtype in (ir.DataType.UINT8, ir.DataType.INT8):
        return _shortcut(found, source, axes)
    if node.outputs[0].dtype not in (ir.DataType.INT32, ir.DataType.FLOAT):
        raise NotFusedError("its sums can leave 32 bits")
    current = found.current(source, axes)
    bounded = all(
        within(np.abs(s.weight).sum(axis=1) * s.view.reach + np.abs(s.bias), 0 * s.bias, s.gain)
        for s in current.synapses
    )
    if node.outputs[0].dtype == ir.DataType.FLOAT and (current.extras or not bounded):
        raise NotFusedError("its sums can reach 2**24")
    return current


def _shortcut(found: Currents, source: ir.Value, axes: int) -> Current:
    """Return spikes that are added to a current."""
    view = found.spikes.view(source, axes)
    if view.flat or view.zero or not view.lead.timed:
        raise NotFusedError(_NO_SYNAPSE)
    value = found.writer.cast(view.value, ir.DataType.INT32)
    return Current(view.lead, view.space, view.channels, (), (value,))


def _along_channels(held: npt.NDArray[np.generic], current: Current, axes: int) -> IntArray:
    """Return a constant, one value per channel.

    Raises:
        NotFusedError: it differs within a channel.
    """
    wide = (1,) * (axes + len(current.features) - held.ndim) + held.shape
    if len(wide) > axes + len(current.features) or any(
        size != 1 for k, size in enumerate(wide) if k != axes
    ):
        raise NotFusedError("a constant differs from neuron to neuron")
    values = np.broadcast_to(held.reshape(-1), (current.channels,))
    return np.asarray(values, np.int64)


def _product(found: Currents, node: ir.Node, axes: int) -> Current:
    for index in (1, 0):
        factor = constant(node.inputs[index])
        if factor is not None:
            break
    else:
        raise NotFusedError("it multiplies two computed values")
    current = found.current(node.inputs[1 - index], axes)
    extras = tuple(_scaled(found.writer, value, factor, current) for value in current.extras)
    synapses = []
    for synapse in current.synapses:
        gain = synapse.gain * int(factor.reshape(-1)[0])
        if factor.size != 1 or gain < 1 or gain & (gain - 1) or gain > 2**GAIN_SHIFT.high:
            raise NotFusedError("its factor is no power of two")
        bias = synapse.bias * int(factor.reshape(-1)[0])
        synapses.append(replace(synapse, gain=gain, bias=bias))
    return _checked(replace(current, synapses=tuple(synapses), extras=extras))


def _scaled(
    out: Writer, value: ir.Value, factor: npt.NDArray[np.generic], current: Current
) -> ir.Value:
    """Return an int32 value times a factor, one for all or one per channel."""
    if factor.size == 1:
        steps = factor.reshape(1)
    else:
        steps = _along_channels(factor, current, current.lead.axes)
    held = out.constant(steps.astype(np.int32), "fused.steps")
    return out.standard("Mul", [value, held], f"{value.name}.steps", shape(value))


def _checked(current: Current) -> Current:
    for synapse in current.synapses:
        sums = np.abs(synapse.weight).sum(axis=1) * synapse.view.reach
        if not within(sums, synapse.bias, synapse.gain):
            raise NotFusedError("its current can leave 32 bits")
    return current


def _negated(found: Currents, current: Current) -> Current:
    if any((s.weight < -127).any() for s in current.synapses):
        current = found.written(current)  # 128 is no weight.
    synapses = tuple(replace(s, weight=-s.weight, bias=-s.bias) for s in current.synapses)
    out = found.writer
    extras = tuple(out.standard("Neg", [v], f"{v.name}.negated", shape(v)) for v in current.extras)
    return replace(current, synapses=synapses, extras=extras)


def _sum(found: Currents, node: ir.Node, axes: int) -> Current:
    """Add and Sub: of a constant, or of another current."""
    if node.outputs[0].dtype != ir.DataType.INT32:
        raise NotFusedError("its sums can leave 32 bits")
    minus = node.op_type == "Sub"
    held = [constant(value) for value in node.inputs]
    for index, offset in enumerate(held):
        if offset is None:
            continue
        current = found.current(node.inputs[1 - index], axes)
        if not current.sources:
            raise NotFusedError(_NO_SYNAPSE)
        along = _along_channels(offset, current, axes)
        if minus and index == 0:
            current = _negated(found, current)
        if not current.synapses:
            return _offset(found.writer, current, -along if minus and index == 1 else along)
        first = current.synapses[0]
        biased = first.bias + (-along if minus and index == 1 else along)
        if np.abs(biased).max(initial=0) > INT32.high:
            raise NotFusedError("its current can leave 32 bits")
        synapses = (replace(first, bias=biased), *current.synapses[1:])
        return _checked(replace(current, synapses=synapses))
    sides = _sides(found, node, axes)
    if minus:
        sides[1] = _negated(found, sides[1])
    return _together(*sides)


def _offset(out: Writer, current: Current, along: IntArray) -> Current:
    """Return a current that was written, plus one value per channel."""
    held = out.constant(along.astype(np.int32), "fused.offset")
    first, *others = current.extras
    moved = out.standard("Add", [first, held], f"{first.name}.offset", shape(first))
    return replace(current, extras=(moved, *others))


def _together(first: Current, second: Current) -> Current:
    same = (first.space, first.channels) == (second.space, second.channels)
    if not same or not first.lead.matches(second.lead):
        raise NotFusedError("it adds currents of different layout")
    return Current(
        first.lead if first.lead.timed else second.lead,
        first.space,
        first.channels,
        first.synapses + second.synapses,
        first.extras + second.extras,
        first.written + second.written,
    )


def _sides(found: Currents, node: ir.Node, axes: int) -> list[Current]:
    """Return both operands; one may be a current that stays as it is."""
    sides: list[Current | NotFusedError] = []
    for value in node.inputs:
        try:
            sides.append(found.current(value, axes))
        except NotFusedError as error:  # noqa: PERF203 - each side has its own verdict
            sides.append(error)
    known = [side for side in sides if isinstance(side, Current)]
    if not any(side.sources for side in known):
        raise next((s for s in sides if isinstance(s, NotFusedError)), NotFusedError(_NO_SYNAPSE))
    return [
        side if isinstance(side, Current) else _as_it_is(found, value, axes, known[0], side)
        for side, value in zip(sides, node.inputs, strict=True)
    ]


def _as_it_is(
    found: Currents, value: ir.Value | None, axes: int, beside: Current, why: NotFusedError
) -> Current:
    """Return a current that is not fused, transposed."""
    if value is None or value.dtype != ir.DataType.INT32 or axes != 2 or not beside.lead.timed:
        raise why
    dims, features = split_dims(value, 2)
    if features != beside.features or dims != (beside.lead.steps, beside.lead.batch):
        raise why
    return replace(beside, synapses=(), extras=(found.writer.channels_last(value, 2),), written=())


def _same(found: Currents, node: ir.Node, axes: int) -> Current:
    return found.current(node.inputs[0], axes)


def _reshape(found: Currents, node: ir.Node, axes: int) -> Current:
    dims, features = split_dims(node.outputs[0], axes)
    source = node.inputs[0]
    if source is None:
        raise NotFusedError("an input is missing")
    reason = NotFusedError("a reshape of its current mixes axes")
    for before in leads_before(source, features):
        try:
            current = _with_lead(found.current(source, before), dims, node, found.writer)
            return current if current.features == features else _respaced(current, features)
        except NotFusedError as error:  # noqa: PERF203 - another reading may fit
            reason = error
    raise reason


def _with_lead(current: Current, dims: tuple[Dim, ...], node: ir.Node, out: Writer) -> Current:
    try:
        return replace(current, lead=current.lead.reshaped(dims))
    except NotFusedError:
        if current.extras:
            raise
    views = [with_lead(synapse.view, dims, node, out) for synapse in current.synapses]
    if any(view.lead != views[0].lead for view in views):
        raise NotFusedError("it adds currents of different layout")
    synapses = [replace(s, view=v) for s, v in zip(current.synapses, views, strict=True)]
    return replace(current, lead=views[0].lead, synapses=tuple(synapses))


def _respaced(current: Current, features: tuple[int, ...]) -> Current:
    """Drop spatial axes of size 1, all of them."""
    if features != (current.channels,) or math.prod(current.space) != 1 or current.extras:
        raise NotFusedError("a reshape of its current mixes channels")
    synapses = tuple(_as_linear(synapse, current.space) for synapse in current.synapses)
    return replace(current, space=(), synapses=synapses)


def _as_linear(synapse: Pending, space: tuple[int, ...]) -> Pending:
    """Return a convolution with one position as a linear synapse, if it reads its whole map."""
    view = synapse.view
    whole = synapse.kind is Synapse.CONV and synapse.group == 1
    if not whole or any(synapse.window["pads"]) or synapse.window["kernel_shape"] != view.space:
        raise NotFusedError("a reshape of its current mixes channels")
    return replace(synapse, view=replace(view, flat=True), kind=Synapse.LINEAR, window={})


def _expand(found: Currents, node: ir.Node, axes: int) -> Current:
    current = found.current(node.inputs[0], axes)
    lead = expanded_lead(current.lead, node, dims_of(node.outputs[0])[:axes])
    return replace(current, lead=lead)


_RULES: dict[str, Rule] = {
    "Conv": lambda found, *at: convolution(found.spikes, *at),
    "Gemm": lambda found, *at: matrix(found.spikes, *at),
    "MatMul": lambda found, *at: matrix(found.spikes, *at),
    "Cast": _cast,
    "Mul": _product,
    "Add": _sum,
    "Sub": _sum,
    "Identity": _same,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Expand": _expand,
}
