"""ONNX files: with neuron nodes as they are, others by recognising neurons in them."""

from __future__ import annotations

from pathlib import Path

from snnquant.errors import ModelError
from snnquant.frontends.reading import Reading, SourceOptions, reading_of
from snnquant.model_file import neuron_nodes, read_model
from snnquant.ops.schema import DOMAIN


def read(path: Path, options: SourceOptions) -> Reading:
    """Read an ONNX file.

    Raises:
        ModelError: it cannot be read, or holds no spiking network that can be recognised.
    """
    model = read_model(path)
    if neuron_nodes(model):
        return reading_of(model)
    raise ModelError(
        f"{path} has no neuron node of domain {DOMAIN}; "
        "export the network with snnquant.nn.export_onnx"
    )
