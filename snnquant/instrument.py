"""Run a model on batches, with any inner value as an extra output, whatever its axis order.

The model's own batch and time axes are found by running it, not asked for: a dimension that moves
a neuron's second axis is the batch, one that moves its first axis is time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant import runtime
from snnquant.errors import DataError, ModelError, last_line
from snnquant.input_values import as_type, in_steps
from snnquant.model_file import neuron_nodes, scale_of, states_of
from snnquant.ops.schema import DOMAIN
from snnquant.ops.states import runs_of

Array = npt.NDArray[Any]
#: Sizes tried for dynamic dimensions; maps may be too small for the first.
_PROBE_SIZES = (2, 8, 32)


@dataclass(frozen=True)
class Layout:
    """Where batch and time stand in one input or output.

    Attributes:
        name: of the value.
        shape: declared shape, None for dynamic dimensions.
        dtype: numpy type.
        batch_axis: axis of the batch (None: the value has none).
        time_axis: axis of time (None: static input, or read-out summed over time).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    batch_axis: int | None
    time_axis: int | None


@dataclass(frozen=True)
class ModelLayout:
    """Axes of all inputs and outputs, and the number of steps (None: as many as the input has)."""

    inputs: tuple[Layout, ...]
    outputs: tuple[Layout, ...]
    timesteps: int | None
    fixed_batch: int | None


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of a model that also outputs the named values."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in present
    )
    return copy


