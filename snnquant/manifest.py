"""The manifest beside an integer model: what was made from what, layer by layer, and how it did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snnquant import __version__
from snnquant.bound_json import BINDING, binding_of
from snnquant.files import atomic_write, read_json
from snnquant.lowering.layer_options import LayerOptions
from snnquant.quantize import QuantizedModel
from snnquant.quantize_options import QuantizeOptions
from snnquant.self_check import SelfCheck
from snnquant.stepping import MODES, is_step_model

MANIFEST_SCHEMA = "snnquant.manifest/1"
#: Far more than a manifest of many layers.
_MAX_BYTES = 1 << 26


def manifest_path(output: Path) -> Path:
    """Return the manifest's path beside an output path."""
    return output.with_suffix(".manifest.json")


def describe_options(options: QuantizeOptions) -> dict[str, Any]:
    """Return the settings as plain values."""
    return {
        "target": options.target.name,
        "weight_bits": options.weight_bits,
        "input_bits": options.input_bits,
        "per_channel": options.per_channel,
        "readout_as": options.readout_as,
        "fuse": options.fuse,
        "rounding": options.rounding,
        "state_bits": options.state_bits,
        "overflow": options.overflow,
        **({"layers": describe_layers(options.layers)} if options.layers else {}),
    }


def describe_layers(layers: Mapping[str, LayerOptions]) -> dict[str, dict[str, int]]:
    """Return the widths of single layers as plain values, by name."""
    return {
        name: {key: bits for key, bits in vars(layers[name]).items() if bits is not None}
        for name in sorted(layers)
    }


def manifest(
    result: QuantizedModel,
    options: QuantizeOptions,
    check: SelfCheck,
    *,
    inputs: Mapping[str, Mapping[str, Any]],
    artifacts: Sequence[Mapping[str, str]],
    warnings: Sequence[Mapping[str, str]],
) -> str:
    """Return the manifest's text: what was made from what, layer by layer."""
    document = {
        "schema": MANIFEST_SCHEMA,
        "tool": f"snnquant {__version__}",
        "inputs": dict(inputs),
        "config": {**describe_options(options), "mode": MODES[is_step_model(result.model)]},
        "metrics": {
            "self_check_samples": check.samples,
            "self_check_integers": check.integers,
            "step_check_values": check.steps,
        },
        "gates": [],
        "layers": result.layers,
        "search": result.search,
        "requantized": result.requantized,
        "stays_float": [vars(entry) for entry in result.left],
        "input_scales": result.input_scales,
        "output_scales": result.output_scales,
        "state_scales": result.state_scales,
        "warnings": list(warnings),
        "artifacts": list(artifacts),
    }
    return _manifest_text(document)


def read_manifest(path: Path) -> Any:
    """Return what a manifest says, which whoever sent it may have written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or no JSON.
    """
    return read_json(path, "a manifest", _MAX_BYTES)


def record_evaluation(output: Path, evaluation: Mapping[str, Any]) -> None:
    """Add to a model's manifest what was measured of it, and which gates failed.

    Args:
        output: the model.
        evaluation: the machine output of ``eval``.

    Raises:
        UsageError: the manifest cannot be written.
    """
    document = read_manifest(manifest_path(output))
    document["inputs"]["test"] = evaluation["inputs"]["data"]
    document["metrics"] |= evaluation["metrics"]
    document["gates"] = evaluation["gates"]
    atomic_write(manifest_path(output), _manifest_text(document))


def _manifest_text(document: Mapping[str, Any]) -> str:
    bound = {key: value for key, value in document.items() if key != BINDING}
    bound[BINDING] = binding_of(bound)
    return json.dumps(bound, indent=2, allow_nan=False) + "\n"
