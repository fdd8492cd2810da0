"""Random and hypothesis-drawn calls of the fused ops, and every way to run them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper
from strategies import Draw, drawing_corners, drawing_uniformly, make_feeds

from snnquant.neurons.simulate import Array
from snnquant.ops import DOMAIN, OPSET_VERSION, attach_functions
from snnquant.ops.fused import (
    BIAS,
    FAN_IN,
    GAIN_SHIFT,
    GROUP,
    INPUT,
    RESIDUAL,
    TIMESTEPS,
    WEIGHT,
    WEIGHT_BITS,
    ZERO_POINT,
    Family,
    FusedSchema,
    Synapse,
    fused_schemas,
)
from snnquant.ops.packing import STORED_BITS, pack_weight
from snnquant.ops.schema import CURRENT
from snnquant.reference import run_fused
from snnquant.runtime import load_session

FUSED_OPS = tuple(fused_schemas())
#: Sums stay below this, as the emitted models guarantee.
LARGEST_SUM = 2**24 - 1


@dataclass(frozen=True)
class FusedCase:
    """A call of one fused op: its attributes and the arrays that go in."""

    op: str
    attributes: Mapping[str, Any]
    feeds: Mapping[str, Array]

    @property
    def schema(self) -> FusedSchema:
        return fused_schemas()[self.op]


#: Inputs that usually are constants of a model.
HELD = (WEIGHT, BIAS)


def model_of(case: FusedCase, *, held: bool = True, opset: int = 17, bodies: bool = True) -> bytes:
    """Return a model of one node; weights and constants are initializers unless not ``held``.

    Without ``bodies`` nothing but a kernel can run it.
    """
    schema = case.schema
    own = schema.neuron_op.parameter_names if schema.neuron_op else ()
    stored = [n for n in case.feeds if held and n in (*HELD, *own)]
    inputs = [
        helper.make_tensor_value_info(p.name, p.elem_type, [None] * case.feeds[p.name].ndim)
        for p in schema.inputs
        if p.name not in stored
    ]
    outputs = [
        helper.make_tensor_value_info(f"{p.name}_result", p.elem_type, None) for p in schema.outputs
    ]
    node = helper.make_node(
        schema.name,
        [p.name for p in schema.inputs],
        [o.name for o in outputs],
        name="layer",
        domain=DOMAIN,
        **case.attributes,
    )
    initializers = [onnx.numpy_helper.from_array(case.feeds[name], name) for name in stored]
    graph = helper.make_graph([node], "single_op", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, OPSET_VERSION)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    attach_functions(model)
    if not bodies:
        del model.functions[:]
    return bytes(model.SerializeToString())


def run(
    case: FusedCase, *, custom_ops: bool, threads: int = 1, held: bool = True, opset: int = 17
) -> list[Array]:
    """Run the case in ONNX Runtime, by the native kernel or by the function body."""
    model = model_of(case, held=held, opset=opset, bodies=not custom_ops)
    session = load_session(model, custom_ops=custom_ops, threads=threads)
    wanted = {value.name for value in session.get_inputs()}
    feeds = {name: array for name, array in case.feeds.items() if name in wanted}
    return list(session.run(None, feeds))


def reference(case: FusedCase) -> list[Array]:
    """Return the outputs that the numpy reference gives."""
    return run_fused(case.schema, case.feeds, case.attributes)


def differences(case: FusedCase, found: list[Array], wanted: list[Array]) -> list[str]:
    """Return what differs, output by output."""
    return [
        f"{case.op}.{port.name}: {got.shape} {want.shape} {dict(case.attributes)}"
        for port, got, want in zip(case.schema.outputs, found, wanted, strict=True)
        if got.dtype != want.dtype or not np.array_equal(got, want)
    ]


def neuron_attributes(schema: FusedSchema, rng: np.random.Generator) -> dict[str, int]:
    """Return attributes of the neuron: often plain ones, for which kernels are fast."""
    if schema.neuron_op is None:
        return {}
    chosen = {a.name: int(rng.integers(a.low, a.high + 1)) for a in schema.neuron_op.attributes}
    chosen["state_bits"] = int(rng.choice([16, 28, 32]))
    if "max_spikes" in chosen:
        chosen["max_spikes"] = int(rng.choice([1, 1, 3]))
    if rng.random() < 0.6:
        plain = {"refractory": 0, "max_spikes": 1, "current_shift": 0, "leak_shift": 15}
        plain["leak_rounding"] = int(rng.choice([0, 1, 3]))
        plain["current_shift"] = int(rng.choice([0, 0, 3, -1, -5, -12, -31]))
        chosen |= {name: value for name, value in plain.items() if name in chosen}
    return chosen


def synapse_case(
    schema: FusedSchema,
    rng: np.random.Generator,
    draw: Draw,
    *,
    lead: tuple[int, ...],
    axes: tuple[int, ...],
    channels: tuple[int, int],
    group: int = 1,
    window: Mapping[str, tuple[int, ...]] | None = None,
) -> FusedCase:
    """Return a case of a synapse, with or without neurons.

    Args:
        schema: the op.
        rng: source of randomness.
        draw: of constants and states.
        lead: leading axes, ``(T, B)`` for neurons.
        axes: sizes of the spatial axes; none for a linear synapse.
        channels: incoming and outgoing, per group.
        group: number of groups.
        window: lists of a convolution.
    """
    per_in, per_out = channels
    outgoing = per_out * group
    kernel = (window or {}).get("kernel_shape", ())
    fan_in = per_in * math.prod(kernel)
    stored = int(rng.choice(STORED_BITS))
    limit = 2 ** (stored - 1)
    weight = rng.integers(-limit, limit, (outgoing, fan_in))
    if rng.random() < 0.2:
        weight = np.where(rng.random((outgoing, 1)) < 0.5, limit - 1, -limit) + 0 * weight
    zero = int(rng.integers(256)) if rng.random() < 0.3 else 0
    most = int(rng.choice([1, 1, 1, 3, 128, 255]))
    most = min(most, max(1, LARGEST_SUM // max(1, limit * fan_in)))
    density = rng.choice([0.0, 0.02, 0.1, 0.3, 1.0])
    batch_first = lead[1:] if schema.static else lead
    shape = (*batch_first, *axes, per_in * group)
    seen = rng.integers(1, most, shape, endpoint=True) * (rng.random(shape) < density)
    attributes: dict[str, Any] = {
        GAIN_SHIFT.name: int(rng.integers(7)) if rng.random() < 0.2 else 0,
        ZERO_POINT.name: zero,
        WEIGHT_BITS.name: stored,
        FAN_IN.name: fan_in,
        **neuron_attributes(schema, rng),
    }
    if window is not None:
        attributes |= {name: list(values) for name, values in window.items()}
        attributes[GROUP.name] = group
    if schema.static:
        attributes[TIMESTEPS.name] = lead[0]
    feeds: dict[str, Array] = {
        INPUT: seen.astype(np.uint8),
        WEIGHT: pack_weight(weight, stored),
        BIAS: rng.integers(-900, 900, outgoing).astype(np.int32) * int(rng.choice([0, 1, 3])),
    }
    currents = _output_shape(lead, axes, outgoing, window)
    if schema.residual:
        feeds[RESIDUAL] = rng.integers(-4000, 4000, currents).astype(np.int32)
    if schema.neuron_op is not None:
        reach = int(rng.choice([20, 2000, 60000, 2**27 - 1]))
        # As the unfused op has them: positions are batch, channels the only feature.
        flat = (currents[0], math.prod(currents[1:-1]), currents[-1])
        made = make_feeds(schema.neuron_op, attributes, flat, rng, draw=draw, reach=reach)
        for name, value in made.items():
            is_state = name in schema.neuron_op.state_names and schema.neuron_op.stateful
            if name != CURRENT:
                feeds[name] = value.reshape(currents[1:]) if is_state else value
    return FusedCase(schema.name, attributes, {p.name: feeds[p.name] for p in schema.inputs})


def _output_shape(
    lead: tuple[int, ...],
    axes: tuple[int, ...],
    outgoing: int,
    window: Mapping[str, tuple[int, ...]] | None,
) -> tuple[int, ...]:
    if window is None:
        return (*lead, outgoing)
    rank = len(axes)
    sizes = [
        (
            axes[k]
            + window["pads"][k]
            + window["pads"][rank + k]
            - (window["kernel_shape"][k] - 1) * window["dilations"][k]
            - 1
        )
        // window["strides"][k]
        + 1
        for k in range(rank)
    ]
    return (*lead, *sizes, outgoing)


def plain_case(op: str) -> FusedCase:
    """Return an ordinary call of an op, the same every time."""
    schema = fused_schemas()[op]
    rng = np.random.default_rng(len(op))
    draw = drawing_uniformly(rng)
    lead, axes = (4, 3), (7, 6)
    window = {"kernel_shape": (3, 3), "strides": (1, 2), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
    if schema.synapse is Synapse.LINEAR:
        return synapse_case(schema, rng, draw, lead=lead, axes=(), channels=(40, 21))
    if schema.synapse is Synapse.CONV:
        return synapse_case(
            schema, rng, draw, lead=lead, axes=axes, channels=(5, 9), group=2, window=window
        )
    pools = schema.family in (Family.SPIKE_MAX_POOL, Family.SPIKE_SUM_POOL)
    seen = {p.name: rng.integers(0, 9, (*lead, *axes, 5)).astype(np.uint8) for p in schema.inputs}
    return FusedCase(op, {n: list(v) for n, v in window.items()} if pools else {}, seen)


@st.composite
def windows(draw: st.DrawFn, axes: int, sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Draw the lists of a window that fits the padded map; pads are smaller than the kernel."""
    found: dict[str, list[int]] = {n: [] for n in ("kernel_shape", "strides", "dilations")}
    before, behind = [], []
    for k in range(axes):
        kernel = draw(st.integers(1, 4))
        front, back = (draw(st.integers(0, kernel - 1)) for _ in range(2))
        most = 1 if kernel == 1 else max(1, (sizes[k] + front + back - 1) // (kernel - 1))
        if (kernel - 1) * most + 1 > sizes[k] + front + back:
            kernel, front, back, most = 1, 0, 0, 1
        found["kernel_shape"].append(kernel)
        found["dilations"].append(draw(st.integers(1, min(most, 3))))
        found["strides"].append(draw(st.integers(1, 5)))
        before.append(front)
        behind.append(back)
    return {**{n: tuple(v) for n, v in found.items()}, "pads": (*before, *behind)}


@st.composite
def fused_cases(draw: st.DrawFn, ops: tuple[str, ...] = FUSED_OPS) -> FusedCase:
    """Draw a call of any fused op, with odd channels, T = 1, B = 0, strides beyond the kernel."""
    schema = fused_schemas()[draw(st.sampled_from(ops))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawing = draw(st.sampled_from([drawing_uniformly, drawing_corners]))(rng)
    lead = (draw(st.sampled_from([1, 2, 3, 4, 4, 5, 17])), draw(st.sampled_from([0, 1, 1, 2, 3])))
    if schema.synapse is Synapse.LINEAR:
        channels = (draw(st.sampled_from([1, 3, 7, 65, 130])), draw(st.sampled_from([1, 10, 65])))
        return synapse_case(schema, rng, drawing, lead=lead, axes=(), channels=channels)
    if schema.family in (Family.SPIKE_ADD, Family.TIME_SUM):
        shape = (*lead, *draw(st.lists(st.integers(0, 5), max_size=3)))
        feeds = {p.name: rng.integers(0, 128, shape).astype(np.uint8) for p in schema.inputs}
        return FusedCase(schema.name, {}, feeds)
    rank = draw(st.integers(1, 2))
    axes = tuple(draw(st.integers(1, 9)) for _ in range(rank))
    window = draw(windows(rank, axes))
    if schema.synapse is Synapse.NONE:
        shape = (*lead, *axes, draw(st.integers(1, 70)))
        seen = rng.integers(0, 15, shape).astype(np.uint8)
        return FusedCase(schema.name, {n: list(v) for n, v in window.items()}, {INPUT: seen})
    group = draw(st.sampled_from([1, 1, 2, 5]))
    channels = (draw(st.sampled_from([1, 2, 5, 67])), draw(st.sampled_from([1, 3, 17, 65])))
    return synapse_case(
        schema, rng, drawing, lead=lead, axes=axes, channels=channels, group=group, window=window
    )
