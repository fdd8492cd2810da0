"""Function bodies of the fused ops: the synapse in standard ops, and the unfused neuron op."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnquant.neurons import Choice
from snnquant.ops.body import attribute_of
from snnquant.ops.fused import (
    BIAS,
    FAN_IN,
    GAIN_SHIFT,
    GROUP,
    INPUT,
    KERNEL_SHAPE,
    RESIDUAL,
    TIMESTEPS,
    WEIGHT,
    WEIGHT_BITS,
    WINDOW,
    ZERO_POINT,
    Family,
    FusedSchema,
    ListChoice,
    Synapse,
)
from snnquant.ops.schema import DOMAIN, OPSET_VERSION
from snnquant.ops.trace import Scope, refer, used_nodes

_I64 = np.int64
_TO_THE_END = 2**31 - 1


def fused_body(schema: FusedSchema, opset: int) -> onnx.FunctionProto:
    """Return the function of a fused op, which calls the function of its neuron op.

    Args:
        schema: the op.
        opset: version of the standard ops, that of the model (17 to 20).
    """
    top = Scope(np.int64)
    results = [f"{port.name}_result" for port in schema.outputs]
    for name, value in zip(results, _BODIES[schema.family](schema, top), strict=True):
        top.nodes.append(helper.make_node("Identity", [value], [name]))
    return helper.make_function(
        DOMAIN,
        schema.name,
        [port.name for port in schema.inputs],
        results,
        used_nodes(top.nodes, results),
        [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, OPSET_VERSION)],
        [a.name for a in schema.attributes] + [a.name for a in schema.list_attributes],
        doc_string=schema.neuron_op.neuron.equation if schema.neuron_op else "",
    )


def _list_of(top: Scope, choice: ListChoice) -> str:
    """Return an attribute that is a list as an int64 tensor."""
    out = top.fresh(choice.name)
    node = helper.make_node("Constant", [], [out])
    refer(node, "value_ints", onnx.AttributeProto.INTS, choice.name)
    top.nodes.append(node)
    return out


def _windowed(top: Scope, op: str, inputs: list[str], *more: Choice) -> str:
    """Emit an op that takes the window's lists, and other attributes, of the function."""
    out = top.emit(op, inputs)
    for listed in WINDOW:
        refer(top.nodes[-1], listed.name, onnx.AttributeProto.INTS)
    for choice in more:
        refer(top.nodes[-1], choice.name, onnx.AttributeProto.INT)
    return out


def _slice(top: Scope, shape: str, start: str, stop: str) -> str:
    return top.emit("Slice", [shape, start, stop])


def _one(top: Scope, value: int) -> str:
    return top.constant([value], _I64)


def _product(top: Scope, dims: str) -> str:
    """Return the product of dimensions as one of its own, 1 where there are none."""
    part = top.emit("Concat", [dims, _one(top, 1)], axis=0)
    return top.emit("ReduceProd", [part], keepdims=1)


def _reshape(top: Scope, value: str, *dims: str) -> str:
    shape = top.emit("Concat", list(dims), axis=0) if len(dims) > 1 else dims[0]
    return top.emit("Reshape", [value, shape], allowzero=1)


def _cast(top: Scope, value: str, to: int) -> str:
    return top.emit("Cast", [value], to=to)


class _Map:
    """A channels-last value ``[lead..., *axes, channels]`` and the parts of its shape."""

    def __init__(self, top: Scope, value: str, axes: str) -> None:
        shape = top.emit("Shape", [value])
        rank = top.emit("Shape", [shape])
        before_channels = top.emit("Sub", [rank, _one(top, 1)])
        first_axis = top.emit("Sub", [before_channels, axes])
        self.top = top
        self.value = value
        self.lead = _slice(top, shape, _one(top, 0), first_axis)
        self.axes = _slice(top, shape, first_axis, before_channels)
        self.channels = _slice(top, shape, before_channels, _one(top, _TO_THE_END))
        self.count = _product(top, self.lead)

    def channels_first(self) -> str:
        """Return the value as ``[lead, channels, *axes]``."""
        top = self.top
        positions = _product(top, self.axes)
        flat = _reshape(top, self.value, self.count, positions, self.channels)
        turned = top.emit("Transpose", [flat], perm=[0, 2, 1])
        return _reshape(top, turned, self.count, self.channels, self.axes)

    def channels_last(self, result: str) -> str:
        """Return ``[lead, channels, *axes]`` of any size as ``[lead..., *axes, channels]``."""
        top = self.top
        shape = top.emit("Shape", [result])
        channels = _slice(top, shape, _one(top, 1), _one(top, 2))
        axes = _slice(top, shape, _one(top, 2), _one(top, _TO_THE_END))
        flat = _reshape(top, result, self.count, channels, _product(top, axes))
        turned = top.emit("Transpose", [flat], perm=[0, 2, 1])
        return _reshape(top, turned, self.lead, axes, channels)


