"""Constants of neurons: from real parameters to integers at the membrane scale."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import StaysFloat
from snnquant.lowering.rule import operand
from snnquant.neurons import Parameter, Quantization
from snnquant.numerics import (
    INT32,
    FloatArray,
    IntArray,
    quantize,
    quantize_threshold,
    require_finite,
    round_to_int,
)
from snnquant.ops.schema import OpSchema, schemas
from snnquant.passes.edit import constant
from snnquant.target import Target


def parameters_of(node: ir.Node, schema: OpSchema) -> dict[str, FloatArray]:
    """Return the real parameters of a float neuron node by name.

    Raises:
        StaysFloat: a parameter is computed.
        NumericalError: a parameter is NaN or infinite.
    """
    ports = [port.name for port in schema.inputs]
    found = {}
    for name in schema.parameter_names:
        held = constant(operand(node, ports.index(name)))
        if held is None:
            raise StaysFloat(f"its {name} is computed, not constant")
        found[name] = require_finite(held, f"{name} of neuron '{node.name}'")
    return found


def quantized_constant(
    parameter: Parameter,
    value: FloatArray,
    scale: FloatArray,
    target: Target,
    fire_on_equal: bool,
) -> IntArray:
    """Return the integer constant of one parameter at the membrane scale.

    Args:
        parameter: what is quantized, and by which rule.
        value: real values; broadcast against ``scale``.
        scale: membrane scale ``S_v``.
        target: arithmetic profile.
        fire_on_equal: the float neuron compares with ``>=``.
    """
    if parameter.rule is Quantization.MULTIPLIER:
        return target.decay(value, parameter.name)
    if parameter.rule is Quantization.STEPS:
        return INT32.saturate(round_to_int(value))
    if parameter.rule is Quantization.THRESHOLD:
        if target.threshold == "exact":
            above = quantize_threshold(value, scale, fire_on_equal=fire_on_equal)
        else:
            # Of integers, ``v >= n`` is ``v > n - 1``.
            above = round_to_int(value / scale) - int(fire_on_equal)
        return target.state_range.saturate(above)
    return quantize(value, scale, target.state_range)


def warn_of_lost_leak(
    node: ir.Node, real: dict[str, FloatArray], target: Target, out: Emitter
) -> None:
    """Warn where a decay is so close to 1 that the target's multiplier makes it 1."""
    for parameter in schemas()[node.op_type].neuron.parameters:
        if parameter.rule is not Quantization.MULTIPLIER:
            continue
        value = real[parameter.name]
        integers = target.decay(value, parameter.name)
        if ((integers == 2**target.leak_shift) & (value < 1)).any():
            out.warn(
                "lost_leak",
                f"neuron '{node.name}': {parameter.name} {value[value < 1].max():.9g} becomes 1 "
                f"with the {target.leak_shift} bits of target {target.name}",
            )


def along_features(value: FloatArray, rank: int) -> FloatArray:
    """Shape a parameter (scalar, per channel or per neuron) to broadcast along the features."""
    if value.size == 1:
        return value.reshape((1,) * max(rank, 1))
    return value.reshape(value.shape + (1,) * (rank - value.ndim))


def compact(integers: IntArray, features: tuple[int, ...] | None) -> IntArray:
    """Return a constant in the smallest of its three forms: ``[1]``, ``[C]``, ``[C, ...]``."""
    if integers.size == 1 or (integers == integers.flat[0]).all():
        return integers.reshape(-1)[:1]
    if all(dim == 1 for dim in integers.shape[1:]):
        return integers.reshape(-1)
    if features is None:
        raise ModelError("constants differ per neuron but the layer's shape is not known")
    return np.ascontiguousarray(np.broadcast_to(integers, features))
