"""Frontends: whatever a user brings becomes a float graph with neuron nodes.

A frontend is a package with one function ``read(path, options) -> Reading``; it is imported only
when it is needed. To add one: write the package, add a line to :data:`FRONTENDS`. A new option
needs a field of :class:`SourceOptions`, its name in ``takes`` of the frontends that it means
something to, and an option of the same name in ``cli/source.py``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import onnx_ir as ir

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.reading import NeuronOrigin, Reading, SourceOptions, reading_of
from snnquant.model_file import neuron_nodes
from snnquant.passes import canonicalise

Read = Callable[[Path, SourceOptions], Reading]


@dataclass(frozen=True)
class Frontend:
    """One frontend: what it reads.

    Attributes:
        suffixes: of the files that it reads.
        module: that holds ``read``.
        what: its name in messages.
        takes: names of the :class:`SourceOptions` that mean something to it.
    """

    suffixes: tuple[str, ...]
    module: str
    what: str
    takes: frozenset[str]


_TORCH = Frontend(
    (".pt2", ".pt", ".pth", ".safetensors"),
    "snnquant.frontends.torch",
    "torch",
    frozenset({"factory", "checkpoint", "input_shape", "timesteps", "time_axis"}),
)
#: Reads what has a suffix that nobody knows, too.
_ONNX = Frontend(
    (".onnx",), "snnquant.frontends.onnx", "ONNX", frozenset({"timesteps", "time_axis"})
)
FRONTENDS: tuple[Frontend, ...] = (
    _ONNX,
    Frontend(
        (".nir",),
        "snnquant.frontends.nir",
        "NIR",
        frozenset({"input_shape", "timesteps", "time_axis", "dt", "reset", "discretize"}),
    ),
    _TORCH,
)
#: How the command line calls the options, where it is not their name.
_FLAGS = {"factory": "--model"}


def read_source(path: str | Path | None, options: SourceOptions | None = None) -> Reading:
    """Read a model in any supported form.

    Args:
        path: .onnx, .nir or .pt2 file, or a checkpoint where ``options.factory`` builds the module;
            None: what ``options.factory`` builds, with ``options.checkpoint``.
        options: what the user says beside the path.

    Raises:
        ModelError: the file cannot be read, or holds something that no neuron expresses.
        UsageError: an option is missing or does not fit.
        NumericalError: NaN or infinite weights.
    """
    given = options or SourceOptions()
    if path is None:
        if given.factory is None:
            raise UsageError("give a model file, or --model package.module:factory")
        _check_options(_TORCH, given, given.factory)
        build: Callable[[SourceOptions], Reading]
        build = importlib.import_module(_TORCH.module).read_module
        return build(given)
    file = Path(path)
    suffix = file.suffix.lower()
    by_suffix = {suffix: frontend for frontend in FRONTENDS for suffix in frontend.suffixes}
    frontend = by_suffix.get(suffix, _ONNX)
    _check_options(frontend, given, str(file))
    read: Read = importlib.import_module(frontend.module).read
    try:
        return read(file, given)
    except ModelError as error:
        if suffix in by_suffix or not os.path.isfile(file):
            raise
        known = ", ".join(by_suffix)
        raise ModelError(f"{error} (it was read as ONNX; other suffixes are {known})") from error


def load_canonical(path: str | Path | None, options: SourceOptions | None = None) -> ir.Model:
    """Read a float model in any supported form and return its canonical graph.

    Args:
        path: as for :func:`read_source`.
        options: as for :func:`read_source`.

    Raises:
        UsageError: it is an integer model; or as :func:`read_source`.
        ModelError: it cannot be read, or has no neuron.
        NumericalError: it holds NaN or infinite weights.
    """
    return canonical_graph(read_source(path, options), str(path or ""))


def canonical_graph(reading: Reading, name: str) -> ir.Model:
    """Return the canonical graph of a float model that was read, with its origins as metadata.

    Args:
        reading: the model.
        name: of the model, for messages.

    Raises:
        UsageError: it is an integer model.
        ModelError: a pass refuses it.
    """
    if neuron_nodes(reading.model, integer=True):
        raise UsageError(f"{name} is an integer model already; give the float model")
    return canonicalise(reading.with_metadata())


def _check_options(frontend: Frontend, options: SourceOptions, name: str) -> None:
    """Raise UsageError for an option that means nothing to the source, and would be lost."""
    for entry in fields(SourceOptions):
        value = getattr(options, entry.name)
        if value is not None and entry.name not in frontend.takes:
            flag = _FLAGS.get(entry.name, f"--{entry.name.replace('_', '-')}")
            raise UsageError(f"{flag} means nothing to {frontend.what} ({name}); drop it")


__all__ = [
    "FRONTENDS",
    "Frontend",
    "NeuronOrigin",
    "Reading",
    "SourceOptions",
    "canonical_graph",
    "load_canonical",
    "read_source",
    "reading_of",
]
