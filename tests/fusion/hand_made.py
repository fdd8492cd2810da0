"""Small networks of one kind each, quantized and ready to be fused."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import Graph, options_of, quantize

from snnquant.data import Batch
from snnquant.instrument import Runner
from snnquant.ops import schemas
from snnquant.quantize import QuantizedModel

T, B = 5, 3
RNG = np.random.default_rng(7)
Shape = tuple[int, ...]


class Net:
    """A network over ``[T, B, features]``; values are names with their features.

    Args:
        features: of the input.
        steps: declared number of steps, or the name of a dynamic one.
        batch: declared batch, or the name of a dynamic one.
        static: the input has no time axis and is repeated.
        analog: the input holds real numbers instead of spikes.
    """

    def __init__(
        self,
        features: Shape,
        *,
        steps: int | str = T,
        batch: int | str = "B",
        static: bool = False,
        analog: bool = False,
    ) -> None:
        self.g = Graph()
        self.steps, self.features, self.analog = steps, features, analog
        self.static = static
        self.x = self.g.input("x", [batch, *features] if static else [steps, batch, *features])
        if static:
            axes = self.g.const([0], np.int64)
            times = self.g.const([steps, *[1] * (1 + len(features))], np.int64)
            self.x = self.g.op("Expand", self.g.op("Unsqueeze", self.x, axes), times)
        self.lead = ""
        if isinstance(steps, str):
            ends = [self.g.const([k], np.int64) for k in (0, 2)]
            self.lead = self.g.op("Slice", self.g.op("Shape", self.x), *ends)

    def split(self, value: str, features: Shape) -> str:
        """Unfold time and batch."""
        if self.lead:
            asked = self.g.op("Concat", self.lead, self.g.const(features, np.int64), axis=0)
            return self.g.op("Reshape", value, asked, allowzero=1)
        return self.g.reshape(value, [self.steps, -1, *features])

    def merge(self, value: str, features: Shape) -> str:
        """Fold time and batch."""
        return self.g.reshape(value, [-1, *features])

    def conv(
        self, value: str, features: Shape, out: int, kernel: Shape, **lists: Any
    ) -> tuple[str, Shape]:
        """Add a convolution; return its current and the features of it."""
        group = lists.get("group", 1)
        weight = RNG.normal(size=(out, features[0] // group, *kernel))
        bias = self.g.const(RNG.normal(size=out) * 0.1)
        merged = self.merge(value, features)
        y = self.g.op(
            "Conv", merged, self.g.const(weight), bias, kernel_shape=list(kernel), **lists
        )
        rank = len(kernel)
        strides, dilations = (lists.get(k, [1] * rank) for k in ("strides", "dilations"))
        if lists.get("auto_pad", "").startswith("SAME"):
            space = [-(-s // t) for s, t in zip(features[1:], strides, strict=True)]
        else:
            pads = lists.get("pads", [0] * (2 * rank))
            space = [
                (s + pads[k] + pads[rank + k] - (kernel[k] - 1) * dilations[k] - 1) // strides[k]
                + 1
                for k, s in enumerate(features[1:])
            ]
        after = (out, *space)
        return self.split(y, after), after

    def linear(self, value: str, size: int, out: int, form: str = "GemmT") -> tuple[str, Shape]:
        """Add a matrix product in any of its forms."""
        weight = RNG.normal(size=(size, out))
        if form == "MatMul3":
            return self.g.op("MatMul", value, self.g.const(weight)), (out,)
        merged = self.merge(value, (size,))
        if form == "MatMul":
            return self.split(self.g.op("MatMul", merged, self.g.const(weight)), (out,)), (out,)
        stored = weight.T if form == "GemmT" else weight
        bias = self.g.const(RNG.normal(size=out) * 0.1)
        y = self.g.op("Gemm", merged, self.g.const(stored), bias, transB=int(form == "GemmT"))
        return self.split(y, (out,)), (out,)

    def neuron(self, current: str, op: str = "LIF", **more: Any) -> str:
        """Add a neuron that fires now and then."""
        known = schemas()[op].parameter_names
        real = {"alpha": 0.8, "v_threshold": 0.6} | more
        choices = {} if op.startswith("LI") and not op.startswith("LIF") else {"refractory": 1}
        weight = real.pop("weight", None)
        given = {name: value for name, value in real.items() if name in known}
        return self.g.neuron(current, op, weight=weight, choices=choices, **given)[0]

    def quantized(self, value: str, rank: int, **options: Any) -> QuantizedModel:
        """End the network in a value, and quantize it."""
        self.g.output(value, rank)
        spikes = () if self.analog else ("x",)
        return quantize(self.g.model(), options_of(**options), spikes=spikes)

    def feeds(self, steps: int = T, batch: int = B) -> dict[str, Any]:
        """Return an input that makes some neurons fire."""
        shape = (batch, *self.features) if self.static else (steps, batch, *self.features)
        if self.analog:
            return {"x": RNG.normal(size=shape).astype(np.float32)}
        return {"x": (RNG.random(shape) < 0.4).astype(np.float32)}


def one_layer(op: str, *, conv: bool = False, static: bool = False):
    """Return one integer layer and batch-first samples for it."""
    features = (2, 5, 4) if conv else (6,)
    net = Net(features, static=static)
    current, _ = net.conv(net.x, features, 5, (2, 2)) if conv else net.linear(net.x, 6, 5)
    more = {} if op == "LI" else {"v_threshold": np.linspace(0.3, 0.9, 5)}
    result = net.quantized(net.neuron(current, op, **more), len(features) + 2)
    feeds = net.feeds()
    arrays = {
        entry.name: np.moveaxis(feeds[entry.name], entry.batch_axis or 0, 0)
        for entry in Runner(result.model).layout.inputs
    }
    return result, Batch(arrays, None, 0)
