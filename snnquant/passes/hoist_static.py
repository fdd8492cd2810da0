"""Convolve a static input once: move the repetition over time behind the synapse.

``Expand(x) -> Reshape(T*B) -> Conv -> Reshape(T, B)`` becomes ``Conv -> Expand``. Only operations
that treat every sample alike may change sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.passes.edit import (
    constant,
    insert_before,
    int_attribute,
    ints_attribute,
    new_initializer,
    only_use,
    replace_value,
    shape_of,
)

#: Operations on ``[N, ...]`` that give every sample the same whatever N is.
_PER_SAMPLE = frozenset(
    {"Conv", "Gemm", "BatchNormalization", "AveragePool", "MaxPool", "GlobalAveragePool"}
)
_ELEMENTWISE = frozenset({"Relu", "Add", "Sub", "Mul", "Div", "Clip", "Sigmoid", "Tanh"})


def run(model: ir.Model) -> int:
    """Hoist every repetition of a static value; return how many were moved."""
    changed = 0
    for node in list(model.graph):
        if node.op_type == "Expand" and node.domain == "" and _hoist(model.graph, node):
            changed += 1
    return changed


def _hoist(graph: ir.Graph, expand: ir.Node) -> bool:
    """Move one Expand ``[1, B, ...] -> [T, B, ...]`` behind the operations that follow it."""
    source = _static_source(expand)
    repeated = shape_of(expand.outputs[0])
    if source is None or repeated is None or repeated[0] is None:
        return False
    steps = repeated[0]
    chain: list[ir.Node] = []
    value = expand.outputs[0]
    merged = False
    done: tuple[int, ir.Value] | None = None
    while (user := only_use(value)) is not None and user.domain == "":
        if user.op_type == "Reshape":
            before, after = shape_of(value), shape_of(user.outputs[0])
            if before is None or after is None:
                break
            if not merged and after[1:] == before[2:]:
                merged = True
            elif merged and after[0] == steps and after[2:] == before[1:]:
                merged = False
            else:
                break
            value = user.outputs[0]
            if not merged:
                done = (len(chain), value)
            continue
        if not _per_sample(user, merged):
            break
        chain.append(user)
        value = user.outputs[0]
        if not merged:
            done = (len(chain), value)
    if done is None or done[0] == 0 or not done[1].uses():
        return False
    moved = chain[: done[0]]
    _move(graph, source, moved, done[1], steps)
    return True


def _static_source(expand: ir.Node) -> ir.Value | None:
    """Return the ``[B, ...]`` value that an Expand repeats along a new first axis."""
    unsqueeze = expand.inputs[0].producer() if expand.inputs[0] is not None else None
    if unsqueeze is None or unsqueeze.op_type != "Unsqueeze" or unsqueeze.domain != "":
        return None
    axes = constant(unsqueeze.inputs[1]) if len(unsqueeze.inputs) > 1 else None
    source = unsqueeze.inputs[0]
    if axes is None or axes.tolist() != [0] or source is None:
        return None
    before, after = shape_of(source), shape_of(expand.outputs[0])
    if before is None or after is None or len(after) != len(before) + 1:
        return None
    if before[1:] != after[2:] or (before[0] == 1 and after[1] != 1):
        return None
    return source


def _per_sample(node: ir.Node, merged: bool) -> bool:
    """Whether a node can run on ``[B, ...]`` instead of ``[T*B, ...]`` or ``[T, B, ...]``."""
    rest = [value for value in node.inputs if value is not None and constant(value) is None]
    if len(rest) != 1:
        return False
    held = [None if value is None else constant(value) for value in node.inputs]
    if held[0] is not None and node.op_type not in _ELEMENTWISE:
        return False
    if node.op_type == "Gemm" and (int_attribute(node, "transA", 0) or _has_rows(held)):
        return False
    if node.op_type in _PER_SAMPLE:
        return merged
    if node.op_type == "Flatten":
        return merged and int_attribute(node, "axis", 1) == 1
    if node.op_type == "MatMul":
        return held[1] is not None and held[1].ndim <= 2
    if node.op_type in _ELEMENTWISE:
        shape = shape_of(rest[0])
        features = 0 if shape is None else len(shape) - (1 if merged else 2)
        return all(array is None or array.ndim <= features for array in held)
    if node.op_type.startswith("Reduce"):
        axes = ints_attribute(node, "axes")
        return merged and axes is not None and min(axes) > 0
    return False


def _has_rows(held: list[npt.NDArray[Any] | None]) -> bool:
    """Whether the addend of a Gemm may differ from sample to sample."""
    addend = held[2] if len(held) > 2 else None
    return addend is not None and addend.ndim > 1 and addend.shape[0] != 1


def _move(
    graph: ir.Graph, source: ir.Value, moved: list[ir.Node], end: ir.Value, steps: int
) -> None:
    """Run ``moved`` on the static source and repeat the result."""
    final = end.shape
    value = source
    last = moved[-1]
    for node in moved:
        index = next(k for k, v in enumerate(node.inputs) if v is not None and constant(v) is None)
        node.replace_input_with(index, value)
        value = node.outputs[0]
        value.shape = None
    users = {use.node for use in end.uses()}
    anchor = next(node for node in graph if node in users)
    axes = new_initializer(graph, "time_axis", np.array([0], np.int64))
    rank = final.rank() if final is not None else 2
    target = new_initializer(graph, "repeat", np.array([steps, *([1] * (rank - 1))], np.int64))
    static = insert_before(anchor, "Unsqueeze", [value, axes], f"{last.name}.static")
    repeated = insert_before(anchor, "Expand", [static, target], f"{last.name}.repeated")
    repeated.shape = final
    replace_value(end, repeated)
    unsqueeze = static.producer()
    if unsqueeze is not None and end is value:
        unsqueeze.replace_input_with(0, value)
