"""Prove a reading: run every neuron that was read against the part of the graph that it was.

The part between a layer's currents and its membranes is cut out of the source and run on random
currents, strong enough that neurons fire; so is the neuron, step by step. A spike may differ only
where the membrane stands at the threshold to within float32 rounding (a knife edge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant import runtime
from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.interpreter import Interpreter
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.reasons import why_changed
from snnquant.frontends.onnx.recognition.symbols import Atom
from snnquant.frontends.onnx.rolling.neuron_writer import NeuronWriter, WrittenNeuron
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.neurons.simulate import simulate

Array = npt.NDArray[Any]

#: Sizes of the currents, in thresholds.
GAINS = (0.4, 1.0, 3.0, 10.0)
#: Distance from the threshold, relative to it, within which rounding decides about a spike.
KNIFE_EDGE = 1e-5
#: Relative difference between membranes that rounding can make: per step, and over many steps.
_STEP_TOLERANCE, _MEMBRANE_TOLERANCE = 1e-4, 2e-3
_SEED = 20_240_229


def knife_edge(threshold: Array, membranes: Array) -> Array:
    """Return the distance from a threshold within which float32 rounding decides.

    Args:
        threshold: broadcasts to a membrane.
        membranes: of one step; a layer whose membranes are all small rounds less.
    """
    largest = min(1.0, float(np.abs(membranes).max(initial=0.0)))
    return np.asarray(
        KNIFE_EDGE * np.maximum(largest, np.maximum(np.abs(threshold), np.abs(membranes)))
    )


def resimulate(writer: NeuronWriter) -> dict[str, int]:
    """Run all neurons against the source, and return the knife-edge spikes of each.

    Raises:
        ModelError: a neuron does something else than its part of the source.
    """
    values = writer.chains.values
    names = _names_of_atoms(values)
    found = {}
    for written in writer.written.values():
        found[written.name] = _proved(written, writer, names)
    return found


def _proved(written: WrittenNeuron, writer: NeuronWriter, names: Mapping[Atom, list[str]]) -> int:
    try:
        return _compare(written, writer, names)
    except ModelError as error:
        raise ModelError(f"neuron '{written.name}' is not understood: {error}") from error


def _names_of_atoms(values: Interpreter) -> dict[Atom, list[str]]:
    names: dict[Atom, list[str]] = {}
    for atom in values.origin:
        if atom.value:
            # A current that is compared as it is has the name of the membrane.
            names[atom] = [atom.value]
    for name, poly in values.values.items():
        single = poly.single
        if single is not None and name not in names.setdefault(single, []):
            names[single].append(name)
    return names


def _compare(written: WrittenNeuron, writer: NeuronWriter, names: Mapping[Atom, list[str]]) -> int:
    chains, found = writer.chains, written.found
    currents = []
    states = [state for state in found.chain.states if state.value]
    for state in states:
        current = chains.shift(written.current, state.time - found.time)
        if current is None:
            raise ModelError(why_changed(written.current, state.time - found.time, chains))
        currents.append(current)
    atoms = sorted({a for c in currents for a in c.atoms()}, key=lambda a: a.number)
    missing = [a for a in atoms if a not in names]
    if missing:
        raise ModelError(f"a part of its current ('{missing[0].value}') has no value of its own")
    cut = {name: atom for atom in atoms for name in names[atom]}
    membranes = [state.value for state in states]
    inner = [name for name in membranes if name not in cut]
    part = _cut_out(chains.values, cut, inner)
    session = runtime.load_session(part.SerializeToString(), custom_ops=False, optimized=False)
    rng = np.random.default_rng(_SEED)
    scale = _scale(written, currents)
    edges = fired = 0
    for gain in GAINS:
        data = {a: _random(a, writer, rng, gain * scale) for a in atoms}
        given = {i.name: data[cut[i.name]] for i in session.get_inputs()}
        computed = dict(zip(inner, session.run(inner, given), strict=True))
        source = np.stack([computed[n] if n in computed else data[cut[n]] for n in membranes])
        ours = _run(written, [_evaluate(c, data) for c in currents], source.shape)
        counted, spikes = _count_edges(written, source, *ours)
        edges += counted
        fired += spikes
    if not fired:
        raise ModelError("it never fires, however strong its current, so that nothing is proved")
    return edges


def _scale(written: WrittenNeuron, currents: Iterable[Poly]) -> float:
    """Return the size of values that drive a neuron to about its threshold."""
    threshold = np.abs(np.asarray(written.found.parameters["v_threshold"])).max(initial=0.0)
    factors = [float(np.abs(c).max()) for poly in currents for p, c in poly.terms.items() if p]
    keep = float(np.min(np.abs(np.asarray(written.found.parameters["alpha"]))))
    # A current of 1 - alpha thresholds brings a leaky membrane to its threshold in the end.
    return float(threshold or 1.0) / max(max(factors, default=1.0), 1e-6) * max(0.3, 1 - keep)


def _random(atom: Atom, writer: NeuronWriter, rng: np.random.Generator, scale: float) -> Array:
    shape = writer.rolled.shapes.of_atom(atom)
    if atom.binary:
        return rng.integers(0, 2, shape).astype(np.float32)
    return (scale * rng.normal(0.4, 1.0, shape)).astype(np.float32)


def _evaluate(current: Poly, data: Mapping[Atom, Array]) -> Array:
    total: Any = np.float32(0)
    for product, c in current.terms.items():
        part: Any = np.asarray(c, np.float32)
        for atom in product:
            part = part * data[atom]
        total = total + part
    return np.asarray(total, np.float32)


def _run(
    written: WrittenNeuron, currents: list[Array], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return spikes and membranes of the neuron as it was read."""
    found = written.found
    stacked = np.stack([np.broadcast_to(c, shape[1:]) for c in currents])
    weight = written.recurrent_weight
    spikes, _, membranes = simulate(
        found.model,
        FloatArithmetic(NumpyBackend()),
        stacked,
        {p.constant_name: written.parameters[p.name] for p in found.model.parameters},
        found.choices,
        recurrent_weight=None if weight is None else np.asarray(weight, np.float32),
    )
    return spikes, membranes if found.floor is None else np.maximum(membranes, found.floor)