class Runner:
    """A session that feeds batch-first samples and returns named values.

    A state that is an input of the model is real-valued in the data, whatever the model computes
    in, and starts at 0 where the data does not hold it.

    Args:
        model: float or integer model with neurons.
        extra: inner values to output as well.
        custom_ops: load the library for integer neurons.
        threads: threads of ONNX Runtime; None: its choice.
        spinning: see :func:`~snnquant.runtime.load_session`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        extra: Sequence[str] = (),
        *,
        custom_ops: bool = True,
        threads: int | None = None,
        spinning: bool = True,
    ) -> None:
        neurons = neuron_nodes(model)
        if not neurons:
            raise ModelError(
                f"the model has no neuron node of domain {DOMAIN}; "
                "export the network with snnquant.nn.export_onnx"
            )
        self._neuron = neurons[0].output[0]
        graph_inputs = {value.name for value in model.graph.input}
        inner = [name for name in (*extra, self._neuron) if name not in graph_inputs]
        self._direct = [name for name in extra if name in graph_inputs]
        self._extra = tuple(dict.fromkeys(name for name in extra if name not in graph_inputs))
        self._session = runtime.load_session(
            with_outputs(model, inner).SerializeToString(),
            custom_ops=custom_ops,
            threads=threads,
            spinning=spinning,
        )
        self._model = model
        self._states = frozenset(states_of(model))
        self.layout = self._probe()

    def run(self, samples: Mapping[str, Array]) -> dict[str, Array]:
        """Run one batch and return the model's outputs and the extra values.

        Args:
            samples: arrays ``(n, ...)`` or ``(n, T, ...)`` by input name; a model with one input
                takes the array called ``x`` too.

        Raises:
            DataError: the samples do not fit the model's inputs.
            NumericalError: they hold NaN or infinity.
        """
        feeds, count = self._feeds(samples)
        results = self.call(feeds)
        for layout in self.layout.outputs:
            axis = layout.batch_axis
            if axis is not None and results[layout.name].shape[axis] > count:
                results[layout.name] = np.take(results[layout.name], range(count), axis=axis)
        return results | {name: feeds[name] for name in self._direct}

    def call(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model on arrays as it takes them; return its outputs and the extra values."""
        names = [layout.name for layout in self.layout.outputs]
        wanted = list(dict.fromkeys([*names, *self._extra]))
        return dict(zip(wanted, self._session.run(wanted, dict(feeds)), strict=True))

    def feeds(self, samples: Mapping[str, Array]) -> dict[str, Array]:
        """Return samples as the model takes them: its axis order, its types, its input names."""
        return self._feeds(samples)[0]

    def batch_size(self, wanted: int) -> int:
        """Return the batch size to use: the model's own if it is fixed."""
        return self.layout.fixed_batch or wanted

    def _feeds(self, samples: Mapping[str, Array]) -> tuple[dict[str, Array], int]:
        feeds: dict[str, Array] = {}
        count = 0
        data = [entry for entry in self.layout.inputs if entry.name not in self._states]
        states = [entry for entry in self.layout.inputs if entry.name in self._states]
        for layout in data + states:
            key = layout.name
            if key not in samples and len(data) == 1 and layout in data and "x" in samples:
                key = "x"
            if key not in samples and layout in states and count:
                fixed = [d or 1 for d in layout.shape]
                fixed[0] = self.batch_size(count)
                feeds[key] = np.zeros(fixed, layout.dtype)
                continue
            if key not in samples:
                have = ", ".join(sorted(samples))
                raise DataError(
                    f"the data has no array '{layout.name}' (it has {have}); "
                    "name the arrays after the model's inputs, or 'x' for a single input"
                )
            array = np.asarray(samples[key])
            scale = scale_of(self._model, key)
            if scale is not None and layout in states:
                array = in_steps(array, scale, layout.dtype)
            count = len(array)
            feeds[layout.name] = self._arrange(array, layout)
        return feeds, count

    def _arrange(self, array: Array, layout: Layout) -> Array:
        """Bring batch-first samples into the model's axis order and type."""
        axis = layout.batch_axis or 0
        rank = len(layout.shape)
        expected = [d for k, d in enumerate(layout.shape) if k != axis]
        shown = "(N, " + ", ".join("T" if d is None else str(d) for d in expected) + ")"
        fits = array.ndim == rank and all(
            want is None or want == have
            for want, have in zip(expected, array.shape[1:], strict=False)
        )
        if not fits:
            hint = "store the samples in that shape"
            time = layout.time_axis
            if time is not None and array.ndim == rank and layout.shape[time] is not None:
                hint = f"the model takes T = {layout.shape[time]} steps; cut or pad the sequences"
            raise DataError(
                f"samples of shape {tuple(array.shape)} do not fit input '{layout.name}' "
                f"of shape {shown}; {hint}"
            )
        fixed = self.layout.fixed_batch
        if fixed is not None and len(array) < fixed:
            array = np.concatenate([array, np.repeat(array[-1:], fixed - len(array), axis=0)])
        return np.ascontiguousarray(np.moveaxis(as_type(array, layout.name, layout.dtype), 0, axis))

    def _probe(self) -> ModelLayout:
        """Find the axes by running the model with dynamic dimensions of different sizes."""
        declared = _declared_inputs(self._model)
        symbols = list(dict.fromkeys(d for _, dims, _ in declared for d in dims if _is_symbol(d)))
        names = [value.name for value in self._model.graph.output]

        def shapes(sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
            feeds = {
                name: np.zeros([sizes[d] if isinstance(d, str) else d for d in dims], dtype)
                for name, dims, dtype in declared
            }
            results = self._session.run([self._neuron, *names], feeds)
            return [np.shape(result) for result in results]

        base: dict[str, int] = {}
        reference: list[tuple[int, ...]] = []
        reason = ""
        for size in _PROBE_SIZES:
            base = dict.fromkeys(symbols, size)
            try:
                reference = shapes(base)
                break
            except Exception as error:  # ONNX Runtime raises types of its own
                reason = last_line(error)
        if not reference:
            raise ModelError(f"the model cannot be run: {reason}; export it with fixed map sizes")
        moved = {}
        for symbol in symbols:
            try:
                moved[symbol] = shapes(base | {symbol: base[symbol] + 1})
            except Exception as error:  # noqa: PERF203 - each dimension has its own verdict
                raise ModelError(
                    f"the model runs only with '{symbol}' = {base[symbol]} although it says that "
                    "this dimension is dynamic; a batch size is baked in, export it again"
                ) from error
        batch = next((s for s in symbols if moved[s][0][1] != reference[0][1]), None)
        time = next((s for s in symbols if moved[s][0][0] != reference[0][0]), None)
        if batch is not None and batch == time:
            raise ModelError(f"dimension '{batch}' moves both batch and time; export it again")
        # A loop over time that was written out has a neuron per step.
        runs = runs_of(self._model.graph.node).values()
        run = next(run for run in runs if any(n.output[0] == self._neuron for n in run))
        steps, size = reference[0][0] * len(run), reference[0][1]
        fixed_dims = [tuple(dims) for _, dims, _ in declared] + reference[1:]
        if batch is None and time is None and any(d[:2] == (size, size) for d in fixed_dims):
            _refuse_ambiguity(steps, size)
        inputs = tuple(
            Layout(
                name,
                tuple(None if _is_symbol(d) else int(d) for d in dims),
                dtype,
                *(
                    (0, None)
                    if name in self._states
                    else _input_axes(dims, batch, time, steps, size)
                ),
            )
            for name, dims, dtype in declared
        )
        outputs = []
        for index, name in enumerate(names, 1):
            shape = reference[index]
            changed = {s: _difference(shape, moved[s][index]) for s in symbols}
            at_time = changed[time] if time else None
            at_batch = changed[batch] if batch else _position(shape, size, at_time)
            if time is None and at_batch is not None and len(shape) >= 3:
                other = 1 - at_batch if at_batch < 2 else 0
                at_time = other if shape[other] == steps else None
            outputs.append(Layout(name, tuple(shape), np.dtype(np.float32), at_batch, at_time))
        fixed = None if batch or not size else size
        return ModelLayout(inputs, tuple(outputs), None if time else steps, fixed)


def _declared_inputs(
    model: onnx.ModelProto,
) -> list[tuple[str, list[Any], np.dtype[Any]]]:
    """Return (name, dimensions, type) per input; dynamic dimensions are strings."""
    held = {tensor.name for tensor in model.graph.initializer}
    declared = []
    for value in model.graph.input:
        if value.name in held:
            continue
        tensor = value.type.tensor_type
        if not tensor.elem_type or not tensor.HasField("shape"):
            raise ModelError(f"input '{value.name}' has no tensor type and shape; export it again")
        dims: list[Any] = [
            d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}.{k}"
            for k, d in enumerate(tensor.shape.dim)
        ]
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        declared.append((value.name, dims, dtype))
    if not declared:
        raise ModelError("the model has no input")
    return declared


