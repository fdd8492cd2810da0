"""Sizes of axes by number or name, and the windows of convolutions and poolings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.fusion.view import Dim, NotFusedError
from snnquant.ops.fused import DILATIONS, KERNEL_SHAPE, MAX_AXES, PADS, STRIDES, WINDOW
from snnquant.passes.edit import constant, int_attribute, ints_attribute, string_attribute

#: Operations whose output has the shape of their first input.
_SAME_SHAPE = frozenset({"Cast", "Identity", "QuantizeLinear", "Clip"})


def dims_of(value: ir.Value) -> tuple[Dim, ...]:
    """Return the shape of a value, a name for every size that is not fixed.

    Raises:
        NotFusedError: the rank is not known.
    """
    node = value.producer()
    source = node.inputs[0] if node is not None and node.inputs else None
    same = node is not None and node.domain == "" and node.op_type in _SAME_SHAPE
    if same and source is not None and source.shape is not None:
        return dims_of(source)
    if node is not None and node.domain == "" and node.op_type == "Expand":
        repeated = _repeated(source, constant(node.inputs[1]))
        if repeated is not None:
            return repeated
    if value.shape is None and node is not None and node.domain == "":
        weight = node.inputs[1] if len(node.inputs) > 1 else None
        if node.op_type in ("Gemm", "MatMul") and source is not None and weight is not None:
            transposed = node.op_type == "Gemm" and int_attribute(node, "transB", 0)
            return (*dims_of(source)[:-1], dims_of(weight)[0 if transposed else 1])
        asked = _sizes(node.inputs[1]) if node.op_type == "Reshape" else None
        if asked is not None:
            return tuple(d if d is not None else f"{value.name}[{k}]" for k, d in enumerate(asked))
    if value.shape is None:
        raise NotFusedError(f"the rank of '{value.name}' is not known")
    known = [_dim(d) for d in value.shape]
    if None in known and node is not None and node.op_type == "Reshape":
        asked = _sizes(node.inputs[1])
        if asked is not None and len(asked) == len(known):
            known = [k if k is not None else a for k, a in zip(known, asked, strict=True)]
    return tuple(d if d is not None else f"{value.name}[{k}]" for k, d in enumerate(known))


def _repeated(source: ir.Value | None, times: npt.NDArray[Any] | None) -> tuple[Dim, ...] | None:
    """Return the shape behind an Expand, None where it adds axes."""
    before = () if source is None else dims_of(source)
    if times is None or len(times) != len(before):
        return None
    return tuple(d if n == 1 else int(n) for d, n in zip(before, times, strict=True))


def _dim(dim: int | ir.SymbolicDim) -> Dim | None:
    return dim if isinstance(dim, int) else dim.value or None


def _sizes(shape: ir.Value | None) -> list[Dim | None] | None:
    """Return what a computed shape asks for, as far as that can be told."""
    held = constant(shape)
    if held is not None:
        return [int(d) if d > 0 else None for d in np.atleast_1d(held)]
    node = None if shape is None else shape.producer()
    if node is None or node.domain != "":
        return None
    source = node.inputs[0]
    if node.op_type == "Shape" and source is not None and source.shape is not None:
        dims = dims_of(source)
        end = node.attributes.get("end")
        start = int_attribute(node, "start", 0)
        return list(dims[start : len(dims) if end is None else end.as_int()])
    if node.op_type == "Concat":
        parts = [_sizes(part) for part in node.inputs]
        return None if None in parts else [d for part in parts if part is not None for d in part]
    if node.op_type in ("Unsqueeze", "Squeeze", "Cast", "Identity"):
        return _sizes(source)
    picked = [constant(value) for value in node.inputs[1:]]
    whole = _sizes(source)
    if whole is None or any(p is None for p in picked):
        return None
    numbers = [np.atleast_1d(p) for p in picked if p is not None]
    if node.op_type == "Gather":
        return [whole[int(k)] for k in numbers[0]]
    if node.op_type == "Slice" and all(len(n) == 1 for n in numbers):
        step = int(numbers[3][0]) if len(numbers) > 3 else 1
        return whole[int(numbers[0][0]) : int(numbers[1][0]) : step]
    return None


def fixed(dims: tuple[Dim, ...]) -> tuple[int, ...] | None:
    """Return dimensions that all are numbers, else None."""
    known = tuple(d for d in dims if isinstance(d, int))
    return known if len(known) == len(dims) else None


def split_dims(value: ir.Value, axes: int) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
    """Return the leading dimensions of a value, and its features.

    Raises:
        NotFusedError: there are no features, or not of fixed size.
    """
    dims = dims_of(value)
    features = fixed(dims[axes:])
    if not features:
        raise NotFusedError(f"'{value.name}' has no features of fixed size")
    return dims[:axes], features


def leads_before(value: ir.Value, features: tuple[int, ...]) -> Iterator[int]:
    """Yield how many leading axes a value may have that is reshaped to some features."""
    dims = dims_of(value)
    found = []
    for axes in (2, 1):
        own = fixed(dims[axes:])
        if own and math.prod(own) == math.prod(features):
            found.append((own != features, axes))
    # Where a feature axis has size 1, it might be batch: what stays as it is comes first.
    yield from (axes for _, axes in sorted(found, key=lambda entry: entry[0]))


def window_of(
    node: ir.Node, kernel: tuple[int, ...], space: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Return the lists of a convolution or pooling with explicit pads.

    Raises:
        NotFusedError: fused ops have no such window.
    """
    rank = len(kernel)
    if rank > MAX_AXES or rank != len(space):
        raise NotFusedError(f"it has {rank} spatial axes, fused ops have 1 or 2")
    if int_attribute(node, "ceil_mode", 0):
        raise NotFusedError("its windows overhang (ceil_mode)")
    strides = ints_attribute(node, "strides") or (1,) * rank
    dilations = ints_attribute(node, "dilations") or (1,) * rank
    pads = ints_attribute(node, "pads") or (0,) * (2 * rank)
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto != "NOTSET":
        before, behind = [], []
        for size, k, s, d in zip(space, kernel, strides, dilations, strict=True):
            total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            total = 0 if auto == "VALID" else total
            behind.append((total + 1) // 2 if auto == "SAME_UPPER" else total // 2)
            before.append(total - behind[-1])
        pads = (*before, *behind)
    if min(pads) < 0:
        raise NotFusedError("it cuts its map (negative pads)")
    lists = (kernel, strides, dilations, pads)
    return {choice.name: given for choice, given in zip(WINDOW, lists, strict=True)}


def window_space(window: dict[str, tuple[int, ...]], space: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the spatial axes behind a window."""
    rank = len(space)
    pads = window[PADS.name]
    sizes = tuple(
        (size + pads[k] + pads[rank + k] - (kernel - 1) * dilation - 1) // stride + 1
        for k, (size, kernel, stride, dilation) in enumerate(
            zip(
                space,
                window[KERNEL_SHAPE.name],
                window[STRIDES.name],
                window[DILATIONS.name],
                strict=True,
            )
        )
    )
    if min(sizes) < 1:
        raise NotFusedError("its window is larger than its map")
    return sizes
