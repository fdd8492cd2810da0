"""States that neurons take and give: integers at the membrane scale, wherever they come from.

A state that goes from one neuron to the next, as in an unrolled loop, stays an integer, so that
both count in the same steps. An input of the graph becomes an integer input. Initial values become
integer constants, and anything else is rounded where it enters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, continue_group
from snnquant.lowering.plan import Plan
from snnquant.lowering.rule import first, operand
from snnquant.numerics import INT32, FloatArray, IntRange, quantize
from snnquant.ops.schema import LAST_SPIKES, OpSchema
from snnquant.passes.edit import expanded_constant

#: Last spikes enter as spikes do everywhere.
_SPIKES = IntRange(0, 255)
#: A refractory counter may come from outside, and only the neuron itself counts it down.
_COUNTER = Flow(Kind.INTEGER, 1.0, 0, INT32.high)


def _ports(node: ir.Node, schema: OpSchema) -> Iterator[tuple[str, ir.Value]]:
    """Yield the states that a node starts from, by name."""
    start = len(schema.inputs) - len(schema.state_names)
    for index, name in enumerate(schema.state_names):
        yield name, operand(node, start + index)


def _is_counter(schema: OpSchema, name: str) -> bool:
    return any(state.counter for state in schema.neuron.states if state.name == name)


def state_flow(schema: OpSchema, name: str, spikes: Flow, membrane: Flow) -> Flow:
    """Return the flow of one state of a neuron whose spikes and membranes are known."""
    if name == LAST_SPIKES:
        return spikes
    return _COUNTER if _is_counter(schema, name) else membrane


def state_scales(schema: OpSchema, membrane: FloatArray) -> dict[str, FloatArray]:
    """Return the real value of one integer step of every state; most are kept as membranes are."""
    return {
        name: np.ones(1) if name == LAST_SPIKES or _is_counter(schema, name) else membrane
        for name in schema.state_names
    }


def infer_states(
    node: ir.Node, schema: OpSchema, plan: Plan, spikes: Flow, membrane: Flow
) -> list[Flow | None]:
    """Return the flows of the final states; what the neuron goes on from joins its group."""
    flows: list[Flow | None] = []
    for name, value in _ports(node, schema):
        flow = state_flow(schema, name, spikes, membrane)
        flows.append(flow)
        entry = plan.flow(value)
        if value in plan.state_inputs and value not in plan.flows:
            plan.flows[value] = flow
        elif _same_kind(entry, flow) and flow.kind is Kind.CURRENT:
            continue_group(node.name or node.op_type, entry, flow)
    return flows


def _same_kind(entry: Flow, flow: Flow) -> bool:
    """Whether integers can go on as a state as they are, once their groups are one."""
    if flow.kind is Kind.CURRENT:
        return entry.kind is Kind.CURRENT and entry.membrane and entry.factor == flow.factor
    within = flow.low <= entry.low and entry.high <= flow.high
    return entry.kind is Kind.INTEGER and entry.factor == flow.factor and within


def emit_states(node: ir.Node, schema: OpSchema, out: Emitter, scale: FloatArray) -> list[ir.Value]:
    """Return the integers of the states that a node starts from.

    Args:
        node: the neuron.
        schema: its float op.
        out: the graph under construction.
        scale: membrane scale along the features.
    """
    values: list[ir.Value] = []
    shape: ir.Value | None = None
    for (name, value), final in zip(_ports(node, schema), node.outputs[1:], strict=False):
        flow = out.flow(final)
        limits, step = out.plan.target.state_range, scale
        if flow.kind is Kind.INTEGER:
            limits = _SPIKES if name == LAST_SPIKES else IntRange(0, INT32.high)
            step = np.ones(1)
        stored: Any = np.uint8 if name == LAST_SPIKES else np.int32
        hint = f"{node.name}.{name}.start"
        known = expanded_constant(value)
        if _same_kind(out.plan.flow(value), flow):
            values.append(out.cast(out.carrier(value), stored))
        elif known is not None:
            if shape is None:
                current = (
                    out.carrier(first(node)) if _carried(node, out) else out.float(first(node))
                )
                shape = out.op(
                    "Shape", [current], f"{node.name}.step_shape", np.int64, {"start": 1}
                )
            integers = quantize(known, step, limits).astype(stored)
            initial = out.constant(integers, f"{node.name}.{name}_init")
            values.append(out.op("Expand", [initial, shape], hint, stored))
        else:
            values.append(rounded(out, value, step, limits, stored, hint))
        values[-1].shape = values[-1].shape or value.shape
    return values


def _carried(node: ir.Node, out: Emitter) -> bool:
    return out.plan.flow(first(node)).kind is not Kind.FLOAT


def rounded(
    out: Emitter, value: ir.Value, step: FloatArray, limits: IntRange, stored: Any, hint: str
) -> ir.Value:
    """Round real values to integers, in float64, which holds every state exactly."""
    real = out.cast(out.float(value), np.float64)
    ratio = out.op("Div", [real, out.constant(step, f"{hint}.scale")], f"{hint}.ratio", np.float64)
    whole = out.op("Round", [ratio], f"{hint}.rounded", np.float64)
    low, high = (
        out.constant(np.array(bound, np.float64), f"{hint}.limit")
        for bound in (limits.low, limits.high)
    )
    return out.cast(out.op("Clip", [whole, low, high], f"{hint}.limited", np.float64), stored, hint)
