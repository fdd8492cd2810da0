"""Hypothesis-drawn float networks; structure is drawn, numbers come from a drawn seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from graphs import Graph, options_of, quantize
from hypothesis import Phase
from hypothesis import strategies as st

from snnquant.quantize import QuantizedModel
from snnquant.target import Target, load_target

GENERIC = load_target("generic")
TIANJIC = load_target("tianjic")
#: What no shipped target has: narrow states, shifts in the neuron, another rounding.
NARROW = replace(
    GENERIC,
    name="narrow",
    state_bits=16,
    weight_gains=False,
    leak_shift=6,
    leak_rounding=load_target("tianjic").leak_rounding.__class__.TOWARD_ZERO,
)
TARGETS = (GENERIC, TIANJIC, NARROW)


@dataclass
class Network:
    """A drawn network with data, and which inputs hold spikes."""

    model: onnx.ModelProto
    feeds: dict[str, Any]
    spikes: tuple[str, ...]
    log: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Network({' '.join(self.log)})"


class _Builder:
    """Adds drawn layers to a graph; values are ``[T, B, *features]``."""

    def __init__(self, draw: st.DrawFn, target: Target) -> None:
        self.draw = draw
        self.target = target
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.g = Graph(draw(st.integers(17, 20)))
        self.steps = draw(st.integers(1, 4))
        self.batch = draw(st.integers(1, 3))
        self.log = [f"opset={self.g.opset}", f"T={self.steps}", f"B={self.batch}"]
        self.time = draw(st.sampled_from(["fixed", "dynamic", "all fixed"]))
        self.dims = ""
        self.feeds: dict[str, Any] = {}
        self.spikes: list[str] = []

    def pick(self, *options: Any) -> Any:
        choice = self.draw(st.sampled_from(options))
        self.log.append(str(choice))
        return choice

    def normal(self, *shape: int) -> Any:
        return self.rng.normal(size=shape)

    # -- axes --------------------------------------------------------------------------------------

    def input(self, name: str, features: tuple[int, ...]) -> str:
        kind = self.pick("spikes", "analog", "static")
        shape = [self.steps, self.batch, *features]
        declared: list[int | str] = list(shape)
        if self.time != "all fixed":
            declared[1] = "B"
        if self.time == "dynamic" and kind != "static":
            declared[0] = "T"
        if kind == "static":
            shape, declared = shape[1:], declared[1:]
        if kind == "spikes":
            self.feeds[name] = self.rng.integers(0, 2, shape).astype(np.float32)
            self.spikes.append(name)
        else:
            self.feeds[name] = self.rng.normal(size=shape).astype(np.float32)
        value = self.g.input(name, declared)
        if kind == "static":
            value = self.g.op("Unsqueeze", value, self.g.const([0], np.int64))
            ones = [1] * (len(features) + 1)
            value = self.g.op("Expand", value, self.g.const([self.steps, *ones], np.int64))
        elif self.time == "dynamic" and not self.dims:
            shape_of = self.g.op("Shape", value)
            self.dims = self.g.op(
                "Slice", shape_of, self.g.const([0], np.int64), self.g.const([2], np.int64)
            )
        return value

    def merge(self, value: str, features: tuple[int, ...]) -> str:
        return self.g.reshape(value, [-1, *features])

    def split(self, value: str, features: tuple[int, ...]) -> str:
        if self.time == "dynamic" and self.dims:
            tail = self.g.const(features, np.int64)
            return self.g.op("Reshape", value, self.g.op("Concat", self.dims, tail, axis=0))
        batch = self.batch if self.time == "all fixed" else -1
        return self.g.reshape(value, [self.steps, batch, *features])

    # -- synapses ----------------------------------------------------------------------------------

    def weight(self, *shape: int, axis: int = 0) -> Any:
        """Weights whose channels differ in size, some of them all zero."""
        channels = shape[axis]
        spread = 10.0 ** self.rng.uniform(-1.5, 0.5, channels)
        spread[self.rng.random(channels) < 0.1] = 0
        along = [1] * len(shape)
        along[axis] = channels
        return self.normal(*shape) * spread.reshape(along)

    def synapse(
        self, value: str, features: tuple[int, ...], out: int | None = None
    ) -> tuple[str, tuple[int, ...]]:
        """Add a synapse; ``out`` asks for the same shape with that many channels."""
        channels = out or self.draw(st.integers(1, 5))
        if len(features) == 1:
            return self.matrix(value, features[0], channels), (channels,)
        return self.convolution(value, features, channels, same=out is not None)

    def matrix(self, value: str, size: int, out: int) -> str:
        g = self.g
        bias = self.draw(st.booleans())
        form = self.pick("Gemm", "GemmT", "MatMul", "MatMul3")
        if form == "MatMul3":
            y = g.op("MatMul", value, g.const(self.weight(size, out, axis=1)))
            return g.op("Add", y, g.const(self.normal(out))) if bias else y
        merged = self.merge(value, (size,))
        if form == "MatMul":
            y = g.op("MatMul", merged, g.const(self.weight(size, out, axis=1)))
            y = g.op("Add", y, g.const(self.normal(out))) if bias else y
        else:
            weight = self.weight(size, out, axis=1)
            operands = [merged, g.const(weight.T if form == "GemmT" else weight)]
            if bias:
                operands.append(g.const(self.normal(out)))
            factors = self.pick({}, {"alpha": 0.5, "beta": 2.0})
            y = g.op("Gemm", *operands, transB=int(form == "GemmT"), **factors)
        return self.split(y, (out,))

    def convolution(
        self, value: str, features: tuple[int, ...], out: int, same: bool
    ) -> tuple[str, tuple[int, ...]]:
        g, draw = self.g, self.draw
        inside, size = features[0], features[1:]
        groups = 1
        if out % inside == 0:
            groups = self.pick(1, inside)
        kernel = [1 if s < 3 else draw(st.sampled_from([1, 3])) for s in size]
        stride = [1 if same else draw(st.sampled_from([1, 1, 2])) for _ in size]
        dilation = [
            2 if k == 3 and s >= 5 and draw(st.booleans()) else 1
            for k, s in zip(kernel, size, strict=True)
        ]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        pads = [(r // 2 if same or draw(st.booleans()) else 0) for r in reach]
        operands = [
            self.merge(value, features),
            g.const(self.weight(out, inside // groups, *kernel)),
        ]
        if draw(st.booleans()):
            operands.append(g.const(self.normal(out)))
        y = g.op(
            "Conv",
            *operands,
            group=groups,
            kernel_shape=kernel,
            strides=stride,
            dilations=dilation,
            pads=[*pads, *pads],
        )
        after = [
            (s + 2 * p - r) // t + 1 for s, p, r, t in zip(size, pads, reach, stride, strict=True)
        ]
        return self.split(y, (out, *after)), (out, *after)

    # -- neurons -----------------------------------------------------------------------------------

    def parameter(self, features: tuple[int, ...], low: float, high: float) -> Any:
        shape = self.draw(st.sampled_from([(1,), features[:1], features]))
        return self.rng.uniform(low, high, shape)

    def neuron(self, current: str, features: tuple[int, ...], *, leave: bool = True) -> str:
        """Add a spiking neuron that the target has; its membrane may be an output."""
        full = self.target is not TIANJIC
        name = self.pick("LIF", "CubaLIF", "ExtendedLIF")
        size = int(np.prod(features))
        recurrent = size <= 12 and self.draw(st.booleans())
        membrane = leave and self.draw(st.booleans())
        op = name + "Recurrent" * recurrent + "Membrane" * membrane
        resets = [int(r) for r in self.target.resets]
        choices = {
            "reset": self.pick(*resets),
            "reset_after_leak": self.draw(st.integers(0, 1)) if full else 0,
            "max_spikes": self.draw(st.sampled_from([1, 1, 3])) if full else 1,
            "fire_on_equal": self.draw(st.integers(0, 1)),
            "refractory": self.draw(st.integers(0, 1)),
        }
        parameters = {
            "alpha": self.parameter(features, 0.0, 1.0),
            "leak_bias": self.parameter(features, -0.1, 0.1),
            "v_threshold": self.parameter(features, 0.05, 1.5),
            "dv": self.parameter(features, 0.05, 1.5),
            "v_reset": self.parameter(features, -0.2, 0.2),
            "v_init": self.parameter(features, -0.2, 0.2),
            "refractory_steps": self.rng.integers(0, 3, features[:1]),
        }
        if name == "CubaLIF":
            parameters["alpha_syn"] = self.parameter(features, 0.0, 1.0)
        if name == "ExtendedLIF":
            parameters["v_min"] = self.parameter(features, -2.0, -0.1)
            parameters["threshold_decay"] = self.parameter(features, 0.0, 1.0)
            parameters["threshold_bias"] = self.parameter(features, -0.1, 0.1)
            parameters["threshold_increment"] = self.parameter(features, -0.2, 0.2)
        weight = self.weight(size, size, axis=1) if recurrent else None
        outputs = self.g.neuron(current, op, weight=weight, choices=choices, **parameters)
        if membrane:
            self.g.output(outputs[-1], len(features) + 2)
        return outputs[0]

    def layer(self, value: str, features: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Add one layer of a drawn form, from spikes (or an input) to spikes."""
        g = self.g
        form = self.pick(
            "plain",
            "plain",
            "two synapses",
            "shortcut",
            "residual",
            "concat",
            "transpose",
            "direct",
        )
        if form == "direct":
            return self.neuron(value, features), features
        if form == "two synapses":
            current, after = self.synapse(value, features, features[0])
            other, _ = self.synapse(value, features, features[0])
            total = g.op(self.pick("Add", "Sub"), current, other)
            return self.neuron(total, after), after
        if form == "shortcut":
            current, after = self.synapse(value, features, features[0])
            spikes = self.neuron(value, features)
            return self.neuron(g.op("Add", current, spikes), after), after
        if form == "residual":
            before = self.neuron(value, features, leave=False)
            current, after = self.synapse(before, features, features[0])
            spikes = self.neuron(current, after)
            kind = self.pick("ADD", "AND", "IAND")
            if kind == "IAND":
                return g.op("Mul", g.op("Sub", g.const(1.0), before), spikes), after
            return g.op("Add" if kind == "ADD" else "Mul", before, spikes), after
        current, after = self.synapse(value, features)
        if form == "concat":
            spikes = self.neuron(current, after)
            twice = g.op("Concat", spikes, self.neuron(current, after), axis=2)
            return twice, (2 * after[0], *after[1:])
        if form == "transpose" and len(after) > 1:
            order = [0, 1, *range(3, len(after) + 2), 2]
            moved = (*after[1:], after[0])
            spikes = self.neuron(g.op("Transpose", current, perm=order), moved)
            back = [0, 1, len(after) + 1, *range(2, len(after) + 1)]
            return g.op("Transpose", spikes, perm=back), after
        return self.neuron(current, after), after

    def between(self, value: str, features: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Pool, flatten or transform what flows between two layers."""
        g = self.g
        form = self.pick(
            "nothing", "nothing", "max", "average", "global", "flatten", "Relu", "Clip"
        )
        if form == "Relu":
            return g.op("Relu", value), features
        if form == "Clip":
            return g.op("Clip", value, g.const(-0.5), g.const(0.75)), features
        if form == "nothing" or len(features) == 1:
            return value, features
        if form == "flatten":
            size = int(np.prod(features))
            return self.split(self.merge(value, features), (size,)), (size,)
        merged = self.merge(value, features)
        if form == "global":
            after = (features[0], *[1] * (len(features) - 1))
            return self.split(g.op("GlobalAveragePool", merged), after), after
        kernel = [min(2, s) for s in features[1:]]
        op = {"max": "MaxPool", "average": "AveragePool"}[form]
        y = g.op(op, merged, kernel_shape=kernel, strides=kernel)
        after = (features[0], *[s // k for s, k in zip(features[1:], kernel, strict=True)])
        return self.split(y, after), after

    def read_out(self, value: str, features: tuple[int, ...]) -> None:
        """End in spikes, in membranes, or in one of them reduced over time."""
        g = self.g
        form = self.pick("spikes", "LI", "LI synaptic")
        if form != "spikes":
            size = int(np.prod(features))
            flat = self.split(self.merge(value, features), (size,)) if size > 1 else value
            if size > 1:
                value, features = self.matrix(flat, size, 3), (3,)
            value = g.neuron(
                value,
                "LI",
                choices={"synaptic": int(form == "LI synaptic")},
                alpha=self.parameter(features, 0.0, 1.0),
                alpha_syn=self.parameter(features, 0.0, 1.0),
                leak_bias=self.parameter(features, -0.1, 0.1),
                v_init=self.parameter(features, -0.2, 0.2),
            )[0]
        reduction = self.pick("none", "ReduceSum", "ReduceMean", "ReduceMax")
        rank = len(features) + 2
        if reduction != "none":
            keep = self.draw(st.integers(0, 1))
            if reduction == "ReduceSum" or g.opset >= 18:
                value = g.op(reduction, value, g.const([0], np.int64), keepdims=keep)
            else:
                value = g.op(reduction, value, axes=[0], keepdims=keep)
            rank -= 1 - keep
        g.output(value, rank)


#: Drawn networks have hundreds of choices; shrinking them takes minutes. Their log tells enough.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@st.composite
def networks(draw: st.DrawFn, target: Target) -> Network:
    """Draw a network of one to three layers that the target can express."""
    net = _Builder(draw, target)
    spatial = draw(st.integers(0, 3))
    size = (4, 6, 5, 3)[spatial]
    features = (size,) if not spatial else (draw(st.integers(1, 3)), *[size] * spatial)
    value = net.input("x", features)
    if draw(st.booleans()) and net.time != "dynamic":
        value = net.g.op("Add", value, net.input("second", features))
    for _ in range(draw(st.integers(1, 3))):
        value, features = net.layer(value, features)
        value, features = net.between(value, features)
    net.read_out(value, features)
    return Network(net.g.model(), net.feeds, tuple(net.spikes), tuple(net.log))


@st.composite
def quantized_networks(draw: st.DrawFn, target: Target) -> tuple[Network, QuantizedModel]:
    """Draw a network, and quantize it with options that are drawn too."""
    network = draw(networks(target))
    options = options_of(
        target,
        draw(st.sampled_from(target.weight_bits_allowed)),
        draw(st.integers(2, 8)),
        draw(st.booleans()),
        draw(st.sampled_from(["float", "int"])),
    )
    return network, quantize(network.model, options, spikes=network.spikes)
