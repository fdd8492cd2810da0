"""Graph passes: from any float ONNX graph with neuron nodes to the canonical one.

A pass is one file with one function ``run(model) -> int`` that edits an onnx-ir model in place and
returns how many places it changed. To add one: write the file, add it to :data:`PASSES`, test it.
The verifier runs after each.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir

from snnquant.errors import ModelError
from snnquant.ops import attach_functions
from snnquant.ops.attach import standard_opset, walk
from snnquant.passes import clean, fold_affine, fold_constants, fold_layout, hoist_static
from snnquant.passes.verify import verify

Pass = Callable[[ir.Model], int]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("clean", clean.run),
    ("fold_constants", fold_constants.run),
    ("fold_layout", fold_layout.run),
    ("fold_affine", fold_affine.run),
    ("hoist_static", hoist_static.run),
    ("clean_again", clean.run),
)


def canonicalise(model: onnx.ModelProto) -> ir.Model:
    """Return the canonical float graph of a model that has neuron nodes.

    Raises:
        ModelError: the model holds unknown neuron ops, unsupported opsets or malformed nodes.
    """
    working = clean.prepare(model)
    attach_functions(working)
    _require_inputs(working)
    graph = clean.load(working)
    verify(graph, "load")
    for name, run in PASSES:
        run(graph)
        verify(graph, name)
    return clean.infer_shapes(graph)


def _require_inputs(model: onnx.ModelProto) -> None:
    """Refuse standard ops that lack an input which they need, as the passes count on those."""
    opset = standard_opset(model)
    for node in walk(model.graph):
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, opset, ""):
            continue
        needed = onnx.defs.get_schema(node.op_type, opset, "").min_input
        if len(node.input) < needed or not all(node.input[:needed]):
            raise ModelError(
                f"node '{node.name}' ({node.op_type}) lacks an input, it needs {needed}; "
                "export the model again"
            )
