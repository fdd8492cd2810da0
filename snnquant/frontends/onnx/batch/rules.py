"""Where the batch goes in each operation: those that act on each element or move them around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from snnquant.frontends.onnx.batch.dims import (
    BATCH,
    Dim,
    Dims,
    dim,
    fixed,
    has_batch,
    regroup,
    size,
    sizes,
)
from snnquant.frontends.onnx.batch.propagate import Propagation, merge
from snnquant.frontends.onnx.preparation.names import attribute_of, int_of
from snnquant.frontends.onnx.preparation.values import Array, axes_of, reshaped, slices_of

Rule = Callable[[Propagation, onnx.NodeProto], None]


def unknown(p: Propagation, node: onnx.NodeProto) -> None:
    """Let operations pass that have nothing to do with the batch."""
    for index, name in enumerate(node.input):
        if name and has_batch(p.of(node, index)):
            raise p.conflict(node, "is an operation through which the batch cannot be followed")
    for index, name in enumerate(node.output):
        if name:
            p.set(node, fixed(p.told(node, name)), index)


def same(p: Propagation, node: onnx.NodeProto) -> None:
    """Results have the shape of the first input."""
    for index in range(len(node.output)):
        p.set(node, p.of(node, 0), index)


def elementwise(p: Propagation, node: onnx.NodeProto) -> None:
    """Inputs broadcast against each other."""
    given = {i: p.of(node, i) for i, name in enumerate(node.input) if name}
    moving = [i for i in given if p.constant(node.input[i]) is None]
    rank = max(len(dims) for dims in given.values())
    result: list[Dim] = [()] * rank
    for i in moving:
        for axis, d in enumerate(given[i], rank - len(given[i])):
            merged = merge(result[axis], d)
            if merged is None:
                raise p.conflict(node, "combines samples with something else")
            result[axis] = merged
    for i in given.keys() - set(moving):
        own = list(given[i])
        for axis, d in enumerate(own):
            place = axis + rank - len(own)
            if d and d != result[place] and result[place]:
                if size(d, p.batch) != size(result[place], p.batch):
                    raise p.conflict(node, f"does not broadcast '{node.input[i]}'")
                own[axis] = result[place]
            elif not d and BATCH in result[place] and result[place] != (BATCH,):
                pass  # one value for all steps and samples
            elif d and not result[place]:
                result[place] = d
        p.shrink(node, i, tuple(own))
    p.set(node, tuple(result))


def along_axis(default: int) -> Rule:
    """Return the rule of operations that work along one axis and keep the shape."""

    def rule(p: Propagation, node: onnx.NodeProto) -> None:
        dims = p.of(node, 0)
        axis = int_of(node, "axis", default)
        if BATCH in dims[axis]:
            raise p.conflict(node, "works along the batch")
        same(p, node)

    return rule


def cumulative(p: Propagation, node: onnx.NodeProto) -> None:
    """Sums along an axis that is an input."""
    axis = p.constant(node.input[1])
    if axis is None or BATCH in p.of(node, 0)[int(axis.item())]:
        raise p.conflict(node, "works along the batch")
    same(p, node)


def shape(p: Propagation, node: onnx.NodeProto) -> None:
    """A shape is a constant here: what it is used for is written anew."""
    found = sizes(p.of(node, 0), p.batch)
    if node.op_type == "Size":
        p.known.set_value(node.output[0], np.array(np.prod(found), np.int64))
        return
    part = found[int_of(node, "start", 0) : int_of(node, "end", len(found))]
    p.known.set_value(node.output[0], np.array(part, np.int64))


def reshape(p: Propagation, node: onnx.NodeProto) -> None:
    """The batch is found among the factors of the new shape; its dimension becomes -1."""
    dims = p.of(node, 0)
    target = p.constant(node.input[1])
    if target is None:
        raise p.conflict(node, "has a shape that data decide")
    before = sizes(dims, p.batch)
    wanted = list(reshaped(before, target, bool(int_of(node, "allowzero", 0))))
    if -1 in wanted:
        rest = int(np.prod([d for d in wanted if d != -1]))
        wanted[wanted.index(-1)] = int(np.prod(before)) // max(1, rest)
    readings = regroup(dims, wanted, p.batch)
    if not readings:
        raise p.conflict(node, f"reshapes to {wanted}, which divides the batch")
    chosen = p.choices.choose((dims, tuple(wanted)), readings)
    if has_batch(chosen):
        node.input[1] = p.target(node.output[0], chosen)
    p.set(node, chosen)


def flatten(p: Propagation, node: onnx.NodeProto) -> None:
    """Two dimensions are left."""
    dims = p.of(node, 0)
    axis = int_of(node, "axis", 1)
    axis = axis + len(dims) if axis < 0 else axis
    halves = (dims[:axis], dims[axis:])
    p.set(node, tuple(dim(f for d in half for f in d) for half in halves))


def squeeze(p: Propagation, node: onnx.NodeProto) -> None:
    """Axes of size 1 go; the batch is none of them."""
    dims = p.of(node, 0)
    given = p.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    axes = axes_of(node, given)
    if axes is None:
        axes = tuple(k for k, d in enumerate(dims) if size(d, p.batch) == 1)
        del node.input[1:]
        node.input.append(p.initializer(f"{node.output[0]}.axes", np.array(axes, np.int64)))
    gone = {axis % len(dims) for axis in axes}
    if any(BATCH in dims[axis] for axis in gone):
        raise p.conflict(node, "removes the batch axis; export with a batch of 2")
    p.set(node, tuple(d for axis, d in enumerate(dims) if axis not in gone))


def unsqueeze(p: Propagation, node: onnx.NodeProto) -> None:
    """New axes of size 1."""
    dims = p.of(node, 0)
    axes = axes_of(node, p.constant(node.input[1]) if len(node.input) > 1 else None) or ()
    rank = len(dims) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(dims)
    p.set(node, tuple(() if axis in new else next(rest) for axis in range(rank)))


def transpose(p: Propagation, node: onnx.NodeProto) -> None:
    """Axes change places."""
    dims = p.of(node, 0)
    permutation = attribute_of(node, "perm")
    order = range(len(dims))[::-1] if permutation is None else permutation.ints
    p.set(node, tuple(dims[axis] for axis in order))


def expand(p: Propagation, node: onnx.NodeProto) -> None:
    """The batch broadcasts against 1 instead of against the size that was written down."""
    dims = p.of(node, 0)
    target = p.constant(node.input[1])
    if target is None:
        raise p.conflict(node, "has a shape that data decide")
    wanted = [int(d) for d in target]
    rank = max(len(wanted), len(dims))
    own = ((),) * (rank - len(dims)) + dims
    sized = [1] * (rank - len(wanted)) + wanted
    result = [d or dim([n]) for d, n in zip(own, sized, strict=True)]
    if has_batch(dims):
        sized = [1 if d else n for d, n in zip(own, sized, strict=True)]
        node.input[1] = p.initializer(f"{node.output[0]}.sizes", np.array(sized, np.int64))
    p.set(node, tuple(result))


def tile(p: Propagation, node: onnx.NodeProto) -> None:
    """What is repeated lies outside."""
    repeats = p.constant(node.input[1])
    if repeats is None:
        raise p.conflict(node, "repeats as often as data say")
    dims = p.of(node, 0)
    p.set(node, tuple(dim([int(r), *d]) for r, d in zip(repeats, dims, strict=True)))


def pad(p: Propagation, node: onnx.NodeProto) -> None:
    """Any axis but the batch may be padded."""
    dims = p.of(node, 0)
    told = p.told(node, node.output[0])
    for d, after in zip(dims, told, strict=True):
        if BATCH in d and size(d, p.batch) != after:
            raise p.conflict(node, "pads the batch")
    p.set(node, _changed(dims, told))


def _changed(dims: Dims, told: tuple[int, ...]) -> Dims:
    """Return a result's dimensions: the batch where it was, what is told elsewhere."""
    return tuple(d if BATCH in d else dim([n]) for d, n in zip(dims, told, strict=True))


