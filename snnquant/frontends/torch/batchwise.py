"""Which operations treat every sample of a batch alike, so that time can be folded into it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from snnquant.frontends.torch.graph import Source, integer, ints

#: Operations whose axes are all alike; constants may broadcast.
_ELEMENTWISE = """
Abs Add And BitwiseAnd Cast Ceil Celu Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater
GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Log Max Mean Min
Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus
Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where Xor
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
#: Operations with one batched input, the first; the others are constants.
_BATCHED = """
AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalMaxPool
GroupNormalization InstanceNormalization LpPool MaxPool SpaceToDepth
"""
BATCHED = frozenset(_BATCHED.split())
#: Operations on axes that must not be the batch's.
_ALONG = """
Gather LayerNormalization LogSoftmax ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum Slice Softmax Split Squeeze Unsqueeze
"""
ALONG = frozenset(_ALONG.split())


def batched_inputs(node: onnx.NodeProto, source: Source) -> list[int] | None:
    """Return which inputs of a node carry the batch as their first axis; None: time cannot fold.

    The other inputs are the same for every sample.
    """
    carried = [k for k, name in enumerate(node.input) if name and not source.is_fixed(name)]
    rank = len(source.shape(node.output[0]) or ())
    if node.domain != "" or not carried or not rank:
        return None
    if node.op_type in ELEMENTWISE:
        return carried if _same_rank(node, carried, rank, source) else None
    if node.op_type == "MatMul":
        return _matmul(node, carried, source)
    if node.op_type == "Concat":
        return carried if _apart([integer(node, "axis", 0)], rank) else None
    if carried != [0]:
        return None
    if node.op_type in BATCHED or _keeps_batch(node, rank, source):
        return carried
    return None


def _same_rank(node: onnx.NodeProto, carried: Sequence[int], rank: int, source: Source) -> bool:
    """Return whether the first axis of every batched input is that of the output."""
    for index, name in enumerate(node.input):
        shape = source.shape(name) if name else ()
        if shape is None or (index in carried and len(shape) != rank):
            return False
        if index not in carried and len(shape) == rank and shape[0] != 1:
            return False
    return True


def _matmul(node: onnx.NodeProto, carried: Sequence[int], source: Source) -> list[int] | None:
    shapes = [source.shape(name) for name in node.input]
    if None in shapes:
        return None
    ranks = [len(shape or ()) for shape in shapes]
    if carried == [0] and ranks[1] <= 2 and ranks[0] >= 2:
        return [0]
    # Products within a sample, as in attention.
    return [0, 1] if list(carried) == [0, 1] and ranks[0] == ranks[1] >= 3 else None


def _apart(axes: Sequence[int] | None, rank: int) -> bool:
    """Return whether axes are known and none is the first."""
    return bool(axes) and all(axis % rank != 0 for axis in axes or ())


def _keeps_batch(node: onnx.NodeProto, rank: int, source: Source) -> bool:
    """Return whether a node with one batched input leaves the first axis alone."""
    in_rank = len(source.shape(node.input[0]) or ())
    op = node.op_type
    if op == "Gemm":
        return not integer(node, "transA", 0)
    if op == "Flatten":
        return integer(node, "axis", 1) == 1
    if op == "Transpose":
        return ints(node, "perm")[:1] == [0]
    if op == "Reshape":
        shapes = source.shape(node.input[0]), source.shape(node.output[0])
        known = source.features(node.input[0]), source.features(node.output[0])
        return None not in known and (shapes[0] or ("",))[0] == (shapes[1] or (" ",))[0]
    if op == "Pad":
        pads = source.array(node.input[1]) if len(node.input) > 1 else None
        return pads is not None and len(node.input) < 4 and not (pads[0] or pads[in_rank])
    if op not in ALONG or not in_rank:
        return False
    if op in ("Softmax", "LogSoftmax", "LayerNormalization", "Gather"):
        return _apart([integer(node, "axis", 0 if op == "Gather" else -1)], in_rank)
    if op == "Split":
        return _apart([integer(node, "axis", 0)], in_rank)
    place = 3 if op == "Slice" else 1
    axes = source.array(node.input[place]) if len(node.input) > place else None
    axes_list = None if axes is None else [int(a) for a in axes]
    return _apart(axes_list, rank if op == "Unsqueeze" else in_rank)
