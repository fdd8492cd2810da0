"""The file of golden vectors: ``<stem>.golden.npz`` beside a model, bound to it by its hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant import __version__
from snnquant.data import Batch
from snnquant.data.npz import load_arrays
from snnquant.data.samples import npz_bytes
from snnquant.errors import DataError, first_line
from snnquant.files import sha256_of
from snnquant.golden.engines import (
    INPUT,
    LAYER,
    LIBRARY,
    START,
    STATE,
    Engine,
    LayerShapes,
    Results,
)
from snnquant.instrument import Layout, Runner
from snnquant.model_file import neuron_nodes
from snnquant.ops.fused import channels_last
from snnquant.stepping import MODES, StepRunner, is_step_model, step_interface

Array = npt.NDArray[Any]

GOLDEN_SCHEMA = "snnquant.golden/1"
#: Name of the array that holds the metadata: JSON, UTF-8, as uint8.
META = "meta"


@dataclass(frozen=True)
class GoldenVectors:
    """What a model was given and gave.

    Attributes:
        model_sha256: hash of the model's file.
        mode: "sequence", or "step" where arrays of a step model have the steps as first axis.
        samples: number of samples.
        axes: per array the axis of the steps ("time", or None), that of the samples ("batch"), and
            whether channels come last ("channels_last").
        arrays: by ``<kind>/<name>``.
    """

    model_sha256: str
    mode: str
    samples: int
    axes: Mapping[str, Mapping[str, Any]]
    arrays: Mapping[str, Array]


def golden_path(model: Path) -> Path:
    """Return the path of the golden vectors of a model."""
    return model.with_suffix(".golden.npz")


class Recorder:
    """Runs a model on samples and keeps what it takes and gives; sessions are opened once.

    Args:
        model: integer model, of sequences or of single steps, fused or not.
        model_sha256: hash of its file.
        engine: the way to run it.

    Raises:
        ModelError: the model is not accepted.
    """

    def __init__(self, model: onnx.ModelProto, model_sha256: str, engine: Engine) -> None:
        self._model = model
        self._sha256 = model_sha256
        self._engine = engine
        native = engine.how == LIBRARY
        self._step = is_step_model(model)
        kind = StepRunner if self._step else Runner
        self._runner: StepRunner | Runner = kind(model, custom_ops=native)
        self._shapes = None if self._step else LayerShapes(model, custom_ops=native)

    def record(self, samples: Batch, count: int) -> tuple[GoldenVectors, Results]:
        """Return golden vectors, and all that the engine gave for them.

        Args:
            samples: batch-first.
            count: use at most this many, and no more than a model of a fixed batch takes at once.

        Raises:
            DataError: the samples do not fit the model.
        """
        runner = self._runner
        size = runner.layout.fixed_batch
        most = count if size is None else min(count, size)
        part = {name: array[:most] for name, array in samples.inputs.items()}
        taken = len(next(iter(part.values())))
        shapes: dict[str, Array] = {}
        if isinstance(runner, StepRunner):
            stored = _step_inputs(runner, part, self._model)
        else:
            feeds = runner.feeds(part)
            stored = {f"{INPUT}/{name}": array for name, array in feeds.items()}
            shapes = {} if self._shapes is None else self._shapes.of(feeds)
        results = self._engine.run(stored | shapes)
        arrays = {name: array for name, array in sorted((stored | results[0][1]).items())}
        own = runner.step_layout if isinstance(runner, StepRunner) else runner.layout
        layouts = {entry.name: entry for entry in (*own.inputs, *own.outputs)}
        axes = _axes(self._model, arrays, layouts, self._step)
        mode = MODES[self._step]
        return GoldenVectors(self._sha256, mode, taken, axes, arrays), results


def record_golden(
    model: onnx.ModelProto, model_sha256: str, samples: Batch, count: int, how: str = LIBRARY
) -> GoldenVectors:
    """Run a model on samples and keep what it takes and gives, as :class:`Recorder` does.

    Args:
        model: integer model.
        model_sha256: hash of its file.
        samples: batch-first.
        count: use at most this many.
        how: the way to run it, one of :data:`snnquant.golden.engines.ENGINES`.
    """
    return Recorder(model, model_sha256, Engine(model, how)).record(samples, count)[0]


def _step_inputs(
    runner: StepRunner, part: Mapping[str, Array], model: onnx.ModelProto
) -> dict[str, Array]:
    states = step_interface(model).states
    feeds, _ = runner.step_feeds(part)
    names = [name for name in feeds[0] if name not in states]
    stored = {f"{INPUT}/{name}": np.stack([feed[name] for feed in feeds]) for name in names}
    return stored | {f"{START}/{name}": feeds[0][name] for name in states}


def _axes(
    model: onnx.ModelProto, arrays: Mapping[str, Array], layouts: Mapping[str, Layout], step: bool
) -> dict[str, dict[str, Any]]:
    """Return where steps and samples are in every array."""
    last = {n.name for n in neuron_nodes(model) if channels_last(n.domain, n.op_type)}
    states = step_interface(model).states if step else {}
    found: dict[str, dict[str, Any]] = {}
    for key in arrays:
        kind, name = key.split("/", 1)
        batch: int | None = 0
        time: int | None = None
        ends_last = False
        if kind == LAYER:
            time, batch, ends_last = 0, 1, name in last
        elif kind in (START, STATE):
            if name in states:
                batch = next(iter(states[name].batch_axes), None)
            ends_last = kind == STATE and name.rpartition(".")[0] in last
        elif name in layouts:
            time, batch = layouts[name].time_axis, layouts[name].batch_axis
            if step:
                time, batch = 0, None if batch is None else batch + 1
        found[key] = {"time": time, "batch": batch, "channels_last": ends_last}
    return found


def serialize_golden(golden: GoldenVectors) -> bytes:
    """Return the bytes of the file; same vectors, same bytes."""
    meta = {
        "schema": GOLDEN_SCHEMA,
        "tool": f"snnquant {__version__}",
        "model_sha256": golden.model_sha256,
        "mode": golden.mode,
        "samples": golden.samples,
        "arrays": {name: dict(axes) for name, axes in golden.axes.items()},
    }
    text = json.dumps(meta, indent=1, sort_keys=True).encode()
    return npz_bytes({**golden.arrays, META: np.frombuffer(text, np.uint8)})


def load_golden(path: Path) -> GoldenVectors:
    """Read what :func:`serialize_golden` wrote.

    Raises:
        DataError: the file is missing, damaged, or not of this schema.
    """
    if not path.is_file():
        raise DataError(
            f"there are no golden vectors {path}; convert again with --golden 4, or give --data"
        )
    try:
        arrays = load_arrays(path)
    except DataError as error:
        what = str(error).rpartition(";")[0]  # its remedy is for files of users
        raise DataError(f"{what}; convert again with --golden") from error
    try:
        meta = json.loads(arrays.pop(META).astype(np.uint8).tobytes().decode())
        if meta["schema"] != GOLDEN_SCHEMA:
            raise DataError(
                f"{path} has schema '{meta['schema']}', not '{GOLDEN_SCHEMA}'; convert again with "
                "--golden"
            )
        axes = {
            str(name): {
                "time": _axis(where["time"], arrays[name]),
                "batch": _axis(where["batch"], arrays[name]),
                "channels_last": bool(where["channels_last"]),
            }
            for name, where in meta["arrays"].items()
        }
        return GoldenVectors(
            str(meta["model_sha256"]),
            str(meta["mode"]),
            int(meta["samples"]),
            axes,
            {name: arrays[name] for name in axes},
        )
    except (
        *(KeyError, ValueError, TypeError, AttributeError, IndexError),
        *(OverflowError, RecursionError),
    ) as error:
        raise DataError(
            f"{path} holds no golden vectors ({first_line(error)}); convert again with --golden"
        ) from error


def is_golden_of(path: Path, model: Path) -> bool:
    """Whether a file holds golden vectors of the file that is at the model's path now."""
    try:
        return load_golden(path).model_sha256 == sha256_of(model)
    except DataError:
        return False


def _axis(value: Any, array: Array) -> int | None:
    if value is None:
        return None
    if not 0 <= int(value) < array.ndim:
        raise ValueError(f"axis {value} of {array.ndim}")
    return int(value)
