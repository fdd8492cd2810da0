"""How time goes through each kind of node, both ways; what mixes steps is refused with a reason.

A rule returns the links of a node: pairs of an input and an output, and where time of the one is in
the other. Time that ends in a node (a sum over it, the last step of it) has no place in the output;
time that begins in one (a value that is repeated) has none in the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from snnquant.passes.edit import RESHAPES, constant, int_attribute, ints_attribute
from snnquant.stepping.places import Place, Shape, UncutError, aligned, reshaped, restored, without

Move = Callable[[Place], Place | None]


@dataclass(frozen=True)
class Link:
    """An input and an output of a node, and how the place of time in one follows from the other."""

    source: ir.Value
    result: ir.Value
    forward: Move
    backward: Move


@dataclass(frozen=True)
class Context:
    """What rules know: the shapes of all values at one batch size, and the number of steps."""

    shapes: Mapping[str, Shape]
    steps: int

    def shape(self, value: ir.Value) -> Shape:
        """Return the shape of a value."""
        return self.shapes[value.name or ""]


Rule = Callable[[ir.Node, Context], list[Link]]


def _data(node: ir.Node, count: int | None = None) -> list[ir.Value]:
    """Return the first inputs that are there."""
    return [value for value in node.inputs[:count] if value is not None]


def _broadcast(node: ir.Node, context: Context, count: int | None = None) -> list[Link]:
    """Return the links of inputs that broadcast against each other."""
    result = node.outputs[0]
    after = context.shape(result)
    links = []
    for source in _data(node, count):
        before = context.shape(source)

        def forward(place: Place, before: Shape = before) -> Place | None:
            moved = aligned(place, before, after)
            if moved is None or after[moved.axis] != before[place.axis]:
                raise UncutError("it repeats single steps")
            return moved

        def backward(place: Place, before: Shape = before) -> Place | None:
            return aligned(place, after, before)

        links.append(Link(source, result, forward, backward))
    return links


def elementwise(node: ir.Node, context: Context) -> list[Link]:
    """All inputs broadcast."""
    return _broadcast(node, context)


def first_elementwise(node: ir.Node, context: Context) -> list[Link]:
    """The first input broadcasts, or is as it is; others say how."""
    return _broadcast(node, context, 1)


def shaped(node: ir.Node, context: Context) -> list[Link]:
    """Values stay in their order in memory."""
    source, result = _data(node, 1)[0], node.outputs[0]
    before, after = context.shape(source), context.shape(result)
    return [
        Link(
            source,
            result,
            lambda place: reshaped(place, before, after, context.steps),
            lambda place: reshaped(place, after, before, context.steps),
        )
    ]


def transpose(node: ir.Node, context: Context) -> list[Link]:
    """Axes change places."""
    source, result = _data(node, 1)[0], node.outputs[0]
    rank = len(context.shape(source))
    order = ints_attribute(node, "perm") or tuple(reversed(range(rank)))
    return [
        Link(
            source,
            result,
            lambda place: Place(order.index(place.axis), place.inner),
            lambda place: Place(order[place.axis], place.inner),
        )
    ]


def tile(node: ir.Node, context: Context) -> list[Link]:
    """What is repeated as often as there are steps is the same at each of them."""
    source, result = _data(node, 1)[0], node.outputs[0]
    before, after = context.shape(source), context.shape(result)

    def forward(place: Place) -> Place:
        if before[place.axis] != after[place.axis]:
            raise UncutError("it repeats the sequence")
        return place

    def backward(place: Place) -> Place | None:
        if before[place.axis] == after[place.axis]:
            return place
        if before[place.axis] != place.inner:
            raise UncutError("what it repeats is no single step")
        return None

    return [Link(source, result, forward, backward)]


def rows(node: ir.Node, context: Context) -> list[Link]:
    """Every row of the first axis is treated alike: convolutions, pooling, matrices with a bias."""
    source, result = _data(node, 1)[0], node.outputs[0]

    def only_rows(place: Place) -> Place:
        if place.axis != 0 or int_attribute(node, "transA", 0):
            raise UncutError("it works along time")
        return place

    return [Link(source, result, only_rows, only_rows)]


def product(node: ir.Node, context: Context) -> list[Link]:
    """A matrix product: rows of the left side, columns of the right, and stacks of either."""
    result = node.outputs[0]
    after = context.shape(result)
    links = []
    for source, kept in zip(_data(node, 2), (-2, -1), strict=True):
        before = context.shape(source)
        if len(before) < 2:
            continue

        def forward(place: Place, before: Shape = before, kept: int = kept) -> Place | None:
            behind = place.axis - len(before)
            if behind >= -2 and behind != kept:
                raise UncutError("it sums products over time")
            return aligned(place, before, after)

        def backward(place: Place, before: Shape = before, kept: int = kept) -> Place | None:
            behind = place.axis - len(after)
            return None if behind >= -2 and behind != kept else aligned(place, after, before)

        links.append(Link(source, result, forward, backward))
    return links


def reduced_axes(node: ir.Node, rank: int) -> tuple[int, ...]:
    """Return the axes that a node reduces."""
    given = ints_attribute(node, "axes")
    if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        held = constant(node.inputs[1])
        if held is None:
            raise UncutError("the axes that it reduces are computed")
        given = tuple(int(axis) for axis in held)
    if not given:
        return () if int_attribute(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(axis % rank for axis in given)


def reduction(node: ir.Node, context: Context) -> list[Link]:
    """Axes are gone, or 1; time ends where its own is among them."""
    source, result = _data(node, 1)[0], node.outputs[0]
    axes = reduced_axes(node, len(context.shape(source)))
    gone = () if int_attribute(node, "keepdims", 1) else axes

    def forward(place: Place) -> Place | None:
        return None if place.axis in axes else without(place, gone)

    return [Link(source, result, forward, lambda place: restored(place, gone))]


def along_axis(default: int) -> Rule:
    """Return the rule of a node that works along one axis and keeps the shape."""

    def rule(node: ir.Node, context: Context) -> list[Link]:
        source, result = _data(node, 1)[0], node.outputs[0]
        rank = len(context.shape(source))
        axis = int_attribute(node, "axis", default) % rank
        last = rank if node.op_type == "LayerNormalization" else axis + 1

        def move(place: Place) -> Place:
            if axis <= place.axis < last:
                raise UncutError("it works along time")
            return place

        return [Link(source, result, move, move)]

    return rule


def best(node: ir.Node, context: Context) -> list[Link]:
    """The place of the largest value along one axis."""
    source, result = _data(node, 1)[0], node.outputs[0]
    axis = int_attribute(node, "axis", 0) % len(context.shape(source))
    gone = () if int_attribute(node, "keepdims", 1) else (axis,)

    def forward(place: Place) -> Place:
        if place.axis == axis:
            raise UncutError("it looks for the largest of all steps")
        return without(place, gone)

    return [Link(source, result, forward, lambda place: restored(place, gone))]


def concat(node: ir.Node, context: Context) -> list[Link]:
    """Values side by side, along another axis than time."""
    result = node.outputs[0]
    axis = int_attribute(node, "axis", 0) % len(context.shape(result))

    def move(place: Place) -> Place:
        if place.axis == axis:
            raise UncutError("it joins values along time, as loops that were written out do")
        return place

    return [Link(source, result, move, move) for source in _data(node)]


def part(node: ir.Node, context: Context) -> list[Link]:
    """Some values along some axes (Slice, Split, Pad); all steps stay, or the last one alone."""
    source = _data(node, 1)[0]
    before = context.shape(source)
    links = []
    for result in node.outputs:
        after = context.shape(result)

        def forward(place: Place, after: Shape = after) -> Place | None:
            if before[place.axis] == after[place.axis]:
                _require_order(node, place, len(before))
                return place
            _require_last(node, place, before, after)
            return None

        links.append(Link(source, result, forward, lambda place: place))
    return links


def _require_order(node: ir.Node, place: Place, rank: int) -> None:
    """Raise if steps change places although as many stay."""
    held = [constant(value) for value in node.inputs]
    if node.op_type == "Pad":
        pads = held[1]
        moved = pads is None or len(pads) != 2 * rank or bool(pads[place.axis])
    else:
        moved = node.op_type == "Slice" and len(held) > 4 and (held[4] is None or min(held[4]) < 0)
    if moved:
        raise UncutError("it moves steps to other places")


def _require_last(node: ir.Node, place: Place, before: Shape, after: Shape) -> None:
    """Raise unless a Slice takes the last step."""
    size = before[place.axis]
    starts = constant(node.inputs[1]) if node.op_type == "Slice" else None
    if starts is not None and after[place.axis] == 1 and place.inner == 1:
        given = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        axes = list(range(len(starts))) if given is None else [int(a) for a in given]
        axes = [axis % len(before) for axis in axes]
        if place.axis in axes and int(starts[axes.index(place.axis)]) in (-1, size - 1):
            return
    raise UncutError("it takes some of the steps, or pads them; only the last one can be taken")


def gather(node: ir.Node, context: Context) -> list[Link]:
    """Values that are picked along one axis, the last step of which ends time; or by each step."""
    source, result = _data(node, 1)[0], node.outputs[0]
    before = context.shape(source)
    index = node.inputs[1]
    picked = constant(index)
    count = 0 if index is None else len(context.shape(index))
    axis = int_attribute(node, "axis", 0) % len(before)

    def forward(place: Place) -> Place | None:
        if place.axis != axis:
            return Place(place.axis + (count - 1) * (place.axis > axis), place.inner)
        last = (-1, before[axis] - 1)
        if picked is None or picked.size != 1 or place.inner != 1 or picked.item() not in last:
            raise UncutError("it picks steps; only the last one can be taken")
        return None

    def backward(place: Place) -> Place | None:
        if place.axis < axis:
            return place
        return Place(place.axis - (count - 1), place.inner) if place.axis >= axis + count else None

    def picks(place: Place) -> Place:
        return Place(place.axis + axis, place.inner)

    def picked_by(place: Place) -> Place | None:
        inside = axis <= place.axis < axis + count
        return Place(place.axis - axis, place.inner) if inside else None

    links = [Link(source, result, forward, backward)]
    return links if index is None else [*links, Link(index, result, picks, picked_by)]


_ELEMENTWISE = (
    "Cast Mul Add Sub Div Relu Round Floor Ceil Abs Neg Sign Sqrt Exp Log Erf Sigmoid Tanh Max Min "
    "Pow Where Equal Greater Less GreaterOrEqual LessOrEqual And Or Not Xor Identity LeakyRelu Elu "
    "Selu HardSigmoid HardSwish Softplus Mod Gelu PRelu Reciprocal Sin Cos Sum Mean"
)
_FIRST = "Clip QuantizeLinear DequantizeLinear Dropout Expand"
_ROWS = (
    "Conv Gemm BatchNormalization AveragePool MaxPool GlobalAveragePool GlobalMaxPool LpPool "
    "ConvTranspose"
)
_REDUCTIONS = "ReduceSum ReduceMean ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceProd"

RULES: dict[str, Rule] = (
    dict.fromkeys(_ELEMENTWISE.split(), elementwise)
    | dict.fromkeys(_FIRST.split(), first_elementwise)
    | dict.fromkeys(RESHAPES, shaped)
    | dict.fromkeys(_ROWS.split(), rows)
    | dict.fromkeys(_REDUCTIONS.split(), reduction)
    | dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LayerNormalization"), along_axis(-1))
    | dict.fromkeys(("ArgMax", "ArgMin"), best)
    | dict.fromkeys(("Slice", "Split", "Pad"), part)
    | {
        "Transpose": transpose,
        "Tile": tile,
        "MatMul": product,
        "Gather": gather,
        "Concat": concat,
    }
)