def _is_symbol(dimension: Any) -> bool:
    return isinstance(dimension, str)


def _input_axes(
    dims: list[Any], batch: str | None, time: str | None, steps: int, size: int
) -> tuple[int | None, int | None]:
    """Return (batch axis, time axis) of an input."""
    at_batch = dims.index(batch) if batch in dims else None
    at_time = dims.index(time) if time in dims else None
    if at_batch is None:
        at_batch = 1 if at_time == 0 or (dims[:2] == [steps, size] and steps != size) else 0
    if at_time is None and time is None and len(dims) > 2:
        other = 1 - at_batch if at_batch < 2 else 0
        at_time = other if dims[other] == steps else None
    return at_batch, at_time


def _difference(before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Return the first axis in which two shapes differ."""
    return next((k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), None)


def _position(shape: tuple[int, ...], size: int, taken: int | None) -> int | None:
    """Return the first axis of the given size that is not taken."""
    return next((k for k, d in enumerate(shape) if d == size and k != taken), None)


def _refuse_ambiguity(steps: int, size: int) -> None:
    """Raise if a fixed batch is as large as the number of steps: which axis is which?"""
    if steps == size > 1:
        raise ModelError(
            f"the model has a fixed batch of {size} samples and {steps} steps, so that its axes "
            "cannot be told apart; export it with a dynamic batch size, or with one sample"
        )
