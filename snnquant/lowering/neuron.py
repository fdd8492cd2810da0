"""Neurons: constants at the membrane scale, and the integer op in place of the float one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.lowering.constants import (
    along_features,
    compact,
    parameters_of,
    warn_of_lost_leak,
)
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow, Kind, StaysFloat
from snnquant.lowering.inference import Neuron, neuron
from snnquant.lowering.integers import aligned_scale, neuron_integers, recurrent_integers
from snnquant.lowering.leak import centred
from snnquant.lowering.plan import Plan
from snnquant.lowering.requantize import Part, reach_of, rescaled
from snnquant.lowering.rule import Rule, first, operand
from snnquant.lowering.state import emit_states, infer_states, state_scales
from snnquant.neurons import Quantization
from snnquant.neurons.dynamics import V_THRESHOLD
from snnquant.numerics import (
    FLOAT32_EXACT,
    INT32,
    FloatArray,
    require_finite,
    round_to_int,
)
from snnquant.ops.schema import (
    CURRENT_SHIFT,
    DOMAIN,
    LEAK_ROUNDING,
    LEAK_SHIFT,
    RECURRENT_WEIGHT,
    STATE_BITS,
    OpSchema,
    op_name,
    schemas,
)
from snnquant.passes.edit import constant, int_attribute, shape_of


def infer(node: ir.Node, plan: Plan) -> list[Flow | None]:
    """A neuron closes its current's group: spikes have scale 1, a read-out keeps the scale."""
    schema = schemas()[node.op_type]
    if schema.integer:
        raise ModelError(f"node '{node.name}' is an integer neuron; give the float model")
    shape = shape_of(first(node))
    layer = Neuron(
        key=node,
        model=schema.neuron,
        parameters=parameters_of(node, schema),
        choices={c.name: int_attribute(node, c.name, c.default) for c in schema.neuron.choices},
        rank=None if shape is None else len(shape) - 2,
        recurrent_weight=_real_recurrent_weight(node) if schema.recurrent else None,
    )
    spikes, membrane = neuron(plan, layer, first(node), plan.flow(first(node)))
    outputs: list[Flow | None] = [spikes if schema.neuron.spiking else membrane]
    if schema.stateful:
        outputs += infer_states(node, schema, plan, spikes, membrane)
    if schema.with_membrane:
        outputs.append(membrane)
    return outputs


def _real_recurrent_weight(node: ir.Node) -> FloatArray:
    """Return the recurrent weights of a float neuron."""
    held = constant(operand(node, 1))
    if held is None:
        raise StaysFloat(f"its {RECURRENT_WEIGHT} is computed, not constant")
    return require_finite(held, f"{RECURRENT_WEIGHT} of neuron '{node.name}'")


def emit(node: ir.Node, out: Emitter) -> None:
    """Emit the integer neuron on int32 currents."""
    schema = schemas()[node.op_type]
    target = out.plan.target
    integer = schemas()[
        op_name(
            schema.neuron,
            integer=True,
            recurrent=schema.recurrent,
            stateful=schema.stateful,
            with_membrane=schema.with_membrane,
        )
    ]
    current, current_scale, shift = _current(node, out)
    scale = current_scale / 2**shift
    features = out.features(first(node))
    rank = 1 if features is None else len(features)
    aligned = aligned_scale(scale, rank)
    real = parameters_of(node, schema)
    factor = out.plan.threshold_factors.get(node.name or "")
    if factor is not None:
        held = along_features(real[V_THRESHOLD.name], rank)
        real = real | {V_THRESHOLD.name: held * along_features(factor, rank)}
    share = out.plan.centred.get(node.name or "")
    if share is not None:
        real = centred(real, share, aligned, target, rank)
    inputs = [current]
    if schema.recurrent:
        inputs.append(_recurrent_weight(node, out, aligned * 2**shift, features))
    constants = neuron_integers(
        schema.neuron,
        real,
        aligned,
        target,
        rank=rank,
        fire_on_equal=bool(int_attribute(node, "fire_on_equal", 0)),
    )
    for parameter in schema.neuron.parameters:
        if parameter.name not in constants:
            continue
        value, integers = along_features(real[parameter.name], rank), constants[parameter.name]
        if parameter.rule is Quantization.THRESHOLD and ((integers == 0) & (value > 0)).any():
            out.warn(
                "lost_threshold",
                f"neuron '{node.name}': {parameter.name} {value[value > 0].min():.6g} is less than "
                "one membrane step; every current fires it",
            )
        stored = compact(integers, features).astype(np.int32)
        inputs.append(out.constant(stored, f"{node.name}.{parameter.constant_name}"))
    if schema.stateful:
        inputs += emit_states(node, schema, out, aligned)
    attributes = {
        choice.name: int_attribute(node, choice.name, choice.default)
        for choice in schema.neuron.integer_choices()
    }
    attributes |= {
        LEAK_SHIFT.name: target.leak_shift,
        LEAK_ROUNDING.name: int(target.leak_rounding),
        CURRENT_SHIFT.name: shift,
        STATE_BITS.name: target.state_bits,
    }
    types = [ir.TensorType(ir.DataType(port.elem_type)) for port in integer.outputs]
    outputs = [
        ir.Value(name=out.fresh(old.name or "neuron"), type=kind, shape=old.shape)
        for old, kind in zip(node.outputs, types, strict=True)
    ]
    doc = (
        f"{node.op_type} '{node.name}' in integers: one membrane "
        f"step is worth {scale.min():.6g} to {scale.max():.6g}; {schema.neuron.equation}"
    )
    out.tape.op_multi_out(
        integer.name,
        inputs,
        attributes,
        outputs=outputs,
        domain=DOMAIN,
        name=node.name,
        doc_string=doc,
    )
    limit = target.state_range.high + 1
    for old, new in zip(node.outputs, outputs, strict=True):
        spiking = out.flow(old).kind is Kind.INTEGER
        out.set(old, new, None if spiking else limit)
    for name, step in state_scales(schema, scale).items():
        out.state_scales[f"{node.name}.{name}"] = step
    warn_of_lost_leak(node, real, target, out)
    out.layers.append(_describe(node, integer, inputs, real, scale))


