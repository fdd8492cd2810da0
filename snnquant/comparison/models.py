"""Two models, layer by layer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnquant.comparison.change import Array, Change, compare_arrays, compare_values
from snnquant.comparison.layers import NODE, Layer
from snnquant.comparison.matching import Pairs, match_layers
from snnquant.comparison.snapshot import ModelSnapshot
from snnquant.model_file import SCALE_KEY, STATE_KEY, SYNAPSES_KEY

EQUAL, CHANGED, ADDED, REMOVED = "equal", "changed", "added", "removed"
#: Metadata that results depend on: what integers are worth, how states start, where time is.
_MEANING = (SCALE_KEY, STATE_KEY, "snnquant.sequence", "snnquant.mode", "snnquant.timesteps")
#: Metadata of which the comparison of layers says more.
_TOLD = (SYNAPSES_KEY,)
_CONFIG = "snnquant.config"


@dataclass(frozen=True)
class LayerChange:
    """A layer in both models, or in one.

    Attributes:
        name: in the second model; in the first where it was removed.
        before: name in the first model, None where it was added.
        after: name in the second, None where it was removed.
        kind: "synapse", "neuron", "quantizer", "node", or "tensor" of a calibration.
        op: op type in the second model, or in the first.
        status: "equal", "changed", "added" or "removed".
        changes: what differs.
    """

    name: str
    before: str | None
    after: str | None
    kind: str
    op: str
    status: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What differs between two files.

    Attributes:
        kind: "model" or "calibration".
        changes: what differs in the whole.
        layers: all layers, or tensors and neurons of a calibration, equal ones too.
    """

    kind: str
    changes: tuple[Change, ...]
    layers: tuple[LayerChange, ...]

    @property
    def all_changes(self) -> list[Change]:
        """All differences; a layer that was added or removed is one."""
        found = list(self.changes)
        for layer in self.layers:
            found += layer.changes
        return found

    @property
    def equal(self) -> bool:
        """Whether nothing differs but names and metadata."""
        return not any(change.computes for change in self.all_changes)

    def without_names(self) -> Comparison:
        """Return what differs beside names and metadata."""
        layers = []
        for layer in self.layers:
            kept = tuple(change for change in layer.changes if change.computes)
            status = layer.status if kept else EQUAL
            fields = {**vars(layer), "status": status, "changes": kept}
            layers.append(LayerChange(**fields))
        kept = tuple(change for change in self.changes if change.computes)
        return Comparison(self.kind, kept, tuple(layers))


def compare_models(before: ModelSnapshot, after: ModelSnapshot) -> Comparison:
    """Compare two models.

    Raises:
        ModelError: the weights of a layer are malformed.
    """
    same_form = _form(before) == _form(after)
    pairs = match_layers(before.layers, after.layers)
    names = {one.name: other.name for one, other in pairs if one and other}
    sources = _sources(before.layers), _sources(after.layers)
    layers = []
    for one, other in pairs:
        if one is not None and other is not None:
            if one.kind == NODE and not same_form:
                continue
            found = _compare_layers(one, other, same_form=same_form)
            if same_form:
                found += _wiring(sources[0][id(one)], sources[1][id(other)], names)
            status = CHANGED if found else EQUAL
            layers.append(
                LayerChange(
                    other.name, one.name, other.name, other.kind, other.op, status, tuple(found)
                )
            )
        elif one is not None and (same_form or one.kind != NODE):
            change = Change(REMOVED, one.kind, one.op, None)
            layers.append(
                LayerChange(one.name, one.name, None, one.kind, one.op, REMOVED, (change,))
            )
        elif other is not None and (same_form or other.kind != NODE):
            change = Change(ADDED, other.kind, None, other.op)
            layers.append(
                LayerChange(other.name, None, other.name, other.kind, other.op, ADDED, (change,))
            )
    changes = _whole(before, after)
    if not same_form:
        changes += _other_nodes(pairs)
    result = Comparison("model", tuple(changes), tuple(layers))
    if result.equal and before.graph_sha256 != after.graph_sha256:
        hidden = Change(
            "graph",
            "order of nodes, or types of constants",
            before.graph_sha256[:12],
            after.graph_sha256[:12],
        )
        result = Comparison("model", (*result.changes, hidden), result.layers)
    return result


