"""Where the batch goes in operations that sum, and in neurons."""

from __future__ import annotations

import onnx

from snnquant.frontends.onnx.batch.dims import BATCH, Dim, Dims, dim, fixed, has_batch, size
from snnquant.frontends.onnx.batch.propagate import Propagation, merge
from snnquant.frontends.onnx.batch.rules import (
    Rule,
    along_axis,
    concat,
    cumulative,
    elementwise,
    expand,
    flatten,
    gather,
    pad,
    reshape,
    same,
    shape,
    slice_,
    split,
    squeeze,
    tile,
    transpose,
    unknown,
    unsqueeze,
)
from snnquant.frontends.onnx.preparation.names import int_of
from snnquant.frontends.onnx.preparation.values import axes_of
from snnquant.ops.schema import DOMAIN, schemas

_MIXES = "mixes the samples of a batch"


def spatial(p: Propagation, node: onnx.NodeProto) -> None:
    """Convolutions, pooling and normalisation: samples along the first axis."""
    dims = p.of(node, 0)
    if any(BATCH in d for d in dims[1:]):
        raise p.conflict(node, _MIXES)
    for index in range(1, len(node.input)):
        if node.input[index] and has_batch(p.of(node, index)):
            raise p.conflict(node, "has weights that depend on the sample")
    for index, name in enumerate(node.output):
        if name:
            told = p.told(node, name)
            first = dims[0] if BATCH in dims[0] else dim([told[0]])
            p.set(node, (first, *fixed(told[1:])), index)


def matmul(p: Propagation, node: onnx.NodeProto) -> None:
    """Sums over the last axis of one and the last but one of the other."""
    left, right = p.of(node, 0), p.of(node, 1)
    a: Dims = ((), *left) if len(left) == 1 else left
    b: Dims = (*right, ()) if len(right) == 1 else right
    if BATCH in a[-1] or BATCH in b[-2]:
        raise p.conflict(node, _MIXES)
    rank = max(len(a), len(b)) - 2
    leading: list[Dim] = []
    for axis in range(rank):
        pair = [d[: len(d) - 2] for d in (a, b)]
        wide = [((),) * (rank - len(d)) + d for d in pair]
        merged = merge(wide[0][axis], wide[1][axis])
        if merged is None:
            raise p.conflict(node, "combines samples with something else")
        leading.append(merged)
    ends = (*([a[-2]] if len(left) > 1 else []), *([b[-1]] if len(right) > 1 else []))
    p.set(node, (*leading, *ends))


def gemm(p: Propagation, node: onnx.NodeProto) -> None:
    """A fully connected layer."""
    a, b = p.of(node, 0), p.of(node, 1)
    if int_of(node, "transA", 0):
        a = a[::-1]
    if int_of(node, "transB", 0):
        b = b[::-1]
    if BATCH in a[1] or BATCH in b[0]:
        raise p.conflict(node, _MIXES)
    result = (a[0], b[1])
    if len(node.input) > 2 and node.input[2]:
        own = p.of(node, 2)
        ends = result[2 - len(own) :]
        if p.constant(node.input[2]) is None and any(
            d not in ((), end) for d, end in zip(own, ends, strict=True)
        ):
            raise p.conflict(node, "combines samples with something else")
        p.shrink(node, 2, tuple(end if d else () for d, end in zip(own, ends, strict=True)))
    p.set(node, result)


def reduce(p: Propagation, node: onnx.NodeProto) -> None:
    """Any axis but the batch may be summed over."""
    dims = p.of(node, 0)
    given = p.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    axes = axes_of(node, given)
    if node.op_type in ("ArgMax", "ArgMin"):
        axes = (int_of(node, "axis", 0),)
    if not axes:
        if int_of(node, "noop_with_empty_axes", 0):
            same(p, node)
            return
        axes = tuple(range(len(dims)))
    gone = {axis % len(dims) for axis in axes}
    if any(BATCH in dims[axis] for axis in gone):
        raise p.conflict(node, f"works along the batch: it {_MIXES}")
    keep = int_of(node, "keepdims", 1)
    kept = [() if k in gone else d for k, d in enumerate(dims) if keep or k not in gone]
    p.set(node, tuple(kept))


def top_k(p: Propagation, node: onnx.NodeProto) -> None:
    """The largest along one axis."""
    dims = list(p.of(node, 0))
    axis = int_of(node, "axis", -1)
    if BATCH in dims[axis]:
        raise p.conflict(node, _MIXES)
    for index, name in enumerate(node.output):
        if name:
            dims[axis] = dim([p.told(node, name)[axis]])
            p.set(node, tuple(dims), index)


