"""Whole sequences through a step model, step by step: what evaluation and checks see as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.errors import DataError
from snnquant.instrument import Layout, ModelLayout, Runner
from snnquant.stepping.interface import (
    ALONE,
    OUTSIDE,
    TimeAxis,
    initial_states,
    is_step_model,
    step_interface,
)

Array = npt.NDArray[Any]


class StepRunner:
    """Runs a step model over sequences as :class:`Runner` runs the model that it was cut from.

    Args:
        model: step model.
        extra: inner values to return as well, whose first axis is time.
        custom_ops: load the library for integer neurons.
        threads: threads of ONNX Runtime; None: its choice.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        extra: Sequence[str] = (),
        *,
        custom_ops: bool = True,
        threads: int | None = None,
    ) -> None:
        self._interface = step_interface(model)
        self._step = Runner(model, extra, custom_ops=custom_ops, threads=threads)
        self._model = model
        self._extra = tuple(dict.fromkeys(extra))
        own = self._step.layout
        #: Axes of a single step.
        self.step_layout = own
        self._time = {entry.name: self._sample_axis(entry) for entry in own.inputs}
        outputs = tuple(
            self._sequence_output(entry)
            for entry in own.outputs
            if entry.name in self._interface.outputs
        )
        self.layout = ModelLayout(own.inputs, outputs, self._interface.timesteps, own.fixed_batch)

    def batch_size(self, wanted: int) -> int:
        """Return the batch size to use: the model's own if it is fixed."""
        return self._step.batch_size(wanted)

    def run(self, samples: Mapping[str, Array]) -> dict[str, Array]:
        """Run all steps of one batch; return the sequence's outputs and the extra values.

        Args:
            samples: arrays ``(n, ...)`` for what is the same at each step, else ``(n, T, ...)``.

        Raises:
            DataError: the samples do not fit the model.
        """
        return self.run_to_states(samples)[0]

    def step_feeds(self, samples: Mapping[str, Array]) -> tuple[list[dict[str, Array]], int]:
        """Return what the model takes at each step, states before the first among it; and how many.

        Args:
            samples: as :meth:`run` takes them.

        Raises:
            DataError: the samples do not fit the model.
        """
        steps, count = self._count(samples)
        size = self.layout.fixed_batch or count
        found = []
        for step in range(steps):
            feeds = self._step.feeds(self._at(samples, step))
            given = {name: feeds[name] for name in self._interface.states if name in samples}
            found.append(feeds | initial_states(self._model, size) | given)
        return found, count

    def run_to_states(
        self, samples: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run all steps; return what :meth:`run` returns, and the states after the last step."""
        steps, count = self._count(samples)
        states: dict[str, Array] = {}
        seen: dict[str, list[Array]] = {name: [] for name in self._names()}
        for step in range(steps):
            feeds = self._step.feeds(self._at(samples, step))
            if not states:
                size = self.layout.fixed_batch or count
                given = {name: feeds[name] for name in self._interface.states if name in samples}
                states = initial_states(self._model, size) | given
            found = self._step.call(feeds | states)
            states = {name: found[state.next] for name, state in self._interface.states.items()}
            for name, values in seen.items():
                values.append(found[name])
        return {name: self._joined(name, values, count) for name, values in seen.items()}, states

    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._interface.outputs, *self._extra]))

    def _sample_axis(self, entry: Layout) -> int | None:
        """Return the axis of time in batch-first samples of an input."""
        axis = self._interface.inputs.get(entry.name)
        if axis is None:
            return None
        batch = _moved(entry.batch_axis, axis) or 0
        return 1 + axis - (batch < axis)

    def _sequence_output(self, entry: Layout) -> Layout:
        time = self._interface.outputs[entry.name]
        if time is None or time.order != ALONE:
            return entry
        steps = self._interface.timesteps or 0
        shape = (*entry.shape[: time.axis], steps, *entry.shape[time.axis :])
        batch = _moved(entry.batch_axis, time.axis)
        return replace(entry, shape=shape, batch_axis=batch, time_axis=time.axis)

    def _count(self, samples: Mapping[str, Array]) -> tuple[int, int]:
        """Return the number of steps and of samples."""
        lengths, count = set(), 0
        for name in self._interface.inputs:
            array = self._array(samples, name)
            axis = self._time[name]
            if array is None:
                continue
            count = len(array)
            if axis is None:
                continue
            if array.ndim <= axis:
                raise DataError(
                    f"samples of shape {tuple(array.shape)} have no time for input '{name}'; "
                    "store sequences (N, T, ...)"
                )
            lengths.add(array.shape[axis])
        steps = self._interface.timesteps
        wrong = [length for length in sorted(lengths) if steps not in (None, length)]
        if wrong or len(lengths) > 1:
            raise DataError(
                f"the samples have {wrong[0] if wrong else sorted(lengths)} steps, the model was "
                f"made for T = {steps or 'one length for all inputs'}; cut or pad the sequences"
            )
        return steps or next(iter(lengths), 1), count

    def _array(self, samples: Mapping[str, Array], name: str) -> Array | None:
        """Return the samples of an input; None: there are none, which feeding says."""
        if name not in samples and len(self._interface.inputs) == 1:
            name = "x"
        return np.asarray(samples[name]) if name in samples else None

    def _at(self, samples: Mapping[str, Array], step: int) -> dict[str, Array]:
        """Return one step of the samples."""
        found = dict(samples)
        for name, axis in self._time.items():
            array = self._array(samples, name)
            if axis is not None and array is not None:
                found[name] = np.take(array, step, axis=axis)
        return found

    def _joined(self, name: str, values: list[Array], count: int) -> Array:
        """Return the sequence's value from those of its steps."""
        if name not in self._interface.outputs:
            return np.concatenate(values, axis=0)
        time = self._interface.outputs[name]
        joined = values[-1] if time is None else _along(time, values)
        axis = next(e.batch_axis for e in self.layout.outputs if e.name == name)
        if axis is not None and joined.shape[axis] > count:
            joined = np.take(joined, range(count), axis=axis)
        return joined


def _moved(axis: int | None, time: int) -> int | None:
    """Return an axis of one step in the sequence, which has a time axis more."""
    return None if axis is None else axis + (axis >= time)


def _along(time: TimeAxis, values: list[Array]) -> Array:
    """Join the steps of an output where time was."""
    if time.order == ALONE:
        return np.stack(values, axis=time.axis)
    if time.order == OUTSIDE:
        return np.concatenate(values, axis=time.axis)
    apart = np.stack(values, axis=time.axis + 1)
    shape = apart.shape
    merged = shape[time.axis] * shape[time.axis + 1]
    return apart.reshape(*shape[: time.axis], merged, *shape[time.axis + 2 :])


def open_runner(
    model: onnx.ModelProto,
    extra: Sequence[str] = (),
    *,
    custom_ops: bool = True,
    threads: int | None = None,
) -> Runner | StepRunner:
    """Return what runs whole sequences through a model, whichever of the two kinds it is."""
    kind = StepRunner if is_step_model(model) else Runner
    return kind(model, extra, custom_ops=custom_ops, threads=threads)