def _weight(top: Scope) -> str:
    """Return the weights ``[channels, fan_in]`` as float32, unpacked for any width."""
    bits = attribute_of(top, WEIGHT_BITS.name)
    fan_in = attribute_of(top, FAN_IN.name).name
    two, eight = top.constant(2, _I64), top.constant(8, _I64)
    per_byte = top.emit("Div", [eight, bits.name])
    places = top.emit("Range", [top.constant(0, _I64), fan_in, top.constant(1, _I64)])
    column = top.emit("Div", [places, per_byte])
    field = top.emit("Mod", [places, per_byte])
    whole = _cast(top, WEIGHT, TensorProto.INT64)
    unsigned = top.emit("Mod", [whole, top.constant(256, _I64)])
    byte = top.emit("Gather", [unsigned, column], axis=1)
    unit = top.emit("Pow", [two, top.emit("Mul", [field, bits.name])])
    shifted = top.emit("Div", [byte, unit])
    # Stored bytes are signed; narrower weights are counted from the smallest.
    half = top.emit("Pow", [two, top.emit("Sub", [bits.name, top.constant(1, _I64)])])
    is_byte = _cast(top, top.emit("Equal", [bits.name, eight]), TensorProto.INT64)
    from_smallest = top.emit("Add", [shifted, top.emit("Mul", [half, is_byte])])
    limit = top.emit("Mul", [half, two])
    integers = top.emit("Sub", [top.emit("Mod", [from_smallest, limit]), half])
    return _cast(top, integers, TensorProto.FLOAT)


def _current(schema: FusedSchema, top: Scope) -> str:
    """Return the current ``[..., channels]`` of the synapse, as int32."""
    real = _cast(top, INPUT, TensorProto.FLOAT)
    zero = _cast(top, attribute_of(top, ZERO_POINT.name).name, TensorProto.FLOAT)
    centred = top.emit("Sub", [real, zero])
    weight = _weight(top)
    if schema.synapse is Synapse.LINEAR:
        turned = top.emit("Transpose", [weight], perm=[1, 0])
        summed = top.emit("MatMul", [centred, turned])
    else:
        kernel = _list_of(top, KERNEL_SHAPE)
        positions = _product(top, kernel)
        outgoing = _slice(top, top.emit("Shape", [weight]), _one(top, 0), _one(top, 1))
        group_in = _one(top, -1)
        flat = top.emit(
            "Reshape", [weight, top.emit("Concat", [outgoing, positions, group_in], axis=0)]
        )
        turned = top.emit("Transpose", [flat], perm=[0, 2, 1])
        shaped = top.emit(
            "Reshape", [turned, top.emit("Concat", [outgoing, group_in, kernel], axis=0)]
        )
        seen = _Map(top, centred, top.emit("Shape", [kernel]))
        result = _windowed(top, "Conv", [seen.channels_first(), shaped], GROUP)
        summed = seen.channels_last(result)
    whole = _cast(top, summed, TensorProto.INT32)
    gain = top.emit("Pow", [top.constant(2, _I64), attribute_of(top, GAIN_SHIFT.name).name])
    scaled = top.emit("Mul", [whole, _cast(top, gain, TensorProto.INT32)])
    current = top.emit("Add", [scaled, BIAS])
    return top.emit("Add", [current, RESIDUAL]) if schema.residual else current


def _synapse_body(schema: FusedSchema, top: Scope) -> list[str]:
    return [_current(schema, top)]