def layer_normalization(p: Propagation, node: onnx.NodeProto) -> None:
    """Statistics over the axes from one on."""
    dims = p.of(node, 0)
    axis = int_of(node, "axis", -1) % len(dims)
    if any(BATCH in d for d in dims[axis:]):
        raise p.conflict(node, _MIXES)
    p.set(node, dims)
    for index in (1, 2):
        p.set(node, (*dims[:axis], *(((),) * (len(dims) - axis))), index)


def scatter_nd(p: Propagation, node: onnx.NodeProto) -> None:
    """Steps written to places of a result; both ends hold whole batches."""
    indices = p.constant(node.input[1])
    if indices is None:
        raise p.conflict(node, "writes where data say")
    depth = indices.shape[-1]
    data, updates = p.of(node, 0), p.of(node, 2)
    tail = data[depth:] if p.constant(node.input[0]) is None else updates[indices.ndim - 1 :]
    wanted = (*data[:depth], *tail)
    written = (*fixed(indices.shape[:-1]), *tail)
    if any(BATCH in d for d in data[:depth]):
        raise p.conflict(node, _MIXES)
    _fill(p, node, {0: wanted, 2: written})


def scatter_elements(p: Propagation, node: onnx.NodeProto) -> None:
    """The same, place by place: the places of one sample are those of all."""
    data, updates = p.of(node, 0), p.of(node, 2)
    axis = int_of(node, "axis", 0) % len(data)
    if p.constant(node.input[1]) is None:
        raise p.conflict(node, "writes where data say")
    source = updates if has_batch(updates) else data
    wanted = tuple(data[k] if k == axis else source[k] for k in range(len(data)))
    written = tuple(updates[k] if k == axis else source[k] for k in range(len(data)))
    if BATCH in data[axis] or BATCH in updates[axis]:
        raise p.conflict(node, _MIXES)
    _fill(p, node, {0: wanted, 1: written, 2: written})


def _fill(p: Propagation, node: onnx.NodeProto, wanted: dict[int, Dims]) -> None:
    """Spread the constants among the inputs of a node, and compare the others."""
    for index, dims in wanted.items():
        if p.constant(node.input[index]) is not None:
            p.spread(node, index, dims)
        elif p.of(node, index) != dims:
            raise p.conflict(node, "combines samples with something else")
    p.set(node, wanted[0])


def neuron(p: Propagation, node: onnx.NodeProto) -> None:
    """Time first, then samples; states are samples without time."""
    schema = schemas()[node.op_type]
    current = p.of(node, 0)
    if BATCH in current[0] or any(BATCH in d for d in current[2:]):
        raise p.conflict(node, f"has the batch on another axis than its second: it {_MIXES}")
    first = len(schema.inputs) - len(schema.state_names) * schema.stateful
    for index in range(1, len(node.input)):
        if index < first:
            if has_batch(p.of(node, index)):
                raise p.conflict(node, "has parameters that depend on the sample")
        elif p.constant(node.input[index]) is not None:
            own = p.of(node, index)
            if size(own[0], p.batch) == size(current[1], p.batch):
                p.spread(node, index, (current[1], *own[1:]))
        elif p.of(node, index)[0] != current[1]:
            raise p.conflict(node, "has a state of other samples")
    for index, port in enumerate(schema.outputs):
        p.set(node, current if port.timed else current[1:], index)


# fmt: off
_SAME = [
    "Abs", "Acos", "Asin", "Atan", "BitwiseNot", "Cast", "Ceil", "Celu", "Cos", "Dropout", "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh",
    "ThresholdedRelu", "Cosh", "Clip",
]
_ELEMENTWISE = [
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu",
    "Pow", "Sub", "Sum", "Where", "Xor",
]
_SPATIAL = [
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace",
    "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "GroupNormalization",
    "InstanceNormalization", "LRN", "LpPool", "MaxPool", "Resize", "SpaceToDepth",
]
_REDUCE = [
    "ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]
# fmt: on
#: Rule of each operation; "" is that of all others.
RULES: dict[str, Rule] = {
    "": unknown,
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_ELEMENTWISE, elementwise),
    **dict.fromkeys(_SPATIAL, spatial),
    **dict.fromkeys(_REDUCE, reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), along_axis(-1)),
    **dict.fromkeys(("Shape", "Size"), shape),
    "Concat": concat,
    "CumSum": cumulative,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "LayerNormalization": layer_normalization,
    "MatMul": matmul,
    "Pad": pad,
    "Reshape": reshape,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slice_,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "TopK": top_k,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    **{f"{DOMAIN}.{name}": neuron for name, s in schemas().items() if not s.integer},
}
