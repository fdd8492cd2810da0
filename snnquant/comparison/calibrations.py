"""Two calibration files, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from snnquant.calibration import Calibration
from snnquant.comparison.change import Change, compare_arrays, compare_values
from snnquant.comparison.layers import NEURON
from snnquant.comparison.models import ADDED, CHANGED, EQUAL, REMOVED, Comparison, LayerChange
from snnquant.target import load_target

TENSOR = "tensor"


def compare_calibrations(before: Calibration, after: Calibration) -> Comparison:
    """Compare two calibrations: what they are of, and all statistics."""
    changes: list[Change] = []
    for key, what in (("graph_sha256", "model"), ("data_sha256", "data")):
        changes += compare_values(key, f"{what} hash", getattr(before, key), getattr(after, key))
    settings = [asdict(calibration.settings) for calibration in (before, after)]
    for key in settings[0]:
        for name, one, other in _entries(key, settings[0][key], settings[1][key]):
            changes += compare_values("setting", name, one, other)
    changes += compare_values("timesteps", "T", before.timesteps, after.timesteps)
    samples = before.samples_sha256, after.samples_sha256
    changes += compare_values("samples", "stored samples hash", *samples)
    for key, what in (("samples_file", "samples file"), ("source", "source")):
        one, other = getattr(before, key), getattr(after, key)
        for name, first, second in _entries(what, one, other):
            changes += compare_values("metadata", name, first, second, computes=False)
    layers = [_layer(TENSOR, *entry) for entry in _tensors(before, after)]
    layers += [_layer(NEURON, *entry) for entry in _neurons(before, after)]
    return Comparison("calibration", tuple(changes), tuple(layers))


def _layer(kind: str, name: str, here: bool, there: bool, found: list[Change]) -> LayerChange:
    status = CHANGED if found else EQUAL
    if not here:
        status, found = ADDED, [Change(ADDED, kind, None, name)]
    elif not there:
        status, found = REMOVED, [Change(REMOVED, kind, name, None)]
    names = name if here else None, name if there else None
    return LayerChange(name, *names, kind, kind, status, tuple(found))


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names in either, those of the second first, in its order."""
    return [*other, *(name for name in one if name not in other)]


def _tensors(before: Calibration, after: Calibration) -> list[tuple[str, bool, bool, list[Change]]]:
    target = load_target("generic")
    result = []
    for name in _both(before.tensors, after.tensors):
        here, there = name in before.tensors, name in after.tensors
        found: list[Change] = []
        if here and there:
            one, other = (
                calibration.input_scale(name, target.input_bits, target.input_observer)
                for calibration in (before, after)
            )
            treated = ["spikes" if scale.spikes else "analog" for scale in (one, other)]
            found += compare_values("treated_as", "treated as", *treated)
            found += compare_values(
                "scale", f"{target.input_bits}-bit scale", one.scale, other.scale
            )
            first, second = (c.tensors[name] for c in (before, after))
            for key in ("count", "zeros", "batches", "minimum", "maximum", "all_integer"):
                what = key.replace("_", " ")
                found += compare_values(
                    "statistics", what, getattr(first, key), getattr(second, key)
                )
            sums = float(first.absmax_sum), float(second.absmax_sum)
            found += compare_values("statistics", "sum of batch maxima", *sums)
            found += compare_arrays("histogram", "histogram", first.counts, second.counts)
        result.append((name, here, there, found))
    return result


def _neurons(before: Calibration, after: Calibration) -> list[tuple[str, bool, bool, list[Change]]]:
    result = []
    for name in _both(before.neurons, after.neurons):
        here, there = name in before.neurons, name in after.neurons
        found: list[Change] = []
        if here and there:
            one, other = before.neurons[name], after.neurons[name]
            for key in sorted(one.keys() | other.keys()):
                what = key.replace("_", " ")
                found += compare_values("activity", what, one.get(key), other.get(key))
        result.append((name, here, there, found))
    return result


def _entries(name: str, one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """Return a value of both files, or each entry of a dict."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return [(name.replace("_", " "), one, other)]
    keys = sorted(one.keys() | other.keys())
    return [(f"{name} {key}".replace("_", " "), one.get(key), other.get(key)) for key in keys]