def _describe(
    node: ir.Node,
    schema: OpSchema,
    inputs: list[ir.Value],
    real: dict[str, FloatArray],
    scale: FloatArray,
) -> dict[str, Any]:
    """Return what reports say about the neuron."""
    stored = dict(zip((port.name for port in schema.inputs), inputs, strict=True))
    constants = {}
    for name in schema.parameter_names:
        held = constant(stored[name])
        if held is not None:
            constants[name] = {"min": int(held.min()), "max": int(held.max())}
    return {
        "name": node.name,
        "op": schema.name,
        "kind": "neuron",
        "membrane_scale_min": float(scale.min()),
        "membrane_scale_max": float(scale.max()),
        "real": {k: {"min": float(v.min()), "max": float(v.max())} for k, v in real.items()},
        "integer": constants,
    }


def _current(node: ir.Node, out: Emitter) -> tuple[ir.Value, FloatArray, int]:
    """Return the current as int32, the scale that it is on, and its shift in the neuron."""
    source = first(node)
    flow = out.plan.flow(source)
    if flow.kind is Kind.CURRENT:
        shift = 0 if flow.group is None or flow.membrane else flow.group.root().current_shift
        return out.cast(out.carrier(source), np.int32), flow.scale(), shift
    group = out.plan.neurons[node].root()
    scale = group.scale if group.scale is not None else np.ones(1)
    shift = group.current_shift
    name = f"{node.name}.current"
    if out.plan.rescales(flow):
        part = Part(out.carrier(source), flow.factor / scale, out.bound(source))
        return out.cast(rescaled(out, [part], reach_of([part]), name)[0], np.int32), scale, shift
    if flow.kind is Kind.INTEGER:
        carried = out.cast(out.carrier(source), np.int32)
        steps = out.constant(
            INT32.saturate(round_to_int(flow.factor / scale)).astype(np.int32), f"{name}.steps"
        )
        return out.op("Mul", [carried, steps], name, np.int32), scale, shift
    step = out.constant(scale.astype(np.float32), f"{name}.scale")
    ratio = out.op("Div", [out.float(source), step], f"{name}.ratio", np.float32)
    whole = out.op("Round", [ratio], f"{name}.rounded", np.float32)
    limit = float(FLOAT32_EXACT)
    low, high = (out.constant(np.array(v, np.float32), f"{name}.limit") for v in (-limit, limit))
    return out.cast(out.op("Clip", [whole, low, high], f"{name}.limited"), np.int32), scale, shift


def _recurrent_weight(
    node: ir.Node, out: Emitter, scale: FloatArray, features: tuple[int, ...] | None
) -> ir.Value:
    """Return the recurrent weights, stored as int8, on the scale of the neuron they lead to."""
    term = out.plan.terms[node]
    gain = term.gain
    held = _real_recurrent_weight(node)
    decided = term.integers
    integers = (
        recurrent_integers(held, scale, gain, term.bits, features) if decided is None else decided.T
    )
    name = f"{node.name}.{RECURRENT_WEIGHT}"
    weight = out.cast(out.constant(integers.astype(np.int8), f"{name}.q"), np.int32)
    if gain == 1:
        return weight
    factor = out.constant(np.array(gain, np.int32), f"{name}.gain")
    doc = (
        f"{node.name}: {term.bits}-bit recurrent weights times {gain}, "
        f"one integer step of the current is worth {scale.min():.6g} to {scale.max():.6g}"
    )
    return out.op("Mul", [weight, factor], f"{name}.scaled", np.int32, doc=doc)


RULES = (
    Rule(
        tuple((DOMAIN, name) for name in schemas()),
        infer,
        emit,
        enters=True,
    ),
)
