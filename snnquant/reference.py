"""The numpy reference of a whole integer model: standard ops by onnx, synapses in float64.

Neurons run by their definition in int64; convolutions and matrix products in float64, which holds
every sum below 2**53 exactly. The self-check and golden vectors compare with this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from snnquant.errors import ModelError, SelfCheckError, first_line
from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.ops.schema import DOMAIN, MEMBRANE, RECURRENT_WEIGHT, OpSchema, schemas

Array = npt.NDArray[Any]


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
        inputs["current"],
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


def _neuron_op(schema: OpSchema) -> type[OpRun]:
    """Return the evaluator's class for one integer op."""

    def run(self: Any, *arrays: Array, **attributes: int) -> tuple[Array, ...]:
        inputs = dict(zip((port.name for port in schema.inputs), arrays, strict=True))
        return tuple(run_schema(schema, inputs, attributes))

    return type(schema.name, (OpRun,), {"op_domain": DOMAIN, "_run": run})


class MatMul(OpRun):
    """Matrix product in float64."""

    def _run(self, a: Array, b: Array) -> tuple[Array]:
        if not np.issubdtype(a.dtype, np.floating):
            return (np.matmul(a, b),)
        product = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return (product.astype(a.dtype),)


class Gemm(OpRun):
    """General matrix product in float64."""

    def _run(
        self,
        a: Array,
        b: Array,
        c: Array | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        transA: int = 0,  # noqa: N803 - the name of the ONNX attribute
        transB: int = 0,  # noqa: N803
    ) -> tuple[Array]:
        left = a.astype(np.float64).T if transA else a.astype(np.float64)
        right = b.astype(np.float64).T if transB else b.astype(np.float64)
        total = (1.0 if alpha is None else alpha) * (left @ right)
        if c is not None:
            total = total + (1.0 if beta is None else beta) * c.astype(np.float64)
        return (total.astype(a.dtype),)


class Conv(OpRun):
    """Convolution of any number of spatial axes in float64."""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str | None = None,
        dilations: Sequence[int] | None = None,
        group: int | None = None,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        spatial = w.ndim - 2
        stride = tuple(strides or (1,) * spatial)
        dilation = tuple(dilations or (1,) * spatial)
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
        padding = _padding(auto_pad, pads, x.shape[2:], reach, stride)
        padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *padding])
        windows = _windows(padded, reach, stride, dilation)
        groups = group or 1
        weight = w.astype(np.float64)
        per_out, per_in = w.shape[0] // groups, w.shape[1]
        window_axes = tuple(range(2 + spatial, 2 + 2 * spatial))
        parts = [
            np.tensordot(
                windows[:, g * per_in : (g + 1) * per_in],
                weight[g * per_out : (g + 1) * per_out],
                axes=((1, *window_axes), tuple(range(1, 2 + spatial))),
            )
            for g in range(groups)
        ]
        result = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
        if b is not None:
            result = result + b.astype(np.float64).reshape(1, -1, *([1] * spatial))
        return (result.astype(x.dtype),)


