"""Graph passes: from any float ONNX graph with neuron nodes to the canonical one.

A pass is one file with one function ``run(model) -> int`` that edits an onnx-ir model in place and
returns how many places it changed. To add one: write the file, add it to :data:`PASSES`, test it.
The verifier runs after each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir

from snnquant.errors import ModelError, UsageError
from snnquant.model_file import neuron_nodes, read_model
from snnquant.ops import DOMAIN, attach_functions
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
    graph = clean.load(working)
    verify(graph, "load")
    for name, run in PASSES:
        run(graph)
        verify(graph, name)
    return clean.infer_shapes(graph)


def load_canonical(path: str | Path) -> ir.Model:
    """Read a float model file and return its canonical graph.

    Raises:
        UsageError: the file is an integer model.
        ModelError: it cannot be read, or has no neuron.
        NumericalError: it holds NaN or infinite weights.
    """
    model = read_model(path)
    if neuron_nodes(model, integer=True):
        raise UsageError(f"{path} is an integer model already; give the float model")
    if not neuron_nodes(model):
        raise ModelError(
            f"{path} has no neuron node of domain {DOMAIN}; "
            "export the network with snnquant.nn.export_onnx"
        )
    return canonicalise(model)
