"""Run a model and its freed form side by side: the same bits, and the same rows in any batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant.errors import first_line
from snnquant.frontends.onnx.batch.dims import (
    BATCH,
    Dim,
    Dims,
    dim,
    has_batch,
    sizes,
    take_row,
)
from snnquant.frontends.onnx.batch.propagate import ConflictError
from snnquant.frontends.onnx.preparation.values import Shape
from snnquant.model_file import neuron_nodes
from snnquant.ops.attach import attach_functions
from snnquant.runtime import load_session

Array = npt.NDArray[Any]

#: Batch sizes at which the freed graph is run.
BATCHES = (1, 2, 3, 5)
#: Sizes of the values fed: weak and strong currents, so that neurons fire seldom and often.
_GAINS = (1.0, 6.0)
#: A sum in another order may move a membrane over its threshold; then other samples are drawn.
_DRAWS = 4
_TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


class Runs:
    """Runs one model in ONNX Runtime; the session is opened when it is needed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._session: Any = None

    def __call__(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Return all outputs.

        Raises:
            ConflictError: the model does not run with these inputs.
        """
        try:
            if self._session is None:
                self._session = self._open()
            return list(self._session.run(None, dict(feeds)))
        except Exception as error:  # ONNX Runtime raises types of its own
            raise ConflictError(
                f"it does not run with another batch ({first_line(error)})"
            ) from error

    def _open(self) -> Any:
        model = self.model
        if neuron_nodes(model):
            model = onnx.ModelProto()
            model.CopyFrom(self.model)
            attach_functions(model)
        return load_session(model.SerializeToString(), custom_ops=False, threads=1)

    def accepts(self, axes: Mapping[str, int], shapes: Mapping[str, Shape], batch: int) -> bool:
        """Whether the model runs at a batch size."""
        feeds = self._zeros(axes, shapes, batch)
        if feeds is None:
            return False
        try:
            self(feeds)
        except ConflictError:
            return False
        return True

    def _zeros(
        self, axes: Mapping[str, int], shapes: Mapping[str, Shape], batch: int
    ) -> dict[str, Array] | None:
        feeds = {}
        for value in self.model.graph.input:
            shape = list(shapes[value.name])
            if value.name in axes:
                shape[axes[value.name]] = batch
            if None in shape:
                return None
            feeds[value.name] = np.zeros([d or 0 for d in shape], _dtype(value))
        return feeds

    def output_dims(
        self, axes: Mapping[str, int], shapes: Mapping[str, Shape], batches: Sequence[int]
    ) -> list[Dims] | None:
        """Return the outputs' dimensions, from their sizes at two batch sizes; None: unclear."""
        found = []
        feeds = [self._zeros(axes, shapes, batch) for batch in batches]
        results = [self(f) for f in feeds if f is not None]
        for first, second in zip(*results, strict=True):
            dims: list[Dim] = []
            for a, b in zip(first.shape, second.shape, strict=True):
                if a == b:
                    dims.append(dim([a]))
                elif (a, b) == tuple(batches):
                    dims.append((BATCH,))
                else:
                    return None
            found.append(tuple(dims))
        return found if any(has_batch(dims) for dims in found) else None


def _dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def prove(
    original: Runs, freed: Runs, inputs: Mapping[str, Dims], outputs: Sequence[Dims], batch: int
) -> None:
    """Check that a freed graph is its original for every batch size.

    Args:
        original: the model, which runs at ``batch``.
        freed: the graph to check.
        inputs: dimensions of each input.
        outputs: dimensions of the outputs, in order.
        batch: batch size of the original.

    Raises:
        ConflictError: it is not.
    """
    for gain in _GAINS:
        for draw in range(_DRAWS):
            reason = _difference(original, freed, inputs, outputs, batch, (gain, draw))
            if not reason:
                break
        else:
            raise ConflictError(reason)


def _difference(
    original: Runs,
    freed: Runs,
    inputs: Mapping[str, Dims],
    outputs: Sequence[Dims],
    batch: int,
    drawn: tuple[float, int],
) -> str:
    """Return how the two differ on one draw of samples, or nothing."""
    gain, draw = drawn
    random = np.random.default_rng([draw, int(gain)])
    values = {v.name: _dtype(v) for v in original.model.graph.input}
    count = max(*BATCHES, batch)
    pools = {
        name: _draw(random, sizes(dims, count), values[name], gain) for name, dims in inputs.items()
    }

    def feeds(rows: Sequence[int]) -> dict[str, Array]:
        return {name: _rows(pools[name], dims, rows) for name, dims in inputs.items()}

    own = list(range(batch))
    before, after = original(feeds(own)), freed(feeds(own))
    for first, second in zip(before, after, strict=True):
        if first.shape != second.shape or not np.array_equal(first, second, equal_nan=True):
            return f"at its own batch size {batch} other numbers come out"
    single: list[list[Array]] = []
    for row in range(max(BATCHES)):
        # Every sample in another place, among others.
        place = row % batch
        among = [(row + k - place) % count for k in range(batch)]
        results = original(feeds(among))
        single.append(
            [
                take_row(r, dims, place, batch) if has_batch(dims) else r
                for r, dims in zip(results, outputs, strict=True)
            ]
        )
    for size in BATCHES:
        results = freed(feeds(range(size)))
        for index, (result, dims) in enumerate(zip(results, outputs, strict=True)):
            if result.shape != sizes(dims, size) and has_batch(dims):
                return f"at batch size {size} its output has the shape {list(result.shape)}"
            for row in range(size):
                mine = take_row(result, dims, row, size) if has_batch(dims) else result
                if mine.shape != single[row][index].shape or not np.allclose(
                    mine, single[row][index], equal_nan=True, **_TOLERANCE
                ):
                    return "what comes out for a sample depends on the batch that it is in"
    return ""


def _draw(
    random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], gain: float
) -> Array:
    if dtype.kind == "f":
        drawn = random.standard_normal(shape, np.float32)
        drawn += 0.3
        drawn *= gain
        return drawn.astype(dtype, copy=False)
    return random.integers(0, 2, shape).astype(dtype)


def _rows(pool: Array, dims: Dims, rows: Sequence[int]) -> Array:
    axis = next((k for k, d in enumerate(dims) if BATCH in d), None)
    return pool if axis is None else np.take(pool, list(rows), axis=axis)
