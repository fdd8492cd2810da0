"""A step model in use: it keeps the states from call to call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant import runtime
from snnquant.errors import DataError, NumericalError, last_line
from snnquant.model_file import read_model
from snnquant.stepping.interface import initial_states, step_interface

Array = npt.NDArray[Any]


class StepSession:
    """Runs a step model one time step per call, and carries its states from step to step.

    After as many steps as the sequence model takes, outputs are that model's, bit for bit.

    Args:
        model: path of a model that ``snnquant convert --mode step`` wrote, or the model.
        custom_ops: load the library; without it the function bodies run.
        threads: threads of ONNX Runtime; None: its choice.

    Attributes:
        states: integers of every state before the next step, by name of the input; may be set.
        outputs: names of the outputs that are no states.

    Raises:
        ModelError: it is no step model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | onnx.ModelProto,
        *,
        custom_ops: bool = True,
        threads: int | None = None,
    ) -> None:
        proto = model if isinstance(model, onnx.ModelProto) else read_model(os.fspath(model))
        self._model = proto
        self._interface = step_interface(proto)
        self._session = runtime.load_session(
            proto.SerializeToString(), custom_ops=custom_ops, threads=threads
        )
        self.outputs = tuple(
            value.name for value in proto.graph.output if value.name in self._interface.outputs
        )
        later = (state.next for state in self._interface.states.values())
        self._wanted = list(dict.fromkeys([*self.outputs, *later]))
        self.states: dict[str, Array] = {}
        self.batch = 1
        self.reset()

    @property
    def timesteps(self) -> int | None:
        """Steps of the sequence that the model was cut from; None: any number."""
        return self._interface.timesteps

    def reset(self, batch: int = 1) -> None:
        """Go back to before the first step, with that many samples.

        Raises:
            DataError: there is no such number of samples.
        """
        if batch < 1:
            raise DataError(f"a batch of {batch} samples cannot be run; give at least 1")
        self.batch = batch
        self.states = initial_states(self._model, batch)

    def step(self, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
        """Run one step and keep its states.

        Args:
            inputs: one step of every input, ``[B, ...]``; a model with one input takes the array
                alone.

        Returns:
            The outputs by name: one step of sequences; sums, means and maxima over time up to here.

        Raises:
            DataError: the inputs do not fit the model, or the batch is not the one of the states.
            NumericalError: they hold NaN or infinity.
        """
        if not isinstance(inputs, Mapping):
            names = list(self._interface.inputs)
            if len(names) != 1:
                raise DataError(f"the model has inputs {', '.join(names)}; give them by name")
            inputs = {names[0]: np.asarray(inputs)}
        feeds = {
            name: np.asarray(inputs[name]) for name in self._interface.inputs if name in inputs
        }
        missing = [name for name in self._interface.inputs if name not in feeds]
        if missing:
            raise DataError(f"the step has no array '{missing[0]}'; give all inputs")
        for name, array in feeds.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise NumericalError(
                    f"the step's array '{name}' holds NaN or infinite values; repair the data"
                )
        try:
            results = self._session.run(self._wanted, feeds | self.states)
        except Exception as error:  # ONNX Runtime raises types of its own
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise DataError(
                f"one step of {shapes} does not fit the model with {self.batch} samples in its "
                f"states ({last_line(error)}); call reset(batch) first"
            ) from error
        found = dict(zip(self._wanted, results, strict=True))
        self.states = {k: found[state.next] for k, state in self._interface.states.items()}
        return {name: found[name] for name in self.outputs}
