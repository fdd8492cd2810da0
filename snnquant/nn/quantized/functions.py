"""What the functions of torch do to flows: the lowering's inference, said in torch's arguments.

A model is followed twice: here by the calls of torch, and once exported by the nodes of ONNX
(:mod:`snnquant.lowering`). Both must come to the same flows, scales and integers.
To add a function:

1. give it a line of ``FUNCTIONS`` in :mod:`snnquant.nn.quantized.names` (or add its name to one
   that does the same): its effect, its names, and the ONNX op types that carry it when exported;
2. where no effect fits, add one, and its rule over :class:`Call` to :data:`BY_EFFECT`; inference
   that ONNX needs, too, belongs into the lowering and is called from both;
3. see that every one of the op types has a rule in ``snnquant.lowering.RULES``, which infers the
   same. Without one the model would be quantized here, and then export a graph in which the
   function stays in floating point, so that it cannot be exported or gives other spikes;
4. where it gives several tensors, or decides by sizes, say in
   :mod:`snnquant.nn.quantized.wire` what it gives without data.

``tests/nn/quantized/test_q_functions.py`` runs over the whole table. A function that is not listed
gives values in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
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
from snnquant.lowering.pooling import maximum_of
from snnquant.nn.quantized.moving import Shapes, indexed, permuted, reshaped, selected
from snnquant.nn.quantized.names import FUNCTIONS, Effect, canonical
from snnquant.nn.quantized.wire import NotFollowedError, Wire

if TYPE_CHECKING:
    from snnquant.nn.quantized.tracker import Tracker


@dataclass
class Call:
    """One call of a torch function; ``name`` is the one of :data:`FUNCTIONS`."""

    tracker: Tracker
    reported: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """The one name that all its aliases share."""
        return canonical(self.reported)

    def __post_init__(self) -> None:
        """Put what is named, but has a place, where it belongs."""
        for index, names in enumerate((("input", "self", "tensors"), ("other",))):
            given = next((name for name in names if name in self.kwargs), None)
            if given is not None and len(self.args) == index:
                self.args = (*self.args, self.kwargs[given])

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

    def shapes(self) -> Shapes | None:
        """Return the shapes of the first argument and of the (first) result, where known."""
        result = self.result[0] if isinstance(self.result, (tuple, list)) else self.result
        first = next(self.values())
        if isinstance(first, Wire) or not isinstance(result, Tensor):
            return None
        return tuple(first.shape), tuple(result.shape)


Rule = Callable[[Call], Flow]


def _same(call: Call) -> Flow:
    """The values are what they were."""
    return call.flows()[0]


def _dropped(call: Call) -> Flow:
    """Dropout is nothing in eval mode; a forward that insists on it changes the values."""
    if call.argument(2, "training", call.kwargs.get("train", True)):
        raise StaysFloat("it drops values")
    return call.flows()[0]


def _moved(call: Call) -> Flow:
    """Values move; the channels of a current are followed, or it needs one scale."""
    flow = call.flows()[0]
    if flow.kind is Kind.INTEGER or flow.channels is None:
        return flow
    effect, shapes, depth = FUNCTIONS[call.name].effect, call.shapes(), flow.channels.ndim
    if effect is Effect.RESHAPED:
        kept = reshaped(flow.channels, call.name, call.args, call.kwargs, shapes)
    elif effect is Effect.PERMUTED:
        kept = permuted(flow.channels, call.reported.rstrip("_"), call.args, call.kwargs, shapes)
    elif call.name == "__getitem__":
        kept = indexed(flow.channels, call.args[1], shapes)
    elif effect is Effect.CUT:
        kept = flow.channels if selected(depth, *_axis_of(call), shapes) else None
    else:
        kept = None
    return _lose_channels(flow) if kept is None else replace(flow, channels=kept)


def _axis_of(call: Call) -> tuple[Any, bool]:
    """Return the axis that a function cuts (None: several), and whether it takes entries out."""
    by_name = {"hsplit": 1, "vsplit": 0, "dsplit": 2}
    if call.reported in by_name:
        return by_name[call.reported], False
    if call.name in ("repeat", "expand"):
        return None, False
    index = 2 if call.name == "split" else 1
    return call.argument(index, "dim", 0), call.name not in ("split", "narrow")


def _lose_channels(flow: Flow) -> Flow:
    """One scale must serve all channels from here on."""
    if flow.group is not None:
        flow.group.root().per_tensor = True
    return replace(flow, channels=None)


def _sum(call: Call) -> Flow:
    """Add or subtract two values, or a value and a number."""
    if call.kwargs.get("alpha", 1) != 1 or len(call.args) < 2:
        return FLOAT
    sign = 1 if call.name == "add" else -1
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
    if len(call.args) < 2 or call.kwargs.get("rounding_mode") is not None:
        return FLOAT
    left, right = call.args[:2]
    divides = call.name == "div"
    if isinstance(right, (int, float)) or (isinstance(left, (int, float)) and not divides):
        # The graph holds the number in float32.
        number = float(np.float32(right if isinstance(right, (int, float)) else left))
        return times_constant(call.flows()[0], number, divides)
    if divides:
        return FLOAT
    return product_of(call.tracker.flow(left), call.tracker.flow(right))


def _joined(call: Call) -> Flow:
    """Join values along an axis."""
    flows = call.flows()
    groups = {id(flow.group and flow.group.root()) for flow in flows}
    if call.name == "stack" and flows[0].kind is Kind.CURRENT and len(groups) == 1:
        # The steps of one current, put together again: its channels are where they were.
        places = {(f.factor, f.membrane) for f in flows}
        first = flows[0].channels
        alike = all(_alike(first, flow.channels) for flow in flows)
        if len(places) == 1 and alike and call.argument(1, "dim", 0) == 0:
            return flows[0]
    return concatenated(call.name, flows)


def _alike(a: Any, b: Any) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def _reduced(call: Call) -> Flow:
    """Sum, mean or maximum along axes."""
    flow = call.flows()[0]
    axes = call.argument(1, "dim", call.kwargs.get("axis"))
    shapes = call.shapes()
    if call.name == "max":
        if isinstance(axes, (Tensor, Wire)):
            raise StaysFloat("it compares two values")
        return flow if flow.kind is Kind.INTEGER else _over(call, flow, axes)
    if shapes is None:
        if flow.kind is not Kind.CURRENT:
            return FLOAT
        if call.name == "mean" and not flow.membrane:
            raise NotFollowedError("forward takes the mean over an axis of unknown size")
        return _over(call, flow, axes)
    before, _ = shapes
    listed = range(len(before)) if axes is None else axes
    count = math.prod(before[axis] for axis in _listed(listed))
    if flow.kind is Kind.INTEGER:
        return total_of(flow, count, mean=call.name == "mean")
    divisor = count if call.name == "mean" else 1
    return replace(_over(call, flow, axes), factor=flow.factor / divisor)


def _listed(axes: Any) -> tuple[Any, ...]:
    return tuple(axes) if isinstance(axes, (tuple, list, range)) else (axes,)


def _over(call: Call, flow: Flow, axes: Any) -> Flow:
    """A current reduced over its channels needs one scale."""
    shapes = call.shapes()
    depth = 0 if flow.channels is None else flow.channels.ndim
    listed = _listed(axes)
    if shapes is None:
        return flow if all(axis == 0 for axis in listed) else _lose_channels(flow)
    rank = len(shapes[0])
    if any(axis is None or axis % rank >= rank - depth for axis in listed):
        return _lose_channels(flow)
    return flow


def _max_pooled(call: Call) -> Flow:
    """The maximum of a window: of integers an integer, of a current a current."""
    return maximum_of(call.flows()[0], _spatial(call))


def _spatial(call: Call) -> int:
    """Return over how many axes a function pools, which its name says."""
    return int(call.name[-2])


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
    sizes = tuple(kernel) if isinstance(kernel, (tuple, list)) else (kernel,)
    if len(sizes) == 1:
        sizes *= _spatial(call)
    return average_of(call.flows()[0], math.prod(sizes))


def _global_average(call: Call) -> Flow:
    """Adaptive pooling to one value per channel is the mean over the map."""
    shapes = call.shapes()
    size = call.argument(1, "output_size")
    if shapes is None or not all(s == 1 for s in _listed(size)):
        raise StaysFloat("its windows are not known")
    if call.flows()[0].kind is not Kind.INTEGER:
        raise StaysFloat("it averages currents")
    # Exported as the mean over whole axes, not as a pooling.
    return total_of(call.flows()[0], math.prod(shapes[0][-_spatial(call) :]), mean=True)


def _padded(call: Call) -> Flow:
    """Zeros around integers are integers; around a current its channels stay, too."""
    mode = call.argument(2, "mode", "constant")
    if mode != "constant" or call.argument(3, "value", None) not in (None, 0):
        raise StaysFloat("it pads with something else than zeros")
    flow = call.flows()[0]
    if flow.kind is Kind.INTEGER or flow.channels is None:
        return flow
    # As many values cut at one end as are added at the other move all others.
    cuts = any(isinstance(size, int) and size < 0 for size in call.argument(1, "pad", ()))
    kept = not cuts and call.shapes() is not None
    return (
        flow
        if kept and selected(flow.channels.ndim, None, False, call.shapes())
        else (_lose_channels(flow))
    )


def _not_fused(call: Call) -> Flow:
    """Batch normalization has no place in integers."""
    flow = call.flows()[0]
    if flow.kind is Kind.CURRENT and flow.group is not None:
        raise UsageError(
            f"batch normalization behind '{flow.group.root().name}' is not fused; "
            "call fuse_conv_bn(model) first"
        )
    return FLOAT


BY_EFFECT: dict[Effect, Rule] = {
    Effect.SAME: _same,
    Effect.RESHAPED: _moved,
    Effect.CUT: _moved,
    Effect.PERMUTED: _moved,
    Effect.SCRAMBLED: _moved,
    Effect.ADDED: _sum,
    Effect.MULTIPLIED: _product,
    Effect.JOINED: _joined,
    Effect.REDUCED: _reduced,
    Effect.MAX_POOLED: _max_pooled,
    Effect.AVERAGE_POOLED: _average_pooled,
    Effect.AVERAGED_TO_SIZE: _global_average,
    Effect.PADDED: _padded,
    Effect.NORMALIZED: _not_fused,
}
#: The rule of each function by its one name.
RULES: dict[str, Rule] = {
    name: BY_EFFECT[function.effect]
    for name, function in FUNCTIONS.items()
    if function.effect in BY_EFFECT
} | {"dropout": _dropped}