def concat(p: Propagation, node: onnx.NodeProto) -> None:
    """Joined along the batch, the parts lie outside of it: steps, as a rule."""
    given = [p.of(node, i) for i in range(len(node.input))]
    moving = [i for i, name in enumerate(node.input) if p.constant(name) is None]
    rank = len(given[0])
    axis = int_of(node, "axis", 0) % rank
    first = given[next((i for i in moving if has_batch(given[i])), moving[0])]
    along = BATCH in first[axis]
    total = 0
    for i, dims in enumerate(given):
        wanted = tuple(first[k] if k != axis or along else dims[k] for k in range(rank))
        if i in moving and dims != wanted:
            raise p.conflict(node, "joins samples with something else")
        if sizes(dims, p.batch) != sizes(wanted, p.batch):
            raise p.conflict(node, "joins parts of different sizes along the batch")
        p.spread(node, i, wanted)
        total += size(dims[axis], p.batch)
    result = list(first)
    result[axis] = dim([len(given), *first[axis]]) if along else dim([total])
    p.set(node, tuple(result))


def split(p: Propagation, node: onnx.NodeProto) -> None:
    """Parts along steps that hold a batch each are as many as before, whatever their size."""
    dims = p.of(node, 0)
    axis = int_of(node, "axis", 0) % len(dims)
    parts = len(node.output)
    told = [p.told(node, name) for name in node.output if name]
    if BATCH not in dims[axis]:
        for index, name in enumerate(node.output):
            if name:
                p.set(node, _changed(dims, p.told(node, name)), index)
        return
    outer = dims[axis][0]
    if len({t[axis] for t in told}) != 1 or outer == BATCH or outer % parts:
        raise p.conflict(node, "divides the batch")
    del node.input[1:]
    if p.opset >= 18 and attribute_of(node, "num_outputs") is None:
        node.attribute.append(helper.make_attribute("num_outputs", parts))
    part = dim([outer // parts, *dims[axis][1:]])
    for index in range(parts):
        p.set(node, (*dims[:axis], part, *dims[axis + 1 :]), index)


def slice_(p: Propagation, node: onnx.NodeProto) -> None:
    """All samples are taken, or whole steps of samples."""
    dims = p.of(node, 0)
    arrays = [None, *(p.constant(name) if name else None for name in node.input[1:])]
    if any(a is None for a, name in zip(arrays[1:3], node.input[1:3], strict=True)):
        raise p.conflict(node, "takes what data say")
    parts = slices_of(len(dims), arrays)
    axis = next((k for k, d in enumerate(dims) if BATCH in d), None)
    result = [
        dim([len(range(*part.indices(size(d, p.batch))))])
        for d, part in zip(dims, parts, strict=True)
    ]
    if axis is None:
        p.set(node, tuple(result))
        return
    before = size(dims[axis], p.batch)
    start, stop, step = parts[axis].indices(before)
    result[axis] = dims[axis]
    if (start, stop, step) == (0, before, 1):
        _set_slice(p, node, {k: part for k, part in enumerate(parts) if k != axis}, dims)
        p.set(node, tuple(result))
        return
    outer = dims[axis][0]
    one = 0 if outer == BATCH else before // outer
    if not one or step != 1 or start % one or stop % one:
        raise p.conflict(node, "takes some samples of a batch")
    # Steps get an axis of their own for the time of the Slice.
    inner = dim(dims[axis][1:])
    apart = (*dims[:axis], (outer,), inner, *dims[axis + 1 :])
    target = p.target(node.output[0], apart)
    node.input[0] = p.emit("Reshape", [node.input[0], target], f"{node.output[0]}.apart")
    wanted = {k + (k > axis): part for k, part in enumerate(parts)}
    wanted[axis] = slice(start // one, stop // one)
    _set_slice(p, node, wanted, apart)
    result[axis] = dim([(stop - start) // one, *inner])
    name = node.output[0]
    node.output[0] = p.names.new(f"{name}.steps")
    _after(p, node, ["Reshape", node.output[0], p.target(name, tuple(result))], name)
    p.dims[name] = tuple(result)


def _after(p: Propagation, node: onnx.NodeProto, made: list[str], name: str) -> None:
    """Let ``node`` be followed by another one, which takes its place in the graph."""
    before = onnx.NodeProto()
    before.CopyFrom(node)
    p.append(before)
    node.CopyFrom(helper.make_node(made[0], made[1:], [name], p.names.new(f"{node.name}.back")))


def _set_slice(p: Propagation, node: onnx.NodeProto, parts: dict[int, slice], dims: Dims) -> None:
    """Write a Slice's inputs anew, for the axes that it does not take whole."""
    cut = {k: s.indices(size(dims[k], p.batch)) for k, s in parts.items()}
    cut = {k: s for k, s in cut.items() if s != (0, size(dims[k], p.batch), 1)}
    columns: list[list[int]] = [[s[part] for s in cut.values()] for part in (0, 1)]
    # A negative stop counts from the end; before the first element is further away.
    columns[1] = [-(2**62) if stop < 0 else stop for stop in columns[1]]
    columns += [list(cut), [s[2] for s in cut.values()]]
    del node.input[1:]
    for name, column in zip(("starts", "ends", "axes", "steps"), columns, strict=True):
        array: Array = np.array(column, np.int64)
        node.input.append(p.initializer(f"{node.output[0]}.{name}", array))


def gather(p: Propagation, node: onnx.NodeProto) -> None:
    """Places of any axis but the batch; embeddings of samples."""
    dims, chosen = p.of(node, 0), p.of(node, 1)
    axis = int_of(node, "axis", 0) % len(dims)
    if BATCH in dims[axis]:
        raise p.conflict(node, "takes some samples of a batch")
    if has_batch(dims) and has_batch(chosen):
        raise p.conflict(node, "chooses by sample among samples")
    p.set(node, (*dims[:axis], *chosen, *dims[axis + 1 :]))
