"""What a step model says of itself in its metadata: states, and the sequence that it cuts up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant.errors import ModelError, first_line
from snnquant.model_file import STATE_KEY, metadata
from snnquant.ops.attach import TIMESTEPS_KEY

Array = npt.NDArray[Any]

#: Metadata: ``step`` in a model of one time step per call.
MODE_KEY = "snnquant.mode"
STEP_MODE = "step"
#: Metadata: axes of time in the sequence's inputs and outputs by name, as JSON.
SEQUENCE_KEY = "snnquant.sequence"
#: How time is in an axis.
ALONE, OUTSIDE, INSIDE = "alone", "outside", "inside"


@dataclass(frozen=True)
class StepState:
    """One state of a step model.

    Attributes:
        next: the output that is the state after the step.
        shape: of the state, for a batch of one sample.
        batch_axes: axes that grow with the batch.
        initial: value before the first step: a number, or nested lists that broadcast to the
            state of one sample.
    """

    next: str
    shape: tuple[int, ...]
    batch_axes: tuple[int, ...]
    initial: Any

    def start(self, batch: int, dtype: npt.DTypeLike) -> Array:
        """Return the state before the first step."""
        shape = [n * batch if k in self.batch_axes else n for k, n in enumerate(self.shape)]
        return np.broadcast_to(np.asarray(self.initial), shape).astype(dtype)


@dataclass(frozen=True)
class TimeAxis:
    """Where time is in an output of the sequence.

    Attributes:
        axis: the axis.
        order: ``ALONE``: the axis is time's, which a single step does not have; ``OUTSIDE`` or
            ``INSIDE`` of other values, such as the batch, in the axis that it shares with them.
    """

    axis: int
    order: str


@dataclass(frozen=True)
class StepInterface:
    """The interface of a step model.

    Attributes:
        timesteps: steps of the sequence; None: any number.
        states: by name of the input.
        inputs: time axis of the sequence's inputs, None where an input is the same at each step.
        outputs: where time is in the sequence's outputs; None: the last step's is the sequence's.
    """

    timesteps: int | None
    states: Mapping[str, StepState]
    inputs: Mapping[str, int | None]
    outputs: Mapping[str, TimeAxis | None]

    def properties(self) -> dict[str, str]:
        """Return the metadata that holds the interface."""
        outputs = {k: None if v is None else asdict(v) for k, v in self.outputs.items()}
        sequence = {"inputs": dict(self.inputs), "outputs": outputs}
        found = {MODE_KEY: STEP_MODE, SEQUENCE_KEY: json.dumps(sequence, sort_keys=True)}
        if self.timesteps is not None:
            found[TIMESTEPS_KEY] = str(self.timesteps)
        for name, state in self.states.items():
            found[STATE_KEY + name] = json.dumps(asdict(state), sort_keys=True)
        return found


def is_step_model(model: onnx.ModelProto) -> bool:
    """Whether a model takes one time step per call and says which states it has."""
    return metadata(model).get(MODE_KEY) == STEP_MODE


def step_interface(model: onnx.ModelProto) -> StepInterface:
    """Return the interface of a step model.

    Raises:
        ModelError: it is none, or its metadata is damaged.
    """
    held = metadata(model)
    if not is_step_model(model):
        raise ModelError(
            "the model takes whole sequences, not single steps; convert it with --mode step"
        )
    try:
        sequence = json.loads(held[SEQUENCE_KEY])
        steps = held.get(TIMESTEPS_KEY)
        interface = StepInterface(
            None if steps is None else int(steps),
            {
                value.name: _state(json.loads(held[STATE_KEY + value.name]))
                for value in model.graph.input
                if STATE_KEY + value.name in held
            },
            {str(k): None if v is None else int(v) for k, v in sequence["inputs"].items()},
            {
                str(k): None if v is None else TimeAxis(int(v["axis"]), str(v["order"]))
                for k, v in sequence["outputs"].items()
            },
        )
    except (
        *(ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise ModelError(
            f"the metadata of the step model is damaged ({first_line(error)}); convert again"
        ) from error
    given = {value.name for value in model.graph.input}
    results = {value.name for value in model.graph.output}
    wanted = {state.next for state in interface.states.values()} | interface.outputs.keys()
    missing = sorted((interface.inputs.keys() - given) | (wanted - results))
    if missing:
        raise ModelError(
            f"the metadata of the step model names '{missing[0]}', which the model does not have; "
            "convert again"
        )
    return interface


def _state(held: Mapping[str, Any]) -> StepState:
    return StepState(
        str(held["next"]),
        tuple(int(n) for n in held["shape"]),
        tuple(int(n) for n in held["batch_axes"]),
        held["initial"],
    )


def initial_states(model: onnx.ModelProto, batch: int = 1) -> dict[str, Array]:
    """Return the states of a step model before the first step, by name of its inputs.

    Args:
        model: a model that ``snnquant convert --mode step`` wrote.
        batch: number of samples.

    Raises:
        ModelError: it is no step model.
    """
    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in model.graph.input
    }
    return {
        name: state.start(batch, types[name])
        for name, state in step_interface(model).states.items()
    }
