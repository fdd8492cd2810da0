"""Where the channels of a current are once a function of torch has moved its values.

The counterpart of :mod:`snnquant.lowering.structural`, where the same is told by ONNX nodes: each
function here returns the channels' new places, or None where the current needs one scale.
``shapes`` are those before and after, or None where a model is followed without data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnquant.lowering.structural import reshaped_channels, transposed_channels
from snnquant.numerics import IntArray

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def reshaped(
    channels: IntArray,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    shapes: Shapes | None,
) -> IntArray | None:
    """Follow channels through new axes; without shapes only what surely works on the leading."""
    if shapes is not None:
        return reshaped_channels(channels, *shapes)
    given = (*args[1:], *kwargs.values())
    if name in ("squeeze", "unsqueeze", "unflatten"):
        leads = bool(given) and isinstance(given[0], int) and given[0] >= 0
        return channels if leads and (name == "unsqueeze" or given[0] == 0) else None
    # Folding time into the batch is how models use flatten(0, 1).
    return channels if name == "flatten" and given == (0, 1) else None


def selected(depth: int, dim: Any, taken: bool, shapes: Shapes | None) -> bool:
    """Whether the last ``depth`` axes are what they were.

    Args:
        depth: number of axes on which the channels lie.
        dim: axis that is cut; None: several.
        taken: entries of it are taken out, in any order.
        shapes: before and after.
    """
    if shapes is None:
        # Steps or a batch are what a model takes entries of by an axis counted from the front.
        return dim is None or dim == 0 or (taken and dim > 0) or dim < -depth
    before, after = shapes
    if taken and dim is not None and dim % len(before) >= len(before) - depth:
        return False
    return before[len(before) - depth :] == after[len(after) - depth :]


def indexed(channels: IntArray, index: Any, shapes: Shapes | None) -> IntArray | None:
    """Follow channels through ``x[index]``, one part of the index after the other."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, (Tensor, list)) or not _plain(part) for part in parts):
        return None
    depth = channels.ndim
    cut = next((k for k, part in enumerate(parts) if part is ...), len(parts))
    front, back = parts[:cut], parts[cut + 1 :]
    if shapes is None:
        # Axes behind an ellipsis are counted from the end, and may be those of the channels.
        return channels if all(part == slice(None) for part in back[-depth:]) else None
    before, after = shapes
    rank = len(before)
    taken = sum(part is not None for part in parts if part is not ...)
    full = (*front, *[slice(None)] * (rank - taken), *back)
    sizes, axis = [], 0
    for part in full:
        if part is None:
            continue
        if not isinstance(part, slice):
            if axis >= rank - depth:
                return None
        else:
            sizes.append(len(range(before[axis])[part]))
        axis += 1
    if tuple(sizes[len(sizes) - depth :]) != before[rank - depth :]:
        return None
    if None not in parts:
        return channels
    return reshaped_channels(channels, tuple(sizes), after)


def _plain(part: Any) -> bool:
    """Whether a part of an index only cuts or selects, so that what is left keeps its order."""
    numbers = isinstance(part, int) and not isinstance(part, bool)
    return part is None or part is ... or isinstance(part, slice) or numbers


def permuted(
    channels: IntArray,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    shapes: Shapes | None,
) -> IntArray | None:
    """Follow channels through another order of axes."""
    given = (*args[1:], *kwargs.values())
    flat = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    if shapes is not None:
        rank = len(shapes[0])
    elif name == "permute":
        rank = len(flat)
    elif name in ("t", "T", "H"):
        rank = 2
    elif name in ("mT", "mH", "adjoint") or (flat and all(_from_end(dim) for dim in flat)):
        rank = channels.ndim + 2
    else:
        # Time and batch change places; of other axes nothing is known.
        return channels if tuple(flat) in ((0, 1), (1, 0)) else None
    probe = torch.empty(tuple(range(1, rank + 1)), device="meta")
    found = getattr(probe, name)
    moved = found if isinstance(found, Tensor) else found(*args[1:], **kwargs)
    return transposed_channels(channels, tuple(size - 1 for size in moved.shape))


def _from_end(dim: Any) -> bool:
    return isinstance(dim, int) and dim < 0
