"""Holds a reading against the torch module: neuron by neuron, and output by output.

Each neuron is simulated on the very currents that the module's own neuron integrated; the whole
graph runs in stock ONNX Runtime on the same inputs. A spike may differ only where the membrane is
at the threshold to within float32 rounding (a knife edge); the rest of that sample is then skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import torch

from snnquant.errors import ModelError
from snnquant.frontends.torch.network import Example, Network
from snnquant.frontends.torch.trace import Neuron, observe
from snnquant.frontends.torch.translation import Array
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.neurons.dynamics import MAX_SPIKES
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.neurons.simulate import along_channels, simulate
from snnquant.runtime import load_session

#: Batch sizes and gains of the random inputs.
TRIALS = ((2, 1.0), (5, 4.0), (3, 0.25), (4, 16.0))
#: Gains of the currents that a neuron gets which never fires in the network.
_STIMULI = (1.0, 10.0, 100.0, 1000.0)
_RTOL, _ATOL = 1e-4, 1e-5
#: Distance from the threshold that is a knife edge, and what float32 loses of large membranes.
_EDGE, _LOSS = 1e-5, 2e-6


@dataclass
class Proof:
    """What the trials found.

    Attributes:
        edges: by module, how many spikes differ at a knife edge.
        fired: modules that fired at least once.
        counted: modules that fired more often in one step than is counted.
        skipped: samples whose outputs differ behind a knife edge.
        samples: samples that were compared.
    """

    edges: dict[str, int] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    skipped: int = 0
    samples: int = 0


def prove(
    network: Network, neurons: Sequence[Neuron], model: onnx.ModelProto, example: Example
) -> Proof:
    """Compare a module with the graph that was made of it, on random inputs.

    Args:
        network: the module.
        neurons: as they were when the graph was made; their recurrence serves all trials.
        model: the graph.
        example: shape of the input.

    Raises:
        ModelError: a neuron or an output differs: the reading is wrong.
    """
    session = load_session(model.SerializeToString(), custom_ops=False)
    entry = session.get_inputs()[0].name
    proof = Proof()
    by_path = {neuron.layer.path: neuron for neuron in neurons}
    for number, (batch, gain) in enumerate(TRIALS):
        x = example.input(batch, gain, seed=number + 1)
        observed = network.observe(x)
        near = np.zeros(batch, bool)
        for neuron in observed:
            made = by_path[neuron.layer.path]
            neuron.weight, neuron.bias = made.weight, made.bias
            near |= _prove_neuron(neuron, proof)
        wanted = network(x)
        found = session.run(None, {entry: x.numpy()})
        _prove_outputs(wanted, found, near, proof, example, batch)
    for neuron in neurons:
        translation = neuron.described.translation
        can_fire = translation.model.spiking and not translation.never_fires
        if can_fire and neuron.layer.path not in proof.fired:
            _stimulate(neuron, proof)
    if proof.skipped * 2 > proof.samples:
        raise ModelError(
            f"the graph differs from the torch module in {proof.skipped} of {proof.samples} random "
            "samples, all at membranes that lie on the threshold; train in other units"
        )
    return proof


class _Alone(torch.nn.Module):
    """Runs one neuron by itself over steps that are given one by one, or all at once."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run over ``x [steps, ...]``, each of the shape that the module takes."""
        state = None
        for step in x:
            _, state = self.neuron.described.alone(step, state)
        return x


def _stimulate(neuron: Neuron, proof: Proof) -> None:
    """Compare a neuron that never fired in the network on currents that make it fire."""
    call = neuron.calls[0]
    steps = 1 if neuron.described.layout is not None else len(neuron.calls)
    generator = torch.Generator().manual_seed(len(neuron.layer.path))
    for gain in _STIMULI:
        given = torch.randn((steps, *call.given), generator=generator) * gain
        for observed in observe(_Alone(neuron), [neuron.layer], given):
            observed.weight, observed.bias = neuron.weight, neuron.bias
            _prove_neuron(observed, proof)
        if neuron.layer.path in proof.fired:
            return


