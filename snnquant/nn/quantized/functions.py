"""What the functions of torch do to flows: a table from their names to the lowering's inference.

To add a function: write a rule over :class:`Call`, or reuse one, and add its name to
:data:`RULES`. A function that is in no rule gives values in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from snnquant.errors import UsageError
from snnquant.lowering.flow import FLOAT, Flow, Kind, StaysFloat
from snnquant.lowering.inference import (
    average_of,
    concatenated,
    product_of,
    sum_of,
    times_constant,
    total_of,
    with_constant,
)
from snnquant.lowering.structural import reshaped_channels
from snnquant.nn.quantized.wire import Wire
from snnquant.numerics import FloatArray

if TYPE_CHECKING:
    from snnquant.nn.quantized.tracker import Tracker

import numpy as np


@dataclass
class Call:
    """One call of a torch function."""

    tracker: Tracker
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def values(self) -> Iterator[Any]:
        """Yield the tensors among the arguments, those in lists included."""
        for arg in self.args:
            if isinstance(arg, (tuple, list)):
                yield from (entry for entry in arg if isinstance(entry, (Tensor, Wire)))
            elif isinstance(arg, (Tensor, Wire)):
                yield arg

    def flows(self) -> list[Flow]:
        """Return the flows of the tensors among the arguments."""
        return [self.tracker.flow(value) for value in self.values()]

    def argument(self, index: int, name: str, default: Any = None) -> Any:
        """Return an argument by position or name."""
        return self.args[index] if len(self.args) > index else self.kwargs.get(name, default)

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the shapes of the first argument and of the (first) result, where known."""
        result = self.result[0] if isinstance(self.result, (tuple, list)) else self.result
        first = next(self.values())
        if isinstance(first, Wire) or not isinstance(result, Tensor):
            return None
        return tuple(first.shape), tuple(result.shape)


Rule = Callable[[Call], Flow]
#: Without shapes: functions that (as far as one knows) work on the axes in front of the channels.
_LEADING = frozenset({"unsqueeze", "__getitem__", "repeat", "expand", "select", "unbind", "stack"})
_UNCHANGED = ("clone", "contiguous", "detach", "to", "float", "double", "type", "type_as", "cpu")


def _same(call: Call) -> Flow:
    """The values are what they were."""
    return call.flows()[0]


def _moved(call: Call) -> Flow:
    """Values move; the channels of a current are followed, or it needs one scale."""
    flow = call.flows()[0]
    if flow.kind is Kind.INTEGER or flow.channels is None:
        return flow
    shapes = call.shapes()
    kept = None
    if shapes is None:
        front = call.name in _LEADING or call.args[1:3] == (0, 1)
        kept = flow.channels if front else None
    elif call.name in ("__getitem__", "select", "narrow", "chunk", "split", "repeat", "expand"):
        before, after = shapes
        depth = flow.channels.ndim
        same = before[len(before) - depth :] == after[len(after) - depth :]
        plain = call.name != "__getitem__" or _keeps_order(call.args[1])
        kept = flow.channels if same and plain else None
    elif call.name not in _PERMUTING:
        kept = reshaped_channels(flow.channels, *shapes)
    return _lose_channels(flow) if kept is None else replace(flow, channels=kept)


_PERMUTING = frozenset({"permute", "transpose", "movedim", "swapaxes", "flip", "roll", "t"})


