"""Where a model comes from: its metadata, its manifest, and the versions that looked at it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import onnx

from snnquant import __version__
from snnquant.manifest import MANIFEST_SCHEMA, manifest_path, read_manifest
from snnquant.model_file import metadata

#: Packages whose versions results may depend on.
_PACKAGES = ("numpy", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Manifest:
    """What ``convert`` wrote about a model.

    Attributes:
        path: of the file.
        document: its content; empty where there is none, or it is of another model.
        bits: width of the weights by synapse.
        scales: real value of one integer step of the membrane by neuron layer.
    """

    path: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    bits: Mapping[str, int] = field(default_factory=dict)
    scales: Mapping[str, Any] = field(default_factory=dict)


def manifest_of(model: Path | None, sha256: str) -> Manifest:
    """Return the manifest beside a model, an empty one if it is not of just this model.

    Args:
        model: path of the model file, None without one.
        sha256: hash of the model file.
    """
    if model is None:
        return Manifest()
    path = manifest_path(model)
    try:
        document = read_manifest(path)
        if document["schema"] != MANIFEST_SCHEMA:
            return Manifest()
        if all(entry["sha256"] != sha256 for entry in document["artifacts"]):
            return Manifest()
        bits = {
            str(layer["name"]): int(layer["weight_bits"])
            for layer in document["layers"]
            if "weight_bits" in layer
        }
        scales = {
            str(name).removesuffix(".v"): scale
            for name, scale in document.get("state_scales", {}).items()
            if str(name).endswith(".v")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Manifest()  # a manifest is a help, not a condition
    return Manifest(str(path), document, bits, scales)


def facts(
    model: onnx.ModelProto, manifest: Manifest, document: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return groups of names and values that say where the numbers come from.

    No date is among them: the same inputs give the same report.
    """
    inputs = [
        (f"{name} {key}", _plain(value))
        for name, record in document["inputs"].items()
        for key, value in record.items()
    ]
    config = [(_words(k), _plain(v)) for k, v in document["config"].items() if v is not None]
    held = [(k, v) for k, v in sorted(metadata(model).items()) if k.startswith("snnquant.")]
    groups = [("Inputs", inputs), ("Settings of this evaluation", config)]
    if held:
        groups.append(("Metadata in the model", held))
    if manifest.document:
        given = manifest.document
        found = [("file", manifest.path)]
        for part in ("config", "metrics"):
            values = given.get(part)
            if isinstance(values, dict):
                found += [(_words(k), _plain(v)) for k, v in values.items()]
        sources = given.get("inputs")
        if isinstance(sources, dict):
            found += [
                (f"{name} {key}", _plain(value))
                for name, record in sources.items()
                if isinstance(record, dict)
                for key, value in record.items()
            ]
        left = given.get("stays_float")
        if isinstance(left, list):
            found.append(("nodes that stay float", str(len(left))))
        groups.append(("Manifest of the conversion", found))
    versions = [("snnquant", __version__), ("python", platform.python_version())]
    versions += [(name, packages.version(name)) for name in _PACKAGES]
    return [*groups, ("Versions", versions)]


def _plain(value: Any) -> str:
    """Return a value as one line of text."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")
