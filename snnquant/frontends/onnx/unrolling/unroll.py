"""Write loops out: Loop, Scan, and the sequences and branches in them, become plain nodes."""

from __future__ import annotations

import onnx

from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.preparation.branches import taken_branch
from snnquant.frontends.onnx.preparation.graph import MAX_NODES, sort_nodes
from snnquant.frontends.onnx.preparation.names import Names, described
from snnquant.frontends.onnx.preparation.shapes import MALFORMED, infer_shapes
from snnquant.frontends.onnx.unrolling.loops import Unroller
from snnquant.frontends.onnx.unrolling.sequences import SEQUENCE_OPS, Sequences
from snnquant.frontends.onnx.unrolling.time import set_timesteps

_CONTROL = frozenset({"If", "Loop", "Scan"})


def unroll(
    model: onnx.ModelProto, timesteps: int | None = None, where: str = "the model"
) -> onnx.ModelProto:
    """Return the model with every loop over time replaced by as many copies of its body.

    Sequences that loops fill become stacked tensors, branches inside loops are taken. The outputs
    stay the same to the bit.

    Args:
        model: as :func:`~snnquant.frontends.onnx.preparation.prepare.prepare` returns it.
        timesteps: size of the dynamic dimension along which the first loop runs, if it is dynamic.
        where: words for the model in messages.

    Raises:
        ModelError: how often a loop runs is not known before the model runs, or is too much.
    """
    if not _open(model.graph):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        _unroll(copy, timesteps, where)
    except MALFORMED as error:
        raise ModelError(
            f"{where}: a loop is malformed: {first_line(error)}; export the model again"
        ) from error
    return copy


def _open(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes of a graph that have yet to go."""
    wanted = _CONTROL | SEQUENCE_OPS
    return [node for node in graph.node if not node.domain and node.op_type in wanted]


def _unroll(model: onnx.ModelProto, timesteps: int | None, where: str) -> None:
    names = Names(model)
    if timesteps is not None:
        set_timesteps(model, timesteps, where)
    while True:
        # A second loop may run as often as the first one's result is long, which is known only
        # when that is written out.
        replaced, reason = _unroll_known(model.graph, names, where)
        sort_nodes(model.graph, where)
        infer_shapes(model, where)
        left = _open(model.graph)
        if not left:
            return
        if not replaced:
            raise ModelError(f"{where}: {reason or described(left[0]) + ' cannot be written out'}")


def _unroll_known(graph: onnx.GraphProto, names: Names, where: str) -> tuple[int, str]:
    """Replace what is known, in place.

    Returns:
        How many nodes were replaced, and why the first that was not was not.
    """
    unroller = Unroller(graph, names, where)
    sequences = Sequences(unroller)
    pending = list(reversed(graph.node))
    written = onnx.GraphProto()
    replaced, reason = 0, ""
    while pending:
        node = pending.pop()
        nodes: list[onnx.NodeProto] | str | None
        if node.domain:
            nodes = None
        elif node.op_type in ("Loop", "Scan"):
            nodes = unroller.write_out(node)
        elif node.op_type == "If":
            condition = unroller.known.value(node.input[0])
            nodes = (
                f"{described(node)} chooses by data; export a network without branches"
                if condition is None
                else taken_branch(node, bool(condition.item()), names, where)
            )
        else:
            nodes = sequences.resolve(node)
        if isinstance(nodes, list):
            replaced += 1
            unroller.known.add(nodes)
            pending.extend(reversed(nodes))
            continue
        reason = reason or nodes or ""
        written.node.append(node)
        if len(written.node) > MAX_NODES:
            raise unroller.too_large(node)
    del graph.node[:]
    graph.node.extend(written.node)
    return replaced, reason
