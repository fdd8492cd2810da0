"""The quantization stage: canonical float graph + calibration -> integer graph."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from snnquant.errors import ModelError, NumericalError, first_line
from snnquant.fusion import Fusion, fuse_model
from snnquant.lowering import RULES
from snnquant.lowering.decided import Coarser, Decided, choose_scales, make_coarser
from snnquant.lowering.emission import Emission
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Kind
from snnquant.lowering.layer_options import check_layers
from snnquant.lowering.plan import InputScale, LeftFloat, Plan
from snnquant.model_file import SCALE_KEY, sort_metadata
from snnquant.numerics import INT32, FloatArray
from snnquant.ops import DOMAIN, attach_functions
from snnquant.ops.attach import MAX_IR_VERSION
from snnquant.passes.edit import is_state
from snnquant.quantize_options import QuantizeOptions, plan_model


@dataclass
class QuantizedModel:
    """An integer model and what reports say about it.

    Attributes:
        model: self-contained ONNX model.
        layers: one entry per synapse and neuron, in order.
        left: nodes that stayed float.
        output_scales: real value of one step per integer output; of a state a list where it
            differs per channel.
        input_scales: the same for inputs that are states.
        state_scales: the same for what goes on from time step to time step inside the model, as
            ``<node>.<state>``: states of neurons, sums and maxima.
        fusion: the same model with fused ops, where that was asked for; ``model`` is its.
        unfused: the model before it was fused.
        warnings: what a user should know, as code and message.
        search: what a search of the weights and thresholds did, one entry per layer.
        requantized: values between layers that were brought to steps of their own.
    """

    model: onnx.ModelProto
    layers: list[dict[str, Any]]
    left: list[LeftFloat]
    output_scales: dict[str, Any] = field(default_factory=dict)
    warnings: list[dict[str, str]] = field(default_factory=list)
    input_scales: dict[str, Any] = field(default_factory=dict)
    state_scales: dict[str, Any] = field(default_factory=dict)
    fusion: Fusion | None = None
    unfused: onnx.ModelProto | None = None
    search: list[dict[str, Any]] = field(default_factory=list)
    requantized: list[dict[str, Any]] = field(default_factory=list)


def quantize_model(
    model: ir.Model,
    scales: Mapping[str, InputScale],
    options: QuantizeOptions,
    metadata: Mapping[str, str] | None = None,
    rates: Mapping[str, float] | None = None,
    decided: Mapping[str, Decided] | None = None,
    keep_float: Collection[str] = (),
    float_spikes: Mapping[str, InputScale] | None = None,
    emission: Emission | None = None,
    coarser: Coarser | None = None,
    *,
    analog: bool = True,
) -> QuantizedModel:
    """Rewrite a canonical float graph in integers.

    Args:
        model: canonical float graph (see :func:`snnquant.passes.canonicalise`).
        scales: calibrated input scales by value name.
        options: widths, target, read-out.
        metadata: properties to add to the model's own.
        rates: calibrated firing rates by neuron name, where known.
        decided: scales that are not chosen here, such as those of quantization-aware training, by
            the name of the synapse or of the recurrent neuron.
        keep_float: names of nodes that are not to become integers.
        float_spikes: how the spikes of neurons that stay float enter the integers, by value name.
        emission: writes the nodes that become integers; default: each once.
        coarser: bits by which membranes are coarser than they would be, per channel by name of
            the neuron, where nothing was decided.
        analog: values between layers that have no common step become integers too, on calibrated
            steps of their own; without it they stay float, as they are in torch's layers.

    Raises:
        UsageError: widths were chosen for layers that are not there.
        ModelError: a neuron that the target cannot express, no neuron at all, or decided scales
            that do not fit.
        NumericalError: values for which no faithful integers exist.
    """
    plan = plan_model(model, scales, options, rates, keep_float, float_spikes, analog=analog)
    check_layers(model, plan, options.layers, keep_float)
    emission = emission or Emission()
    known = {**scales, **(float_spikes or {})}
    if not any(node.domain == DOMAIN for node in model.graph):
        raise ModelError("the model has no neuron; nothing would become an integer SNN")
    missing = [name for name in plan.entries() if name not in known]
    if missing:
        raise ModelError(f"no calibrated scale for '{missing[0]}'; calibrate this model again")
    make_coarser(plan, coarser or {})
    choose_scales(plan, options.per_channel, decided or {})
    out = Emitter(model, plan)
    input_scales = _inputs(model, plan, out, emission)
    kept_float = {entry.node for entry in plan.left}
    for node in model.graph:
        rule = RULES.get((node.domain, node.op_type))
        produced = any(v in plan.flows for v in node.outputs)
        if rule is not None and produced and (node.name or "") not in kept_float:
            emission.emit(rule, node, out)
        else:
            out.copy(node)
    outputs, output_scales = _outputs(model, plan, out, options)
    watched = emission.watched(out)
    lowered = ir.Graph(
        out.inputs,
        [*outputs, *watched],
        nodes=out.tape.nodes,
        initializers=out.tape.initializers,
        name=model.graph.name or "snn",
        opset_imports=dict(model.graph.opset_imports),
    )
    result = ir.Model(lowered, ir_version=MAX_IR_VERSION, producer_name="snnquant")
    result.metadata_props.update(model.metadata_props)
    result.metadata_props.update(metadata or {})
    for name, scale in (input_scales | output_scales).items():
        result.metadata_props[SCALE_KEY + name] = json.dumps(scale)
    ir.passes.common.RemoveUnusedNodesPass()(result)
    del lowered.outputs[len(outputs) :]
    proto = ir.to_proto(result)
    sort_metadata(proto)
    attach_functions(proto)
    _check(proto)
    state_scales = {name: _plain(scale) for name, scale in out.state_scales.items()}
    result_of = QuantizedModel(
        proto,
        out.layers,
        plan.left,
        output_scales,
        out.warnings,
        input_scales,
        state_scales,
        requantized=out.requantizations,
    )
    return fuse_result(result_of) if options.fuse else result_of


def fuse_result(result: QuantizedModel) -> QuantizedModel:
    """Return the result with fused ops in its model; its layers say what became of them."""
    fusion = fuse_model(result.model)
    layers = []
    for layer in result.layers:
        name = layer["name"]
        why = None if name in fusion.fused else fusion.reasons.get(name, "nothing depends on it")
        layers.append(layer | {"fused_op": fusion.fused.get(name), "not_fused": why})
    return replace(result, model=fusion.model, layers=layers, fusion=fusion, unfused=result.model)


def _inputs(model: ir.Model, plan: Plan, out: Emitter, emission: Emission) -> dict[str, Any]:
    """Emit the graph inputs, states as integers; return the scales of these."""
    scales = {}
    for value in model.graph.inputs:
        state = value in plan.state_inputs and plan.flow(value).kind is not Kind.FLOAT
        state = state and not emission.real_states
        kind = ir.TensorType(ir.DataType.INT32) if state else value.type
        fresh = ir.Value(name=value.name, type=kind, shape=value.shape)
        out.inputs.append(fresh)
        if state:
            scales[value.name or ""] = _plain(plan.flow(value).scale())
            out.set(value, fresh, INT32.high + 1)
        else:
            out.set_float(value, fresh)
    return scales


def _plain(scale: FloatArray) -> Any:
    """Return a scale as JSON holds it: one number, or one per channel (or neuron) in lists."""
    if scale.size == 1:
        return float(scale.reshape(-1)[0])
    per_channel = all(size == 1 for size in scale.shape[1:])
    return (scale.reshape(-1) if per_channel else scale).tolist()


def _outputs(
    model: ir.Model, plan: Plan, out: Emitter, options: QuantizeOptions
) -> tuple[list[ir.Value], dict[str, Any]]:
    """Emit the graph outputs under their own names; return them and the scales of integer ones."""
    results: list[ir.Value] = []
    scales = {}
    for value in model.graph.outputs:
        name = value.name or "output"
        flow = plan.flow(value)
        integer = flow.kind is not Kind.FLOAT and (options.readout_as == "int" or is_state(value))
        if integer:
            scales[name] = _plain(flow.scale())
            source = out.cast(out.carrier(value), np.int32)
        else:
            source = out.float(value)
        final = out.op("Identity", [source], f"{name}.final")
        final.name = name
        final.type = ir.TensorType(ir.DataType.INT32) if integer else value.type
        final.shape = value.shape
        for emitted in out.tape.nodes:
            for other in emitted.outputs:
                if other.name == name and other is not final:
                    other.name = out.fresh(f"{name}.value")
        results.append(final)
    return results, scales


def _check(proto: onnx.ModelProto) -> None:
    """Run onnx's full check; a failure is a bug here, or a model beyond protobuf's limit."""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise NumericalError(
            f"the integer graph does not pass onnx.checker: {first_line(error)}"
        ) from error
