"""Integer ops of the domain in numpy: neurons by their definition, fused ops as what they fuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper
from onnx.reference.op_run import OpRun

from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.ops.fused import (
    BIAS,
    DILATIONS,
    FAN_IN,
    GAIN_SHIFT,
    GROUP,
    INPUT,
    KERNEL_SHAPE,
    PADS,
    RESIDUAL,
    STRIDES,
    TIMESTEPS,
    WEIGHT,
    WEIGHT_BITS,
    ZERO_POINT,
    Family,
    FusedSchema,
    Synapse,
    fused_schemas,
)
from snnquant.ops.packing import unpack_weight
from snnquant.ops.schema import CURRENT, DOMAIN, MEMBRANE, RECURRENT_WEIGHT, OpSchema, schemas
from snnquant.reference.standard import convolve, padding_of, windows_of

Array = npt.NDArray[Any]
Attributes = Mapping[str, Any]


def run_schema(
    schema: OpSchema, inputs: Mapping[str, Array], attributes: Mapping[str, int]
) -> list[Array]:
    """Run one integer op by the neuron's definition.

    Args:
        schema: the op.
        inputs: arrays by input name.
        attributes: all attributes of the node.

    Returns:
        The outputs, in order and in the op's types.
    """
    states = {name: inputs[name] for name in schema.state_names} if schema.stateful else None
    output, final, membrane = simulate(
        schema.neuron,
        integer_arithmetic(attributes),
        inputs[CURRENT],
        {name: inputs[name] for name in schema.parameter_names},
        attributes,
        states=states,
        recurrent_weight=inputs.get(RECURRENT_WEIGHT),
    )
    rest = (membrane if port.name == MEMBRANE else final[port.name] for port in schema.outputs[1:])
    results = [output, *rest]
    return [
        result.astype(helper.tensor_dtype_to_np_dtype(port.elem_type))
        for result, port in zip(results, schema.outputs, strict=True)
    ]


def run_fused(
    schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes
) -> list[Array]:
    """Run one fused op as the synapse and the neuron op that it fuses.

    Args:
        schema: the op.
        inputs: arrays by input name.
        attributes: all attributes of the node, lists among them.

    Returns:
        The outputs, in order and in the op's types.
    """
    results = _FAMILIES[schema.family](schema, inputs, attributes)
    return [
        result.astype(helper.tensor_dtype_to_np_dtype(port.elem_type))
        for result, port in zip(results, schema.outputs, strict=True)
    ]


def synapse_current(
    schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes
) -> Array:
    """Return the int32 current ``[..., channels]`` of the synapse of a fused op."""
    seen = inputs[INPUT].astype(np.int64) - attributes[ZERO_POINT.name]
    bits, fan_in = attributes[WEIGHT_BITS.name], attributes[FAN_IN.name]
    weight = unpack_weight(inputs[WEIGHT], bits, fan_in)
    if schema.synapse is Synapse.LINEAR:
        summed = seen.astype(np.float64) @ weight.T.astype(np.float64)
    else:
        kernel = tuple(attributes[KERNEL_SHAPE.name])
        axes = len(kernel)
        lead = seen.shape[: seen.ndim - 1 - axes]
        maps = np.moveaxis(seen.reshape(math.prod(lead), *seen.shape[len(lead) :]), -1, 1)
        shaped = weight.reshape(len(weight), *kernel, fan_in // math.prod(kernel))
        result = convolve(
            maps,
            np.moveaxis(shaped, -1, 1),
            dilations=attributes[DILATIONS.name],
            group=attributes[GROUP.name],
            pads=attributes[PADS.name],
            strides=attributes[STRIDES.name],
        )
        last = np.moveaxis(result, 1, -1)
        summed = last.reshape(*lead, *last.shape[1:])
    current = summed.astype(np.int64) * 2 ** attributes[GAIN_SHIFT.name] + inputs[BIAS]
    if schema.residual:
        current = current + inputs[RESIDUAL]
    return np.asarray(current.astype(np.int32))


def _synapse(
    schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes
) -> list[Array]:
    return [synapse_current(schema, inputs, attributes)]


def _fused(schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes) -> list[Array]:
    """Run the neurons on channels first, as the unfused op has them."""
    neuron_op = schema.neuron_op
    if neuron_op is None:
        raise ValueError(f"{schema.name} has no neurons")
    current = synapse_current(schema, inputs, attributes)
    if schema.static:
        steps = attributes[TIMESTEPS.name]
        current = np.broadcast_to(current, (steps, *current.shape))
    first = {CURRENT: np.moveaxis(current, -1, 2)}
    for port in neuron_op.inputs[1:]:
        is_state = neuron_op.stateful and port.name in neuron_op.state_names
        held = inputs[port.name]
        first[port.name] = np.moveaxis(held, -1, 1) if is_state else held
    chosen = {choice.name: attributes[choice.name] for choice in neuron_op.attributes}
    return [
        np.moveaxis(result, 2 if port.timed else 1, -1)
        for port, result in zip(
            neuron_op.outputs, run_schema(neuron_op, first, chosen), strict=True
        )
    ]


def _pool(schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes) -> list[Array]:
    kernel = tuple(attributes[KERNEL_SHAPE.name])
    axes = len(kernel)
    stride = tuple(attributes[STRIDES.name])
    dilation = tuple(attributes[DILATIONS.name])
    seen = inputs[INPUT]
    lead = seen.shape[: seen.ndim - 1 - axes]
    maps = np.moveaxis(seen.reshape(math.prod(lead), *seen.shape[len(lead) :]), -1, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = padding_of(None, attributes[PADS.name], maps.shape[2:], reach, stride)
    windows = windows_of(np.pad(maps, [(0, 0), (0, 0), *padding]), reach, stride, dilation)
    over = tuple(range(2 + axes, 2 + 2 * axes))
    largest = schema.family is Family.SPIKE_MAX_POOL
    pooled = windows.max(axis=over) if largest else windows.sum(axis=over, dtype=np.int64)
    last = np.moveaxis(pooled, 1, -1)
    return [last.reshape(*lead, *last.shape[1:])]


def _add(schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes) -> list[Array]:
    a, b = (inputs[port.name].astype(np.int64) for port in schema.inputs)
    return [a + b]


def _time_sum(
    schema: FusedSchema, inputs: Mapping[str, Array], attributes: Attributes
) -> list[Array]:
    return [inputs[INPUT].sum(axis=0, dtype=np.int64)]


_FAMILIES: dict[Family, Callable[[FusedSchema, Mapping[str, Array], Attributes], list[Array]]] = {
    Family.FUSED: _fused,
    Family.SYNAPSE: _synapse,
    Family.SPIKE_MAX_POOL: _pool,
    Family.SPIKE_SUM_POOL: _pool,
    Family.SPIKE_ADD: _add,
    Family.TIME_SUM: _time_sum,
}


def integer_ops() -> list[type[OpRun]]:
    """Return the evaluator's classes for all integer ops of the domain."""
    neurons = [_evaluated(s, run_schema) for s in schemas().values() if s.integer]
    return neurons + [_evaluated(s, run_fused) for s in fused_schemas().values()]


def _evaluated(schema: Any, compute: Callable[[Any, Any, Any], list[Array]]) -> type[OpRun]:
    """Return the evaluator's class for one integer op."""

    def run(self: Any, *arrays: Array, **attributes: Any) -> tuple[Array, ...]:
        inputs = dict(zip((port.name for port in schema.inputs), arrays, strict=True))
        return tuple(compute(schema, inputs, attributes))

    return type(schema.name, (OpRun,), {"op_domain": DOMAIN, "_run": run})