def _keeps_order(index: Any) -> bool:
    """Whether an index only cuts or selects, so that what is left keeps its order."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts)


def _lose_channels(flow: Flow) -> Flow:
    """One scale must serve all channels from here on."""
    if flow.group is not None:
        flow.group.root().per_tensor = True
    return replace(flow, channels=None)


def _sum(call: Call) -> Flow:
    """Add or subtract two values, or a value and a number."""
    if call.kwargs.get("alpha", 1) != 1 or len(call.args) < 2:
        return FLOAT
    sign = 1 if call.name.startswith("add") else -1
    left, right = (call.args[1], call.args[0]) if call.name == "rsub" else call.args[:2]
    if isinstance(left, (int, float)) or isinstance(right, (int, float)):
        number = left if isinstance(left, (int, float)) else right
        flow = call.flows()[0]
        if type(number) is int and number == 0 and sign > 0:
            return flow  # Python's sum() starts with it
        if flow.kind is Kind.CURRENT and not flow.membrane:
            raise _mixed(call, flow, "a number is added to")
        negated = sign < 0 and number is left
        return with_constant(flow, np.array(float(number)), sign, negated)
    a, b = call.tracker.flow(left), call.tracker.flow(right)
    currents = [f for f in (a, b) if f.kind is Kind.CURRENT and not f.membrane]
    if len(currents) == 1:
        raise _mixed(call, currents[0], "values of another kind are added to")
    return sum_of(call.name, a, b, sign)


def _mixed(call: Call, flow: Flow, what: str) -> UsageError:
    """Return the error for a current that forward would add something else to."""
    name = flow.group.root().name if flow.group is not None else "a synapse"
    return UsageError(
        f"{what} the current of '{name}' in forward: integers on its scale and real values cannot "
        "be added; use the bias of the synapse, or a synapse for the other side"
    )


def _product(call: Call) -> Flow:
    """Multiply (or divide) by a number, or two integers."""
    if len(call.args) < 2:
        return FLOAT
    left, right = call.args[:2]
    divides = call.name.startswith("div")
    if isinstance(right, (int, float)) or (isinstance(left, (int, float)) and not divides):
        number = float(right if isinstance(right, (int, float)) else left)
        return times_constant(call.flows()[0], number, divides)
    if divides:
        return FLOAT
    return product_of(call.tracker.flow(left), call.tracker.flow(right))


def _joined(call: Call) -> Flow:
    """Join values along an axis."""
    flows = call.flows()
    if call.name == "stack" and len({id(f.group and f.group.root()) for f in flows}) == 1:
        return flows[0] if len({f.factor for f in flows}) == 1 else concatenated(call.name, flows)
    return concatenated(call.name, flows)


def _reduced(call: Call) -> Flow:
    """Sum, mean or maximum along axes."""
    flow = call.flows()[0]
    axes = call.argument(1, "dim")
    shapes = call.shapes()
    if call.name in ("max", "amax"):
        return flow if flow.kind is Kind.INTEGER else _over(call, flow, axes)
    if shapes is None:
        return _over(call, flow, axes) if flow.kind is Kind.CURRENT else FLOAT
    before, _ = shapes
    listed = range(len(before)) if axes is None else (axes if isinstance(axes, tuple) else (axes,))
    count = math.prod(before[axis] for axis in listed)
    if flow.kind is Kind.INTEGER:
        return total_of(flow, count, mean=call.name == "mean")
    divisor = count if call.name == "mean" else 1
    return replace(_over(call, flow, axes), factor=flow.factor / divisor)


def _over(call: Call, flow: Flow, axes: Any) -> Flow:
    """A current reduced over its channels needs one scale."""
    shapes = call.shapes()
    depth = 0 if flow.channels is None else flow.channels.ndim
    listed = axes if isinstance(axes, (tuple, list)) else (axes,)
    if shapes is None:
        return flow if all(axis == 0 for axis in listed) else _lose_channels(flow)
    rank = len(shapes[0])
    if any(axis is None or axis % rank >= rank - depth for axis in listed):
        return _lose_channels(flow)
    return flow


def _max_pooled(call: Call) -> Flow:
    """The maximum of a window: of integers an integer, of a current a current."""
    return call.flows()[0]


def _average_pooled(call: Call) -> Flow:
    """The mean of a window over integers is their sum at a smaller factor."""
    kernel = call.argument(1, "kernel_size")
    padding = call.argument(3, "padding", 0)
    ceil = call.argument(4, "ceil_mode", False)
    include = call.argument(5, "count_include_pad", True)
    override = call.argument(6, "divisor_override")
    pads = padding if isinstance(padding, tuple) else (padding,)
    if ceil or override or (any(pads) and not include):
        raise StaysFloat("its divisor changes at the border")
    axes = int(call.name[len("avg_pool")])
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * axes
    return average_of(call.flows()[0], math.prod(sizes))


def _global_average(call: Call) -> Flow:
    """Adaptive pooling to one value per channel is the mean over the map."""
    shapes = call.shapes()
    size = call.argument(1, "output_size")
    axes = int(call.name[len("adaptive_avg_pool")])
    if shapes is None or not all(s == 1 for s in (size if isinstance(size, tuple) else (size,))):
        raise StaysFloat("its windows are not known")
    return average_of(call.flows()[0], math.prod(shapes[0][-axes:]))


def _padded(call: Call) -> Flow:
    """Zeros around integers are integers; around a current its channels stay, too."""
    mode = call.argument(2, "mode", "constant")
    if mode != "constant" or call.argument(3, "value", None) not in (None, 0):
        raise StaysFloat("it pads with something else than zeros")
    flow = call.flows()[0]
    return flow if flow.kind is Kind.INTEGER else _lose_channels(flow)


def _not_fused(call: Call) -> Flow:
    """Batch normalization has no place in integers."""
    flow = call.flows()[0]
    if flow.kind is Kind.CURRENT and flow.group is not None:
        raise UsageError(
            f"batch normalization behind '{flow.group.root().name}' is not fused; "
            "call fuse_conv_bn(model) first"
        )
    return FLOAT


def _constant(value: float) -> FloatArray:
    return np.array(value, np.float64)


RULES: dict[str, Rule] = {
    **dict.fromkeys((*_UNCHANGED, "dropout", "dropout1d", "dropout2d", "dropout3d"), _same),
    **dict.fromkeys(
        (
            *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "__getitem__"),
            *("expand", "repeat", "select", "narrow", "chunk", "split", "unbind", "tile"),
            *("view_as", "reshape_as", "expand_as", "permute", "transpose", "movedim"),
            *("swapaxes", "flip", "t", "roll"),
        ),
        _moved,
    ),
    **dict.fromkeys(("add", "sub", "rsub", "subtract"), _sum),
    **dict.fromkeys(("mul", "div", "multiply", "divide", "true_divide"), _product),
    **dict.fromkeys(("cat", "concat", "stack"), _joined),
    **dict.fromkeys(("sum", "mean", "max", "amax"), _reduced),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), _max_pooled),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _average_pooled),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _global_average),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _max_pooled),
    "pad": _padded,
    "batch_norm": _not_fused,
}
