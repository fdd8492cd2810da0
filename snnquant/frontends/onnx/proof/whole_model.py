"""Prove the rolled-up graph: run it beside the source on random inputs, spikes and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from snnquant import runtime
from snnquant.errors import ModelError, last_line
from snnquant.frontends.onnx.proof.resimulate import knife_edge
from snnquant.frontends.onnx.recognition.facts import Facts
from snnquant.frontends.onnx.rolling.neuron_writer import WrittenNeuron
from snnquant.frontends.onnx.rolling.shapes import Shapes
from snnquant.instrument import with_outputs

Array = npt.NDArray[Any]

#: Sizes of random inputs.
GAINS = (1.0, 4.0)
#: Samples per run where the batch is dynamic.
_BATCH = 3
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5
_SEED = 20_250_101


@dataclass(frozen=True)
class ComparedLayer:
    """A layer of neurons in both graphs.

    Attributes:
        name: of the layer.
        membranes: names of its membranes in the source, step by step.
        spikes: name of its spikes ``[T, B, ...]`` in the rolled-up graph.
        threshold: broadcasts to a membrane.
        on_equal: it fires at the threshold too.
    """

    name: str
    membranes: tuple[str, ...]
    spikes: str
    threshold: Array
    on_equal: bool


def layers_of(written: Iterable[WrittenNeuron], facts: Facts) -> list[ComparedLayer]:
    """Return the layers whose spikes can be told from their membranes in the source."""
    found = []
    for neuron in written:
        states = neuron.found.chain.states
        single = neuron.found.choices.get("max_spikes", 1) == 1
        plain = single and not neuron.found.adaptive
        if plain and all(state.value for state in states):
            shape = Shapes(facts).of_atom(states[0])
            found.append(
                ComparedLayer(
                    neuron.name,
                    tuple(state.value for state in states),
                    str(neuron.node.output[0]),
                    neuron.threshold_along((1, *shape)),
                    bool(neuron.found.choices.get("fire_on_equal")),
                )
            )
    return found


def compare_outputs(
    source: onnx.ModelProto, rolled: onnx.ModelProto, layers: Sequence[ComparedLayer], facts: Facts
) -> int:
    """Run both graphs and return in how many samples a spike differs at a knife edge.

    Such a sample says nothing from there on and is left out.

    Args:
        source: the graph that was read.
        rolled: the rolled-up graph.
        layers: its neurons.
        facts: of the source.

    Raises:
        ModelError: an output differs, or one of the graphs cannot be run.
    """
    membranes = [name for layer in layers for name in layer.membranes]
    spikes = [layer.spikes for layer in layers]
    names = [value.name for value in source.graph.output]
    first = _open(source, [m for m in membranes if m not in _inputs(source)], "the source")
    second = _open(rolled, spikes, "the rolled-up graph")
    rng = np.random.default_rng(_SEED)
    edges = 0
    for gain in GAINS:
        feeds = random_inputs(source, gain, rng)
        wanted = list(dict.fromkeys([*names, *(m for m in membranes if m not in feeds)]))
        try:
            before = dict(zip(wanted, first.run(wanted, feeds), strict=True)) | feeds
        except Exception as error:  # ONNX Runtime raises types of its own
            raise ModelError(
                f"the source cannot be run: {last_line(error)}; export it again"
            ) from error
        after = dict(zip([*names, *spikes], second.run([*names, *spikes], feeds), strict=True))
        size = _BATCH if facts.dynamic else facts.batch
        apart = _samples_apart(layers, before, after, size)
        edges += int(apart.sum())
        for name in names:
            _compare(name, before[name], after[name], apart)
    return edges


def _inputs(model: onnx.ModelProto) -> set[str]:
    return {value.name for value in model.graph.input}


def _open(model: onnx.ModelProto, extra: Sequence[str], what: str) -> Any:
    try:
        return runtime.load_session(
            with_outputs(model, extra).SerializeToString(), custom_ops=False, optimized=False
        )
    except ModelError as error:
        raise ModelError(f"{what} is not valid: {error}") from error


def random_inputs(
    model: onnx.ModelProto, gain: float, rng: np.random.Generator, batch: int = _BATCH
) -> dict[str, Array]:
    """Return random values for all inputs, ``batch`` samples where the batch is dynamic."""
    held = {t.name for t in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in held:
            continue
        kind = value.type.tensor_type
        shape = [d.dim_value if d.HasField("dim_value") else batch for d in kind.shape.dim]
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        drawn = (
            rng.normal(0.4, 0.6, shape) * gain if dtype.kind == "f" else rng.integers(0, 2, shape)
        )
        feeds[value.name] = drawn.astype(dtype)
    return feeds


def _samples_apart(
    layers: Sequence[ComparedLayer],
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    size: int,
) -> Array:
    """Return the samples in which a spike differs at a knife edge.

    Raises:
        ModelError: the first spike that differs in a sample is at no knife edge.
    """
    apart = np.zeros(size, bool)
    steps = max((len(layer.membranes) for layer in layers), default=0)
    for t in range(steps):
        for layer in layers:
            membrane, fired = before[layer.membranes[t]], after[layer.spikes][t]
            above = np.greater_equal if layer.on_equal else np.greater
            differs = (above(membrane, layer.threshold) != (fired > 0)).reshape(size, -1)
            edge = knife_edge(layer.threshold, membrane)
            near = (np.abs(membrane - layer.threshold) <= edge).reshape(size, -1)
            wrong = (differs & ~near).any(axis=1) & ~apart
            if wrong.any() and not (differs & near).any(axis=1)[wrong].all():
                raise ModelError(
                    f"neuron '{layer.name}' gives other spikes at step {t} than the source; "
                    "what feeds it is not understood"
                )
            apart |= differs.any(axis=1)
    return apart


def _compare(name: str, before: Array, after: Array, apart: Array) -> None:
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ModelError(
            f"output '{name}' would be {after.dtype}{list(after.shape)} instead of "
            f"{before.dtype}{list(before.shape)}; it is not understood how it is read out"
        )
    close = np.isclose(
        np.asarray(before, np.float64),
        np.asarray(after, np.float64),
        rtol=_RELATIVE,
        atol=_ABSOLUTE,
        equal_nan=True,
    )
    axis = next((k for k, d in enumerate(before.shape) if d == len(apart)), None)
    if apart.any():
        if axis is None:
            return
        close = np.take(close, np.flatnonzero(~apart), axis=axis)
    if not close.all():
        raise ModelError(
            f"output '{name}' differs from the source's in {np.mean(~close):.1%} of its values on "
            "random inputs; it is not understood how it is read out"
        )
