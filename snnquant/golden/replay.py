"""Golden vectors against what a model gives now, in each of the ways to run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.data import Batch
from snnquant.errors import DataError, ModelError, SelfCheckError
from snnquant.golden.engines import (
    ENGINES,
    LAYER,
    OUTPUT,
    STATE,
    Engine,
    Results,
    open_engines,
)
from snnquant.golden.vectors import GoldenVectors, Recorder
from snnquant.model_file import neuron_nodes
from snnquant.stepping import STEP_MODE, is_step_model

Array = npt.NDArray[Any]

#: Real outputs may differ by this share of the largest: float parts differ in the last bits
#: between implementations, and a step of an integer is far more.
FLOAT_TOLERANCE = 2.0**-20


@dataclass(frozen=True)
class Mismatch:
    """The first value of one array that is not as stored.

    Attributes:
        engine: "library", "functions" or "reference".
        kind: "layer", "state" or "output".
        name: of the layer, of the state or of the output.
        sample: index, None where the array has no samples.
        step: index, None where the array has no steps.
        neuron: place behind these axes, channels first.
        expected: stored value.
        found: value now.
        count: values of the array that differ.
    """

    engine: str
    kind: str
    name: str
    sample: int | None
    step: int | None
    neuron: tuple[int, ...]
    expected: float | int
    found: float | int
    count: int

    def __str__(self) -> str:
        places = [f"{self.kind} '{self.name}'"]
        places += [f"sample {self.sample}"] if self.sample is not None else []
        places += [f"step {self.step}"] if self.step is not None else []
        places.append(f"neuron {list(self.neuron)}")
        return (
            f"{', '.join(places)}: expected {self.expected}, found {self.found} ({self.engine}, "
            f"{self.count} values differ)"
        )


@dataclass(frozen=True)
class Replay:
    """What a replay compared, by engine, and what differs, in the order of computation."""

    samples: int
    compared: Mapping[str, int]
    mismatches: tuple[Mismatch, ...]


def replay(
    model: onnx.ModelProto,
    golden: GoldenVectors,
    engines: Iterable[Engine] | None = None,
    known: Mapping[str, Results] | None = None,
) -> Replay:
    """Run a model on the inputs of golden vectors and compare all that these hold.

    Args:
        model: the model that they are of.
        golden: inputs and expected results.
        engines: ways to run the model; None: all.
        known: what engines gave for these inputs before, by name; they are not run again.

    Raises:
        DataError: the vectors are of another interface.
        LibraryError: the library is wanted and cannot be loaded.
    """
    if (golden.mode == STEP_MODE) != is_step_model(model):
        raise DataError(
            f"the golden vectors are of a model of mode {golden.mode}; convert again with --golden"
        )
    layers = [node.name for node in neuron_nodes(model, integer=True)]
    missing = [name for name in layers if f"{LAYER}/{name}" not in golden.arrays]
    if missing:
        raise DataError(
            f"the golden vectors have no layer '{missing[0]}'; convert again with --golden"
        )
    place = {name: k for k, name in enumerate(layers)}
    compared: dict[str, int] = {}
    mismatches: dict[tuple[Any, ...], Mismatch] = {}
    given = dict(known or {})
    for engine in open_engines(model) if engines is None else engines:
        how = engine.how
        compared[how] = 0
        for _, found in given.get(how) or engine.run(golden.arrays):
            for key, got in found.items():
                kind, name = key.split("/", 1)
                if key not in golden.arrays:
                    raise DataError(
                        f"the golden vectors have no {kind} '{name}'; convert again with --golden"
                    )
                want = golden.arrays[key]
                compared[how] += want.size
                wrong = _compare(how, kind, name, want, got, golden.axes[key])
                if wrong is not None:
                    layer = name if kind == LAYER else name.rpartition(".")[0]
                    rank = (kind == OUTPUT, place.get(layer, len(place)), kind == STATE, name)
                    mismatches.setdefault((rank, ENGINES.index(how)), wrong)
    ordered = tuple(mismatches[key] for key in sorted(mismatches))
    return Replay(golden.samples, compared, ordered)


def checked_golden(
    model: onnx.ModelProto, model_sha256: str, samples: Batch, count: int
) -> GoldenVectors:
    """Return golden vectors that every way to run the model gives.

    Args:
        model: integer model.
        model_sha256: hash of its file.
        samples: batch-first.
        count: use at most this many.

    Raises:
        SelfCheckError: a value differs.
        ModelError: the model has no integer neurons.
    """
    if not neuron_nodes(model, integer=True):
        raise ModelError("no neuron became an integer one; drop --golden")
    engines = open_engines(model)
    golden, results = Recorder(model, model_sha256, engines[0]).record(samples, count)
    wrong = replay(model, golden, engines, {engines[0].how: results}).mismatches
    if wrong:
        raise SelfCheckError(
            f"golden vectors failed at {wrong[0]}; nothing was written, please report this"
        )
    return golden


def _compare(
    how: str, kind: str, name: str, want: Array, got: Array, axes: Mapping[str, Any]
) -> Mismatch | None:
    """Return the first difference, by step and sample; None: there is none."""
    if want.shape != got.shape:
        raise DataError(
            f"{kind} '{name}' was stored with shape {list(want.shape)} and has {list(got.shape)} "
            "now; convert again with --golden"
        )
    different = want != got
    if different.any() and want.dtype.kind == "f":
        allowed = FLOAT_TOLERANCE * float(np.abs(want).max(initial=0))
        different = ~(np.abs(want.astype(np.float64) - got) <= allowed)
    if not different.any():
        return None
    front = [axis for axis in (axes["time"], axes["batch"]) if axis is not None]
    rest = [axis for axis in range(want.ndim) if axis not in front]
    if axes["channels_last"] and rest:
        rest = [rest[-1], *rest[:-1]]
    order = (*front, *rest)
    moved = different.transpose(order)
    where = tuple(int(k) for k in np.argwhere(moved)[0])
    at = dict(zip(order, where, strict=True))
    index = tuple(at[axis] for axis in range(want.ndim))
    return Mismatch(
        engine=how,
        kind=kind,
        name=name,
        sample=None if axes["batch"] is None else at[axes["batch"]],
        step=None if axes["time"] is None else at[axes["time"]],
        neuron=where[len(front) :],
        expected=want[index].item(),
        found=got[index].item(),
        count=int(different.sum()),
    )
