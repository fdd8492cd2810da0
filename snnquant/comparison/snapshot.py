"""What two models are compared by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from snnquant.comparison.layers import NEURON, Layer, layers_of
from snnquant.errors import ModelError
from snnquant.frontends import read_source
from snnquant.inspection import describe_float, describe_integer
from snnquant.instrument import Runner
from snnquant.model_file import graph_hash, neuron_nodes
from snnquant.passes import canonicalise


@dataclass(frozen=True)
class ModelSnapshot:
    """One model.

    Attributes:
        path: its file.
        found: what ``inspect`` says of it.
        layers: its layers and other nodes, in order.
        graph_sha256: hash of what it computes, without names and metadata.
        functions: bodies of its functions by domain and name, serialized.
        header: opsets, IR version, producer: what the file says of itself.
    """

    path: Path
    found: dict[str, Any]
    layers: list[Layer]
    graph_sha256: str
    functions: dict[str, bytes]
    header: dict[str, Any]


def model_snapshot(path: Path) -> ModelSnapshot:
    """Read a float or integer model.

    Raises:
        ModelError: it cannot be read.
        UsageError: it is in a form that needs options.
        NumericalError: it holds NaN or infinite weights.
    """
    reading = read_source(path)
    if neuron_nodes(reading.model, integer=True):
        proto = reading.model
        graph_sha256 = graph_hash(ir.from_proto(proto))
        found = describe_integer(reading, Runner(proto, custom_ops=False).layout)
    else:
        canonical = canonicalise(reading.with_metadata())
        graph_sha256 = graph_hash(canonical)
        proto = ir.to_proto(canonical)
        found = describe_float(reading, canonical, Runner(proto, custom_ops=False).layout)
    layers = layers_of(proto)
    shapes = {entry["name"]: entry["neurons"] for entry in found["layers"] if "neurons" in entry}
    for layer in layers:
        if layer.kind == NEURON and layer.name in shapes:
            layer.facts["neurons"] = shapes[layer.name]
    functions = {
        f"{function.domain}.{function.name}": function.SerializeToString(deterministic=True)
        for function in reading.model.functions
    }
    header = _header(path) if path.suffix.lower() == ".onnx" else {}
    return ModelSnapshot(path, found, layers, graph_sha256, functions, header)


def _header(path: Path) -> dict[str, Any]:
    """Return what an ONNX file says of itself; it was read before, so that it is one."""
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # it is gone, or another file by now
        raise ModelError(f"{path} changed while it was read; leave it in place") from error
    return {
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "ir version": model.ir_version,
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        "model version": model.model_version,
        "doc string": model.doc_string,
        "graph name": model.graph.name,
    }
