"""How the nodes that become integers are written: once, or beside their float originals."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from snnquant.lowering.emitter import Emitter
from snnquant.lowering.rule import Rule


class Emission:
    """Writes each node once, in integers; another one may write more and look at what came out.

    Attributes:
        real_states: inputs that are states stay real-valued.
    """

    real_states = False

    def emit(self, rule: Rule, node: ir.Node, out: Emitter) -> None:
        """Write a node for which its rule found integers."""
        rule.emit(node, out)

    def watched(self, out: Emitter) -> Sequence[ir.Value]:
        """Return values to keep although nothing depends on them."""
        return ()