class MaxPool(OpRun):
    """Maximum over windows of any number of spatial axes; padding never wins."""

    def _run(
        self,
        x: Array,
        auto_pad: str | None = None,
        ceil_mode: int | None = None,
        dilations: Sequence[int] | None = None,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        storage_order: int | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        kernel = tuple(kernel_shape or ())
        spatial = len(kernel)
        stride = tuple(strides or (1,) * spatial)
        dilation = tuple(dilations or (1,) * spatial)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        padding = _padding(auto_pad, pads, x.shape[2:], reach, stride)
        if ceil_mode:
            padding = _overhang(padding, x.shape[2:], reach, stride)
        real = np.issubdtype(x.dtype, np.floating)
        lowest = -np.inf if real else np.iinfo(x.dtype).min
        padded = np.pad(x, [(0, 0), (0, 0), *padding], constant_values=lowest)
        windows = _windows(padded, reach, stride, dilation)
        return (windows.max(axis=tuple(range(2 + spatial, 2 + 2 * spatial))),)


def _windows(
    padded: Array, reach: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Array:
    """Return what every window of a padded ``[N, C, ...]`` map sees, on new axes at the end."""
    spatial = tuple(range(2, padded.ndim))
    views = np.lib.stride_tricks.sliding_window_view(padded, tuple(reach), axis=spatial)
    starts = (slice(None), slice(None), *(slice(None, None, step) for step in stride))
    inside = tuple(slice(None, None, step) for step in dilation)
    return views[(*starts, *inside)]


def _overhang(
    padding: list[tuple[int, int]],
    size: Sequence[int],
    reach: Sequence[int],
    stride: Sequence[int],
) -> list[tuple[int, int]]:
    """Return padding with the part of a last window that starts inside but ends outside."""
    wider = []
    for (before, behind), length, window, step in zip(padding, size, reach, stride, strict=True):
        steps = -(-(before + length + behind - window) // step)
        if steps * step >= before + length:
            steps -= 1
        missing = steps * step + window - (before + length + behind)
        wider.append((before, behind + max(missing, 0)))
    return wider


def _padding(
    auto_pad: str | None,
    pads: Sequence[int] | None,
    size: Sequence[int],
    reach: Sequence[int],
    stride: Sequence[int],
) -> list[tuple[int, int]]:
    """Return the zeros before and behind every spatial axis."""
    spatial = len(size)
    if auto_pad in (None, "NOTSET", b"NOTSET"):
        given = list(pads or [0] * (2 * spatial))
        return list(zip(given[:spatial], given[spatial:], strict=True))
    if auto_pad == "VALID":
        return [(0, 0)] * spatial
    padding = []
    for length, window, step in zip(size, reach, stride, strict=True):
        total = max((-(-length // step) - 1) * step + window - length, 0)
        small = total // 2
        padding.append(
            (small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small)
        )
    return padding


def float_entries(model: onnx.ModelProto) -> list[str]:
    """Return the computed real values that an integer model rounds to integers.

    Nodes that stayed float differ in the last bit between implementations, and a rounding behind
    them makes a whole step of it.
    """
    computed = {name for node in model.graph.node for name in node.output}
    rounded = [n.input[0] for n in model.graph.node if n.op_type in ("QuantizeLinear", "Round")]
    return [name for name in dict.fromkeys(rounded) if name in computed]


def _needed(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], given: Sequence[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that compute ``outputs`` from the inputs and the given values."""
    wanted, kept = set(outputs) - set(given), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) - set(given)
    return kept[::-1]


class Reference:
    """An integer model, evaluated by the reference.

    Args:
        model: integer model; its function bodies are not used.
        outputs: names of the values wanted, anywhere in the main graph; default: its outputs.
        given: inner values that :meth:`run` is given like inputs, instead of computing them.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        outputs: Sequence[str] | None = None,
        given: Sequence[str] = (),
    ) -> None:
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        del bare.functions[:]
        self.names = list(outputs or [value.name for value in bare.graph.output])
        del bare.graph.output[:]
        bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        nodes = _needed(list(model.graph.node), self.names, given)
        del bare.graph.node[:]
        bare.graph.node.extend(nodes)
        bare.graph.input.extend(onnx.ValueInfoProto(name=name) for name in given)
        ops = [_neuron_op(schema) for schema in schemas().values() if schema.integer]
        try:
            self._evaluator = ReferenceEvaluator(bare, new_ops=[*ops, Conv, MatMul, Gemm, MaxPool])
        except (NotImplementedError, RuntimeError, TypeError) as error:
            raise ModelError(f"the reference has no rule for the model: {error}") from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the wanted values by name; ``inputs`` holds the given inner values too.

        Raises:
            SelfCheckError: onnx's evaluator fails on a standard op.
        """
        try:
            with np.errstate(all="ignore"):
                results = self._evaluator.run(self.names, dict(inputs))
        except (IndexError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            raise SelfCheckError(
                f"the reference cannot evaluate the model: {first_line(error)}; please report this"
            ) from error
        return dict(zip(self.names, results, strict=True))
