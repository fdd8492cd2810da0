"""Frontends: whatever a user brings becomes a float graph with neuron nodes.

A frontend is a package with one function ``read(path, options) -> Reading``; it is imported only
when it is needed. To add one: write the package, add a line to :data:`FRONTENDS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snnquant.errors import ModelError
from snnquant.frontends.reading import NeuronOrigin, Reading, SourceOptions, reading_of

Read = Callable[[Path, SourceOptions], Reading]


@dataclass(frozen=True)
class Frontend:
    """One frontend: the file suffixes that it reads, and the module that holds ``read``."""

    suffixes: tuple[str, ...]
    module: str
    what: str


FRONTENDS: tuple[Frontend, ...] = (
    Frontend((".onnx",), "snnquant.frontends.onnx", "ONNX"),
    Frontend((".nir",), "snnquant.frontends.nir", "NIR"),
    Frontend((".pt2", ".pt", ".pth", ".safetensors"), "snnquant.frontends.torch", "torch"),
)


def read_source(path: str | Path, options: SourceOptions | None = None) -> Reading:
    """Read a model in any supported form.

    Args:
        path: .onnx, .nir or .pt2 file, or a checkpoint where ``options.factory`` builds the module.
        options: what the user says beside the path.

    Raises:
        ModelError: the file cannot be read, or holds something that no neuron expresses.
        UsageError: an option is missing or does not fit.
        NumericalError: NaN or infinite weights.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    for frontend in FRONTENDS:
        if suffix in frontend.suffixes:
            read: Read = importlib.import_module(frontend.module).read
            return read(file, options or SourceOptions())
    if not file.exists():
        raise ModelError(f"there is no model file {file}; check the path")
    known = ", ".join(suffix for frontend in FRONTENDS for suffix in frontend.suffixes)
    raise ModelError(f"{file}: no frontend reads '{suffix}' files; give one of {known}")


__all__ = [
    "FRONTENDS",
    "Frontend",
    "NeuronOrigin",
    "Reading",
    "SourceOptions",
    "read_source",
    "reading_of",
]