def _prove_outputs(
    wanted: Sequence[torch.Tensor],
    found: Sequence[Array],
    near: Array,
    proof: Proof,
    example: Example,
    batch: int,
) -> None:
    differs = np.zeros(batch, bool)
    for index, (tensor, array) in enumerate(zip(wanted, found, strict=True)):
        expected = tensor.detach().numpy()
        if expected.shape != array.shape:
            raise ModelError(
                f"output {index} of the graph has shape {list(array.shape)}, of the torch module "
                f"{list(expected.shape)}"
            )
        wrong = ~np.isclose(array, expected, rtol=_RTOL, atol=_ATOL)
        axes = [axis for axis, size in enumerate(expected.shape) if size == batch]
        if not axes:
            differs |= wrong.any()
            continue
        axis = 1 if len(axes) > 1 and example.batch_axis == 1 else axes[0]
        differs |= np.moveaxis(wrong, axis, 0).reshape(batch, -1).any(1)
    if (differs & ~near).any():
        raise ModelError(
            f"the graph computes another output than the torch module for {int(differs.sum())} of "
            f"{batch} random samples; export it unrolled with torch.onnx.export instead"
        )
    proof.skipped += int(differs.sum())
    proof.samples += batch


def _prove_neuron(neuron: Neuron, proof: Proof) -> Array:
    """Compare one neuron with the module's own; return which samples come near the threshold."""
    near = np.zeros(neuron.calls[0].current.shape[1], bool)
    for run in neuron.runs():
        calls = [neuron.calls[number] for number in run]
        outputs = [call.output for call in calls if call.output is not None]
        if len(outputs) == len(calls):
            current = torch.cat([call.current for call in calls]).numpy()
            near |= _prove_run(neuron, current, torch.cat(outputs).numpy(), proof)
    return near


def _prove_run(neuron: Neuron, current: Array, wanted: Array, proof: Proof) -> Array:
    translation = neuron.described.translation
    path = neuron.layer.path
    model = translation.model
    real = translation.constants(neuron.features)
    constants = {p.constant_name: real[p.name] for p in model.parameters}
    if neuron.bias is not None:
        current = current + neuron.bias.numpy()
    found, _, membranes = simulate(
        model,
        FloatArithmetic(NumpyBackend()),
        current,
        constants,
        translation.all_choices(),
        recurrent_weight=neuron.weight,
    )
    batch = current.shape[1]
    if not model.spiking or translation.never_fires:
        if model.spiking or not translation.never_fires:
            _check_membranes(neuron, membranes, wanted)
        return np.zeros(batch, bool)
    if wanted.any():
        proof.fired.add(path)
    edges = _knife_edges(neuron, membranes, wanted, real)
    beyond = wanted > translation.all_choices()[MAX_SPIKES.name]
    if beyond.any() and translation.all_choices()[MAX_SPIKES.name] == MAX_SPIKES.high:
        # More than any count: what follows cannot be compared.
        proof.counted.add(path)
        edges |= beyond
    differs = (found != wanted).reshape(len(wanted), batch, -1)
    edges = edges.reshape(differs.shape)
    for sample in np.flatnonzero(differs.any((0, 2))):
        first = int(np.argmax(differs[:, sample].any(1)))
        here = differs[first, sample]
        if not edges[first, sample][here].all():
            raise ModelError(
                f"module '{path}' ({translation.framework}) fires otherwise than it was read at "
                f"step {first}; please report this"
            )
        if not beyond.any():
            proof.edges[path] = proof.edges.get(path, 0) + int(here.sum())
    return np.asarray(edges.any((0, 2)))


def _check_membranes(neuron: Neuron, found: Array, wanted: Array) -> None:
    scale = float(np.abs(wanted).max(initial=1.0))
    if not np.allclose(found, wanted, rtol=_RTOL, atol=_ATOL * scale):
        raise ModelError(
            f"module '{neuron.layer.path}' ({neuron.described.translation.framework}) integrates "
            "otherwise than it was read; please report this"
        )


def _knife_edges(neuron: Neuron, membranes: Array, spikes: Array, real: dict[str, Array]) -> Array:
    """Return where the membrane is at a threshold to within float32 rounding."""
    shape = membranes.shape[1:]
    threshold = along_channels(real["v_threshold"], shape)
    levels = np.broadcast_to(threshold, membranes.shape)
    if "threshold_increment" in real:
        decay = along_channels(real["threshold_decay"], shape)
        added = along_channels(real["threshold_increment"], shape) * spikes
        moved, adaptation = [], np.zeros(shape)
        for step in added:
            moved.append(threshold + adaptation)
            adaptation = decay * adaptation + step
        levels = np.stack(moved)
    distance = np.abs(membranes - levels)
    if neuron.described.translation.all_choices().get("max_spikes", 1) > 1:
        # Every multiple of the threshold is one.
        count = np.maximum(np.round(membranes / np.maximum(levels, 1e-30)), 1)
        distance = np.abs(membranes - count * levels)
    reach = np.maximum.accumulate(np.abs(membranes), 0)
    return np.asarray(distance <= _EDGE * np.maximum(1, np.abs(levels)) + _LOSS * reach)
