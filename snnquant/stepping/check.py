"""The check of a step model before it is written: every step equal to the sequence's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.data import Batch
from snnquant.errors import SelfCheckError
from snnquant.instrument import Runner
from snnquant.model_file import neuron_nodes
from snnquant.ops.fused import channels_third, neuron_schema
from snnquant.stepping.cut import stateful_model
from snnquant.stepping.running import StepRunner

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StepCheck:
    """What was compared: samples, and values in all."""

    samples: int
    values: int


def check_steps(sequence: onnx.ModelProto, step: onnx.ModelProto, samples: Batch) -> StepCheck:
    """Compare a step model with the sequence model that it was cut from, on samples.

    Compared are what every neuron gives at every step, all outputs, and the states of the neurons
    after the last step; once looking into the models, and once as they are, with and without the
    library.

    Raises:
        SelfCheckError: a value differs.
    """
    timed, names = _timed_outputs(sequence), _timed_outputs(step)
    outputs = {f"output '{v.name}'": v.name for v in sequence.graph.output}
    runs = [
        (
            Runner(sequence, [name for name, _ in timed.values()]),
            StepRunner(step, [name for name, _ in names.values()]),
            True,
        ),
        (Runner(sequence), StepRunner(step), False),
        (Runner(sequence), StepRunner(step, custom_ops=False), False),
    ]
    size = runs[0][0].batch_size(max(1, len(samples)))
    after, states = stateful_model(sequence)
    finals = {f"state '{name}'": state.next for name, state in states.items()}
    with_states = Runner(after, list(finals.values()))
    types = {entry.name: entry.dtype for entry in with_states.layout.inputs}
    compared = 0
    for start in range(0, len(samples), size):
        part = {name: array[start : start + size] for name, array in samples.inputs.items()}
        for whole, steps, inside in runs:
            want, (got, ended_in) = whole.run(part), steps.run_to_states(part)
            pairs = [(what, want[name], got[name]) for what, name in outputs.items()]
            if inside:
                for what, (name, node) in timed.items():
                    own, own_node = names[what]
                    inner = channels_third(want[name], node), channels_third(got[own], own_node)
                    pairs.append((what, *inner))
                count = with_states.layout.fixed_batch or len(next(iter(part.values())))
                begun = {k: v.start(count, types[k]) for k, v in states.items() if k not in part}
                ended = with_states.call(with_states.feeds(part) | begun)
                pairs += [
                    (f"state '{name}'", ended[state.next], ended_in[name])
                    for name, state in states.items()
                    if name in ended_in
                ]
            compared += sum(_compare(what, a, b) for what, a, b in pairs)
    return StepCheck(len(samples), compared)


def _timed_outputs(model: onnx.ModelProto) -> dict[str, tuple[str, onnx.NodeProto]]:
    """Return what neurons give at every step: the value's name and the node, by what it is."""
    found = {}
    for node in neuron_nodes(model):
        schema = neuron_schema(node.op_type)
        for port, name in zip(schema.outputs if schema else (), node.output, strict=False):
            if port.timed and name:
                found[f"neuron '{node.name}.{port.name}'"] = name, node
    return found


def _compare(what: str, want: Array, got: Array) -> int:
    """Return how many values were compared; raise if one differs."""
    if want.shape != got.shape:
        how = f"shape {list(got.shape)} instead of {list(want.shape)}"
    elif not np.array_equal(want, got):
        where = tuple(int(k) for k in np.argwhere(want != got)[0])
        how = f"{got[where]} instead of {want[where]} at {list(where)}"
    else:
        return int(want.size)
    raise SelfCheckError(
        f"step by step, {what} differs from the sequence: {how}; nothing was written; use "
        "--mode sequence, and report this if every node became integers"
    )
