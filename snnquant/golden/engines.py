"""The three ways to run a model: the library, the function bodies, and the numpy reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant import runtime
from snnquant.errors import DataError, last_line
from snnquant.golden.opened import OpenedModel, open_states
from snnquant.instrument import with_outputs
from snnquant.model_file import neuron_nodes
from snnquant.reference import Reference, float_entries
from snnquant.stepping import StepInterface, is_step_model, step_interface

Array = npt.NDArray[Any]

LIBRARY, FUNCTIONS, REFERENCE = "library", "functions", "reference"
ENGINES = (LIBRARY, FUNCTIONS, REFERENCE)

#: Kinds of stored arrays: the first part of their names.
INPUT, START, LAYER, OUTPUT, STATE = "input", "start", "layer", "output", "state"

#: What an engine gives: by how it came about, arrays by ``<kind>/<name>``.
Results = list[tuple[str, dict[str, Array]]]


class Engine:
    """Runs a model in one of the ways, with all that golden vectors hold as results.

    Args:
        model: integer model, of sequences or of single steps.
        how: one of :data:`ENGINES`.
        threads: threads of ONNX Runtime; None: its choice.

    Raises:
        LibraryError: the library is wanted and cannot be loaded.
        ModelError: the model is not accepted.
    """

    def __init__(self, model: onnx.ModelProto, how: str, threads: int | None = None) -> None:
        self.how = how
        self._steps = step_interface(model) if is_step_model(model) else None
        opened = OpenedModel(model) if self._steps else open_states(model)
        self._opened = opened
        self._layers = {n.name: n.output[0] for n in neuron_nodes(model, integer=True)}
        self._outputs = [value.name for value in model.graph.output]
        names = [*self._outputs, *self._layers.values(), *opened.ends.values()]
        self._names = list(dict.fromkeys(names))
        entries = float_entries(model) if how == REFERENCE else []
        self._entries = entries
        self._reference: Reference | None = None
        if how == REFERENCE:
            self._reference = Reference(opened.model, self._names, entries)
        self._sessions: list[tuple[runtime.Session, list[str]]] = []
        inside = entries or self._names
        parts = [(opened.model, inside), (model, self._outputs)]
        if how == REFERENCE:
            parts = parts[:1] if entries else []
        for proto, wanted in parts:
            data = with_outputs(proto, wanted).SerializeToString()
            session = runtime.load_session(data, custom_ops=how == LIBRARY, threads=threads)
            self._sessions.append((session, wanted))

    def run(self, stored: Mapping[str, Array]) -> Results:
        """Run the inputs of golden vectors; return results by how they came about.

        Looked into, a model is not quite what ONNX Runtime makes of the file as it is, whose
        outputs are the second result.

        Args:
            stored: arrays by ``input/<name>`` and ``start/<name>``.

        Raises:
            DataError: the model does not take them.
        """
        inputs = _of(stored, INPUT)
        if self._steps is not None:
            starts = _of(stored, START)
            calls = [self._call] if self._reference else [self._call, self._as_it_is]
            found = [_stepped(call, self._steps, inputs, starts) for call in calls]
        else:
            feeds = inputs | self._started(stored)
            found = [self._call(feeds)]
            if self._reference is None:
                found.append(self._as_it_is(inputs))
        kept = [self._named(values) for values in found]
        return list(zip(("looked into", "as it is"), kept, strict=False))

    def _started(self, stored: Mapping[str, Array]) -> dict[str, Array]:
        """Return the states that the opened model starts from."""
        shapes = {spikes: stored[f"{LAYER}/{name}"].shape for name, spikes in self._layers.items()}
        return {
            name: start.value(shapes[start.spikes]) for name, start in self._opened.starts.items()
        }

    def _call(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._reference is None:
            return _run(*self._sessions[0], feeds)
        entries = _run(*self._sessions[0], feeds) if self._entries else {}
        return self._reference.run({**feeds, **entries})

    def _as_it_is(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return _run(*self._sessions[1], feeds)

    def _named(self, values: Mapping[str, Array]) -> dict[str, Array]:
        named = {f"{LAYER}/{k}": values[v] for k, v in self._layers.items() if v in values}
        named |= {f"{STATE}/{k}": values[v] for k, v in self._opened.ends.items() if v in values}
        states: dict[str, str] = {}
        if self._steps is not None:
            states = {state.next: name for name, state in self._steps.states.items()}
        for name in self._outputs:
            own = f"{STATE}/{states[name]}" if name in states else f"{OUTPUT}/{name}"
            named[own] = values[name]
        return named


def open_engines(
    model: onnx.ModelProto, ways: Sequence[str] = ENGINES, threads: int | None = None
) -> list[Engine]:
    """Return the engines of a model, each ready to run.

    Args:
        model: integer model.
        ways: which of :data:`ENGINES`, in order.
        threads: threads of ONNX Runtime; None: its choice.

    Raises:
        LibraryError: the library is wanted and cannot be loaded.
        ModelError: the model is not accepted.
    """
    return [Engine(model, how, threads) for how in ways]


class LayerShapes:
    """Runs a sequence model for what its neurons give, before its states are opened."""

    def __init__(self, model: onnx.ModelProto, *, custom_ops: bool) -> None:
        self._layers = {n.name: n.output[0] for n in neuron_nodes(model, integer=True)}
        data = with_outputs(model, list(self._layers.values())).SerializeToString()
        self._session = runtime.load_session(data, custom_ops=custom_ops)

    def of(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return what every integer neuron layer gives, by ``layer/<name>``."""
        found = _run(self._session, list(self._layers.values()), feeds)
        return {f"{LAYER}/{name}": found[spikes] for name, spikes in self._layers.items()}


def _stepped(
    call: Any,
    interface: StepInterface,
    inputs: Mapping[str, Array],
    starts: Mapping[str, Array],
) -> dict[str, Array]:
    """Run every step; return values of all steps, time first, and the states after the last."""
    states = dict(starts)
    finals = {state.next for state in interface.states.values()}
    seen: dict[str, list[Array]] = {}
    steps = len(next(iter(inputs.values())))
    found: dict[str, Array] = {}
    for step in range(steps):
        found = call({name: array[step] for name, array in inputs.items()} | states)
        states = {name: found[state.next] for name, state in interface.states.items()}
        for name, value in found.items():
            seen.setdefault(name, []).append(value)
    joined = {}
    for name, values in seen.items():
        if name in finals and name not in interface.outputs:
            joined[name] = found[name]
        elif name in interface.outputs:
            joined[name] = np.stack(values)
        else:
            joined[name] = np.concatenate(values)
    return joined


def _run(
    session: runtime.Session, names: Sequence[str], feeds: Mapping[str, Array]
) -> dict[str, Array]:
    try:
        return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))
    except Exception as error:  # ONNX Runtime raises types of its own
        raise DataError(
            f"the model does not take the stored inputs: {last_line(error)}; convert again with "
            "--golden"
        ) from error


def _of(stored: Mapping[str, Array], kind: str) -> dict[str, Array]:
    """Return the arrays of one kind by their own names."""
    start = f"{kind}/"
    return {name[len(start) :]: a for name, a in stored.items() if name.startswith(start)}
