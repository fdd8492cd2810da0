"""Standard ops in float64, which holds every sum below 2**53 exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.reference.op_run import OpRun

Array = npt.NDArray[Any]


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


def convolve(
    x: Array,
    w: Array,
    b: Array | None = None,
    auto_pad: str | None = None,
    dilations: Sequence[int] | None = None,
    group: int | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Array:
    """Return the convolution over any number of spatial axes in float64, as ONNX has it."""
    spatial = w.ndim - 2
    stride = tuple(strides or (1,) * spatial)
    dilation = tuple(dilations or (1,) * spatial)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    padding = padding_of(auto_pad, pads, x.shape[2:], reach, stride)
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *padding])
    windows = windows_of(padded, reach, stride, dilation)
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
    return np.asarray(result)


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
        result = convolve(x, w, b, auto_pad, dilations, group, pads, strides)
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
        padding = padding_of(auto_pad, pads, x.shape[2:], reach, stride)
        if ceil_mode:
            padding = _overhang(padding, x.shape[2:], reach, stride)
        real = np.issubdtype(x.dtype, np.floating)
        lowest = -np.inf if real else np.iinfo(x.dtype).min
        padded = np.pad(x, [(0, 0), (0, 0), *padding], constant_values=lowest)
        windows = windows_of(padded, reach, stride, dilation)
        return (windows.max(axis=tuple(range(2 + spatial, 2 + 2 * spatial))),)


def windows_of(
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


def padding_of(
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


class QuantizeLinear(OpRun):
    """Rounding to 8 or 16 bits that saturates whatever a real value is.

    That of onnx goes through int32, where what is beyond changes its sign.
    """

    def _run(
        self,
        x: Array,
        y_scale: Array,
        zero_point: Array | None = None,
        axis: int | None = None,
        **attributes: Any,
    ) -> tuple[Array]:
        if attributes.get("block_size") or attributes.get("precision"):
            raise NotImplementedError("QuantizeLinear by blocks or in another precision")
        zero = np.zeros((), np.uint8) if zero_point is None else zero_point
        if zero.dtype not in (np.uint8, np.int8, np.uint16, np.int16):
            raise NotImplementedError(f"QuantizeLinear to {zero.dtype}")
        limits = np.iinfo(zero.dtype)
        rounded = np.rint(x / _along(y_scale, x, axis)).astype(np.float64)
        shifted = rounded + _along(zero, x, axis)
        return (np.clip(shifted, limits.min, limits.max).astype(zero.dtype),)


def _along(values: Array, x: Array, axis: int | None) -> Array:
    """Return one value for all of ``x``, or values along one of its axes, to broadcast with it."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    shape[1 if axis is None else axis] = -1
    return values.reshape(shape)


STANDARD_OPS = (Conv, MatMul, Gemm, MaxPool, QuantizeLinear)