def _count_edges(
    written: WrittenNeuron, source: Array, spikes: Array, membranes: Array
) -> tuple[int, int]:
    """Return (spikes that differ at a knife edge, spikes) of one run.

    Raises:
        ModelError: a spike or a membrane differs otherwise.
    """
    found = written.found
    counts = found.choices.get("max_spikes", 1) > 1
    threshold = written.threshold_along(source.shape)
    above = np.greater_equal if found.choices.get("fire_on_equal") else np.greater
    open_ = np.ones(source.shape[1:], bool)
    edges = 0
    size = np.maximum(np.abs(source), np.abs(membranes)) + np.abs(threshold)
    for t in range(len(source)):
        # Membranes agree until a spike has differed; from then on the sample is left out.
        tolerance = min(_MEMBRANE_TOLERANCE, _STEP_TOLERANCE * (t + 1))
        apart = np.abs(source[t] - membranes[t]) > tolerance * size[t] + 1e-6
        if (apart & open_).any():
            raise ModelError(
                f"re-simulated on random currents, its membrane differs at step {t} (by up to "
                f"{np.abs(source[t] - membranes[t])[open_].max():.3g})"
            )
        if found.adaptive or counts:
            continue
        differs = (above(source[t], threshold) != (spikes[t] > 0)) & open_
        near = np.abs(source[t] - threshold) <= knife_edge(threshold, source[t])
        if (differs & ~near).any():
            raise ModelError(f"re-simulated on random currents, its spikes differ at step {t}")
        edges += int(differs.sum())
        open_ &= ~_whole_samples(differs, written.recurrent_weight is not None)
    return edges, int((spikes > 0).sum())


def _whole_samples(differs: Array, recurrent: bool) -> Array:
    """Return what a difference can reach later: the neuron, or its whole sample."""
    if not recurrent:
        return differs
    axes = tuple(range(1, differs.ndim))
    return np.broadcast_to(differs.any(axis=axes, keepdims=True), differs.shape)


def _cut_out(values: Interpreter, cut: Mapping[str, Atom], outputs: list[str]) -> onnx.ModelProto:
    """Return the part of the source between some values and others."""
    facts = values.facts
    producers = {name: node for node in facts.model.graph.node for name in node.output}
    pending, kept, constants = list(outputs), set(), set()
    inputs: set[str] = set()
    while pending:
        name = pending.pop()
        if name in cut:
            inputs.add(name)
        elif name not in facts.data:
            constants.add(name)
        elif name not in producers:
            raise ModelError(f"it depends on the input '{name}' beside its current")
        elif id(producers[name]) not in kept:
            kept.add(id(producers[name]))
            pending.extend(filter(None, producers[name].input))
    graph = helper.make_graph(
        [node for node in facts.model.graph.node if id(node) in kept],
        "part",
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in sorted(inputs)
        ],
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(outputs)],
        [numpy_helper.from_array(np.asarray(facts.constants[n]), n) for n in sorted(constants)],
    )
    model = helper.make_model(graph, opset_imports=facts.model.opset_import)
    model.ir_version = facts.model.ir_version
    return model
