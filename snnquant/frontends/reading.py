"""What a frontend gives: the float graph with neuron nodes, and how it was read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from snnquant.frontends.interface import free_batch
from snnquant.model_file import metadata

#: Metadata: how each neuron was read, so that an imported file can still tell.
ORIGINS_KEY = "snnquant.origins"
NOTES_KEY = "snnquant.notes"
#: How users read the name of a framework, by its Python package.
FRAMEWORK_NAMES = {
    "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly",
    "norse": "Norse",
    "sinabs": "sinabs",
}


@dataclass(frozen=True)
class SourceOptions:
    """What a user says of a source beside its path; each frontend takes what concerns it.

    Attributes:
        factory: ``package.module:function`` that builds the torch module.
        checkpoint: state dict of that module (.pt, .pth, .safetensors).
        input_shape: shape of one input of the torch module, batch included, if it must be given.
        timesteps: number of steps, where the source does not tell.
        time_axis: axis of time in the input of a torch module, of a NIR graph, or of the sequence
            that a single-step ONNX graph becomes; None: the input is static.
        dt: length of one step in seconds, for NIR.
        reset: ``hard`` or ``soft``, for NIR, which has no field for it.
        discretize: ``euler`` or ``exp``, for NIR.
    """

    factory: str | None = None
    checkpoint: Path | None = None
    input_shape: tuple[int, ...] | None = None
    timesteps: int | None = None
    time_axis: int | None = None
    dt: float | None = None
    reset: str | None = None
    discretize: str | None = None


@dataclass(frozen=True)
class NeuronOrigin:
    """Where one neuron of the float graph came from.

    Attributes:
        node: name of the neuron node.
        framework: what the source hints at, such as ``snnTorch Leaky``; "": unknown.
        found_at: names of places in the source: nodes, one or several per step, or a module.
        equation: the neuron as it was read, in the field's terms.
        knife_edges: spikes that differ in re-simulation because the membrane is at the threshold
            to within float32 rounding.
    """

    node: str
    framework: str = ""
    found_at: tuple[str, ...] = ()
    equation: str = ""
    knife_edges: int = 0


@dataclass
class Reading:
    """A float graph with neuron nodes, batch dynamic, and how it was read.

    Attributes:
        model: the graph; what its nodes compute, for any batch size.
        origins: one entry per neuron node that a frontend made.
        notes: what was assumed or is worth knowing, a sentence each.
        fixed_batch: batch size that the source's interface is bound to; None: any.
    """

    model: onnx.ModelProto
    origins: list[NeuronOrigin] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fixed_batch: int | None = None

    def with_metadata(self) -> onnx.ModelProto:
        """Return the model with origins and notes in its metadata."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        properties = metadata(copy)
        if self.origins:
            properties[ORIGINS_KEY] = json.dumps([asdict(origin) for origin in self.origins])
        if self.notes:
            properties[NOTES_KEY] = json.dumps(self.notes)
        helper.set_model_props(copy, dict(sorted(properties.items())))
        return copy


def reading_of(model: onnx.ModelProto) -> Reading:
    """Return a model that has neuron nodes already as a reading, with what its metadata tells."""
    held = metadata(model)
    try:
        origins = [_origin(entry) for entry in json.loads(held.get(ORIGINS_KEY, "[]"))]
        notes = [str(note) for note in json.loads(held.get(NOTES_KEY, "[]"))]
    except (*(ValueError, TypeError, KeyError, AttributeError), OverflowError, RecursionError):
        origins, notes = [], []  # metadata is a help, not a condition
    free, fixed_batch = free_batch(model)
    return Reading(free, origins, notes, fixed_batch)


def _origin(entry: dict[str, Any]) -> NeuronOrigin:
    """Return an origin from metadata, whatever else that holds."""
    return NeuronOrigin(
        str(entry["node"]),
        str(entry.get("framework", "")),
        tuple(str(name) for name in entry.get("found_at", ())),
        str(entry.get("equation", "")),
        int(entry.get("knife_edges", 0)),
    )
