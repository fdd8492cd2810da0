"""What a rule is: how one kind of node is understood, and how it is written in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.lowering.emitter import Emitter
from snnquant.lowering.flow import Flow
from snnquant.lowering.plan import Plan


@dataclass(frozen=True)
class Rule:
    """One rule of the lowering.

    Attributes:
        ops: (domain, op type) pairs that it covers.
        infer: returns the flow of each output, or raises StaysFloat with the reason.
        emit: writes the node; called only where ``infer`` succeeded.
        enters: the rule also takes float values, which are quantized at its door.
        moves: the operation only moves values, so that it matters to nobody where it stays float.
    """

    ops: tuple[tuple[str, str], ...]
    infer: Callable[[ir.Node, Plan], Sequence[Flow | None]]
    emit: Callable[[ir.Node, Emitter], None]
    enters: bool = False
    moves: bool = False


def standard(*names: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs for standard ops."""
    return tuple(("", name) for name in names)


def first(node: ir.Node) -> ir.Value:
    """Return the first input of a node, which must be there."""
    return operand(node, 0)


def operand(node: ir.Node, index: int) -> ir.Value:
    """Return an input of a node that must be there."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise ModelError(
            f"node '{node.name}' ({node.op_type}) has no input {index}; export the network again"
        )
    return value
