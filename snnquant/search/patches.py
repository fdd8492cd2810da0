"""What a synapse multiplies its weights by: one row of inputs per current that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.passes.edit import int_attribute, ints_attribute, string_attribute

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Window:
    """How a convolution moves over its input.

    Attributes:
        kernel, strides, dilations: per spatial axis.
        pads: zeros before and behind, per spatial axis.
        groups: runs of channels that do not mix.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int


def window_of(node: ir.Node, kernel: tuple[int, ...], size: tuple[int, ...]) -> Window:
    """Return the window of a Conv node on maps of a size."""
    rank = len(kernel)
    strides = ints_attribute(node, "strides") or (1,) * rank
    dilations = ints_attribute(node, "dilations") or (1,) * rank
    pads = ints_attribute(node, "pads") or (0,) * (2 * rank)
    sides = [(pads[k], pads[rank + k]) for k in range(rank)]
    auto = string_attribute(node, "auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for k in range(rank):
            reach = (kernel[k] - 1) * dilations[k] + 1
            total = max((-(-size[k] // strides[k]) - 1) * strides[k] + reach - size[k], 0)
            less, more = total // 2, total - total // 2
            sides[k] = (less, more) if auto == "SAME_UPPER" else (more, less)
    groups = int_attribute(node, "group", 1)
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(sides), groups)


def patches(maps: Array, window: Window, most: int, rng: np.random.Generator) -> Array:
    """Return patches at some positions, ``[groups, N, positions, weights]``.

    Args:
        maps: input of the convolution, ``[N, C, ...]``.
        window: how it moves.
        most: number of positions; they are drawn, the same for all maps.
        rng: draws them.
    """
    padded = np.pad(maps, ((0, 0), (0, 0), *window.pads))
    reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    places = [
        (size - r) // s + 1
        for size, r, s in zip(padded.shape[2:], reach, window.strides, strict=True)
    ]
    total = prod(places)
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(rng.choice(total, most, replace=False))
    at = [
        index * stride
        for index, stride in zip(np.unravel_index(chosen, places), window.strides, strict=True)
    ]
    columns = []
    for offset in product(*(range(k) for k in window.kernel)):
        index = tuple(
            start + o * d for start, o, d in zip(at, offset, window.dilations, strict=True)
        )
        everything: tuple[Any, ...] = (slice(None), slice(None))
        columns.append(padded[everything + index])
    # [N, C, positions, kernel] to [groups, N, positions, channels of the group * kernel]
    stacked = np.stack(columns, axis=-1)
    count, channels = stacked.shape[:2]
    split = stacked.reshape(count, window.groups, channels // window.groups, len(chosen), -1)
    moved = split.transpose(1, 0, 3, 2, 4)
    return np.ascontiguousarray(moved).reshape(window.groups, count, len(chosen), -1)