def _fused_body(schema: FusedSchema, top: Scope) -> list[str]:
    """Neurons see positions as batch, so that the channels are their only features."""
    neuron_op = schema.neuron_op
    if neuron_op is None:
        raise ValueError(f"{schema.name} has no neurons")
    current = _current(schema, top)
    if schema.static:
        steps = attribute_of(top, TIMESTEPS.name).name
        one_step = top.emit("Unsqueeze", [current, _one(top, 0)])
        wanted = [top.emit("Reshape", [steps, _one(top, 1)]), top.emit("Shape", [current])]
        current = top.emit("Expand", [one_step, top.emit("Concat", wanted, axis=0)])
    shape = top.emit("Shape", [current])
    steps_and_rest = _one(top, 1)
    steps = _slice(top, shape, _one(top, 0), steps_and_rest)
    state_shape = _slice(top, shape, steps_and_rest, _one(top, _TO_THE_END))
    channels = _slice(top, shape, _one(top, -1), _one(top, _TO_THE_END))
    positions = _product(top, _slice(top, state_shape, _one(top, 0), _one(top, -1)))
    inputs = [_reshape(top, current, steps, positions, channels)]
    for port in neuron_op.inputs[1:]:
        is_state = neuron_op.stateful and port.name in neuron_op.state_names
        inputs.append(_reshape(top, port.name, positions, channels) if is_state else port.name)
    outputs = [top.fresh(port.name) for port in neuron_op.outputs]
    node = helper.make_node(neuron_op.name, inputs, outputs, domain=DOMAIN)
    for choice in neuron_op.attributes:
        refer(node, choice.name, onnx.AttributeProto.INT)
    top.nodes.append(node)
    return [
        _reshape(top, name, shape if port.timed else state_shape)
        for port, name in zip(neuron_op.outputs, outputs, strict=True)
    ]


def _max_pool_body(schema: FusedSchema, top: Scope) -> list[str]:
    seen = _Map(top, INPUT, top.emit("Shape", [_list_of(top, KERNEL_SHAPE)]))
    # ONNX Runtime pools bytes in 2 axes only.
    real = _cast(top, seen.channels_first(), TensorProto.FLOAT)
    pooled = _windowed(top, "MaxPool", [real])
    # A window of nothing but padding gives the lowest float.
    above = top.emit("Max", [pooled, top.constant(0, np.float32)])
    return [seen.channels_last(_cast(top, above, TensorProto.UINT8))]


def _sum_pool_body(schema: FusedSchema, top: Scope) -> list[str]:
    kernel = _list_of(top, KERNEL_SHAPE)
    seen = _Map(top, INPUT, top.emit("Shape", [kernel]))
    # Channels become batch, whose number a convolution need not know.
    first = seen.channels_first()
    batch = top.emit("Mul", [seen.count, seen.channels])
    single = _reshape(top, first, batch, _one(top, 1), seen.axes)
    shape = top.emit("Concat", [_one(top, 1), _one(top, 1), kernel], axis=0)
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    ones = top.emit("ConstantOfShape", [shape], value=one)
    real = _cast(top, single, TensorProto.FLOAT)
    summed = _windowed(top, "Conv", [real, ones])
    spatial = _slice(top, top.emit("Shape", [summed]), _one(top, 2), _one(top, _TO_THE_END))
    whole = _cast(top, summed, TensorProto.UINT8)
    return [seen.channels_last(_reshape(top, whole, seen.count, seen.channels, spatial))]


def _add_body(schema: FusedSchema, top: Scope) -> list[str]:
    sides = [_cast(top, port.name, TensorProto.INT32) for port in schema.inputs]
    return [_cast(top, top.emit("Add", sides), TensorProto.UINT8)]


def _time_sum_body(schema: FusedSchema, top: Scope) -> list[str]:
    whole = _cast(top, INPUT, TensorProto.INT32)
    return [top.emit("ReduceSum", [whole, _one(top, 0)], keepdims=0)]


_BODIES: dict[Family, Callable[[FusedSchema, Scope], list[str]]] = {
    Family.FUSED: _fused_body,
    Family.SYNAPSE: _synapse_body,
    Family.SPIKE_MAX_POOL: _max_pool_body,
    Family.SPIKE_SUM_POOL: _sum_pool_body,
    Family.SPIKE_ADD: _add_body,
    Family.TIME_SUM: _time_sum_body,
}