def _form(model: ModelSnapshot) -> tuple[Any, ...]:
    """Return what decides which other nodes a model needs, beside its layers."""
    return model.found["kind"], model.found["mode"], _fused(model.layers)


def _fused(layers: Sequence[Layer]) -> bool:
    return any(layer.fused for layer in layers)


def _compare_layers(one: Layer, other: Layer, *, same_form: bool) -> list[Change]:
    """Return what differs between two forms of one layer."""
    found = compare_values("renamed", "name", one.name, other.name, computes=False)
    found += compare_values("op", "op", one.op, other.op)
    keys = sorted(one.facts.keys() | other.facts.keys())
    for key in keys:
        if not same_form and not (key in one.facts and key in other.facts):
            continue  # one form of a layer has it, another has no place for it
        if key == "neuron" and one.op != other.op:
            continue  # the op says it
        found += compare_values(_kind_of(key), key, one.facts.get(key), other.facts.get(key))
    for key in [*one.arrays, *(key for key in other.arrays if key not in one.arrays)]:
        if key not in one.arrays or key not in other.arrays:
            there = [("there" if key in layer.arrays else None) for layer in (one, other)]
            if same_form:
                found += compare_values("constant", key, there[0], there[1])
            continue
        kind = key if key in ("weights", "bias", "scale", "zero_point") else "constant"
        arrays = one.arrays[key](), other.arrays[key]()
        if key == "weights" and one.fused != other.fused and _reordered(*arrays):
            found.append(Change("order", "weights", "rows", "the same in another order"))
            continue
        found += compare_arrays(kind, key, *arrays)
    return found


def _reordered(one: Array | None, other: Array | None) -> bool:
    """Whether the rows of two matrices hold the same in another order, one for the whole.

    Behind feature maps whose channels are last features have another order.
    """
    if one is None or other is None or one.ndim != 2 or one.shape != other.shape:
        return False
    if np.array_equal(one, other):
        return False
    first, second = (array[:, np.lexsort(array[::-1])] for array in (one, other))
    return np.array_equal(first, second)


def _kind_of(fact: str) -> str:
    """Return the kind of difference that a fact of a layer is."""
    known = {"bits": "bits", "weight_bits": "bits", "state_bits": "bits", "scale": "scale"}
    known |= {"zero_point": "zero_point", "neuron": "neuron", "neurons": "shape"}
    return known.get(fact, "attribute")


def _sources(layers: Sequence[Layer]) -> dict[int, tuple[str, ...]]:
    """Return the layers or inputs of the model that each layer takes from, by its identity."""
    gives: dict[str, tuple[str, ...]] = {}
    found: dict[int, tuple[str, ...]] = {}
    for layer in layers:  # sorted topologically, as ONNX demands
        seen: dict[str, None] = {}
        for value in layer.sources:
            seen.update(dict.fromkeys(gives.get(value, (f"input '{value}'",))))
        found[id(layer)] = tuple(seen)
        # Other nodes only hand on; long sums of many layers are cut.
        own = tuple(seen)[:64] if layer.kind == NODE else (layer.name,)
        gives.update(dict.fromkeys(layer.gives, own))
    return found


def _wiring(
    before: tuple[str, ...], after: tuple[str, ...], names: Mapping[str, str]
) -> list[Change]:
    """Return a difference in what a layer takes from."""
    expected = [names.get(name, name) for name in before]
    if sorted(expected) == sorted(after):
        return []
    if all(name.startswith("input ") for name in (*before, *after)) and len(before) == len(after):
        return []  # an input of another name, which is told of the model
    return [Change("wiring", "takes from", ", ".join(before), ", ".join(after))]


def _other_nodes(pairs: Pairs) -> list[Change]:
    """Return how many nodes that are no layers each model has of each op, where that differs."""
    counts = [
        Counter(layer.op for pair in pairs if (layer := pair[k]) and layer.kind == NODE)
        for k in (0, 1)
    ]
    found: list[Change] = []
    for op in sorted(counts[0].keys() | counts[1].keys()):
        found += compare_values("nodes", f"nodes {op}", counts[0][op], counts[1][op])
    return found


def _whole(before: ModelSnapshot, after: ModelSnapshot) -> list[Change]:
    """Return what differs between two models beside their layers."""
    one, other = before.found, after.found
    found: list[Change] = []
    for key, what in (
        ("kind", "kind"),
        ("mode", "mode"),
        ("timesteps", "T"),
        ("input_kind", "input"),
    ):
        found += compare_values(key, what, one[key], other[key])
    found += compare_values("fused", "fused", *(_fused(s.layers) for s in (before, after)))
    found += compare_values("batch", "fixed batch", one["fixed_batch"], other["fixed_batch"])
    found += _interface(one["inputs"], other["inputs"])
    for k, (first, second) in enumerate(zip(one["outputs"], other["outputs"], strict=False)):
        found += compare_values("output", f"output {k}", first, second, computes=False)
    if len(one["outputs"]) != len(other["outputs"]):
        found.append(Change("output", "outputs", one["outputs"], other["outputs"]))
    left = [{e["node"]: e["op"] for e in found_["stays_float"]} for found_ in (one, other)]
    found += compare_values("stays_float", "stay float", *(sorted(e.values()) for e in left))
    found += _header(before.header, after.header)
    for name in sorted(before.functions.keys() & after.functions.keys()):
        bodies = [hashlib.sha256(s.functions[name]).hexdigest() for s in (before, after)]
        found += compare_values("function", f"body of {name}", *bodies)
    found += _metadata(one["metadata"], other["metadata"], alike=one["mode"] == other["mode"])
    return found


def _interface(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> list[Change]:
    """Return how the inputs differ, by place."""
    if len(one) != len(other):
        before, after = ([entry["name"] for entry in entries] for entries in (one, other))
        return [Change("input", "inputs", before, after)]
    found: list[Change] = []
    for first, second in zip(one, other, strict=True):
        what = f"input {second['name']}"
        found += compare_values(
            "input", "input name", first["name"], second["name"], computes=False
        )
        for key in ("dtype", "shape", "batch_axis", "time_axis"):
            said = f"{what} {key.replace('_', ' ')}"
            kind = "shape" if key == "shape" else "input"
            found += compare_values(kind, said, first[key], second[key])
    return found


def _header(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Change]:
    opsets = [header.get("opsets", {}) for header in (one, other)]
    found: list[Change] = []
    for domain in sorted(opsets[0].keys() | opsets[1].keys()):
        found += compare_values("opset", f"opset {domain}", *(held.get(domain) for held in opsets))
    for key in sorted((one.keys() | other.keys()) - {"opsets"}):
        found += compare_values("metadata", key, one.get(key), other.get(key), computes=False)
    return found


def _metadata(one: Mapping[str, str], other: Mapping[str, str], *, alike: bool) -> list[Change]:
    """Return the properties that differ; of the settings each.

    Args:
        one: the properties of the first model.
        other: those of the second.
        alike: the models are of one mode; else those of states are in one alone.
    """
    first, second = (dict(_flat(properties)) for properties in (one, other))
    found: list[Change] = []
    for key in sorted(first.keys() | second.keys()):
        means = key.startswith(_MEANING)
        if key in _TOLD or (means and not alike):
            continue
        kind = "scale" if key.startswith(SCALE_KEY) else "metadata"
        found += compare_values(kind, key, first.get(key), second.get(key), computes=means)
    return found


def _flat(properties: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the properties, with the settings of the conversion one by one."""
    for key, text in properties.items():
        settings = None
        if key == _CONFIG:
            try:
                settings = json.loads(text)
            except (ValueError, RecursionError):
                settings = None
        if isinstance(settings, dict):
            yield from ((f"{key}.{name}", value) for name, value in settings.items())
        else:
            yield key, text
