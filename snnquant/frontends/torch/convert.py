"""From a torch module to the float graph with neuron nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from torch import nn

from snnquant.frontends.reading import NeuronOrigin, Reading
from snnquant.frontends.torch.fold import FeedbackError, fold_calls
from snnquant.frontends.torch.layers import Layer, neuron_layers
from snnquant.frontends.torch.network import Example, Network, network_of
from snnquant.frontends.torch.plain import read_plainly
from snnquant.frontends.torch.pooling import plain_sums
from snnquant.frontends.torch.proof import Proof, prove
from snnquant.frontends.torch.reshapes import fix_reshapes
from snnquant.frontends.torch.trace import Neuron, calls_as_nodes
from snnquant.model_file import check_weights, neuron_nodes
from snnquant.neurons.dynamics import MAX_SPIKES
from snnquant.nn.export import export_float
from snnquant.nn.layer import NeuronLayer
from snnquant.ops.equation import equations_in

#: Comparisons in a folded graph: neurons written by hand, which only their operations tell.
_COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})

_UNKNOWN = "it has no neuron of a framework that is known by its class"


def read_network(module: nn.Module, example: Example, name: str) -> Reading:
    """Read a torch module.

    Neurons of the frameworks become nodes as what their classes are; a module with neurons of its
    own making is exported with all operations over time, in which they are recognised.

    Args:
        module: the network; it is put into eval mode.
        example: its input.
        name: for messages.

    Raises:
        ModelError: torch cannot export it, a neuron has no counterpart, or the graph differs.
        UsageError: the number of steps is missing or wrong.
    """
    module.eval()
    layers, others = neuron_layers(module)
    own = [path for path, part in module.named_modules() if isinstance(part, NeuronLayer)]
    if own and not layers and not others:
        return _read_own(module, example)
    if not layers or others:
        network = Network(module, layers)
        return read_plainly(network, example, name, others[0] if others else _UNKNOWN)
    return read_layers(module, layers, example, name, mixed=bool(own))


def read_layers(
    module: nn.Module, layers: Sequence[Layer], example: Example, name: str, *, mixed: bool = False
) -> Reading:
    """Read a torch module whose neurons are known.

    Args:
        module: the network.
        layers: its neurons.
        example: its input.
        name: for messages.
        mixed: it has neurons of :mod:`snnquant.nn` beside.

    Raises:
        ModelError: torch cannot export it, or the graph differs.
        UsageError: the number of steps is missing or wrong.
    """
    network, neurons = network_of(module, layers, example)
    try:
        model, sources = _export(network, neurons, example)
    except FeedbackError as error:
        return read_plainly(network, example, name, str(error))
    compared = [node.name for node in model.graph.node if node.op_type in _COMPARISONS]
    if compared and not mixed:
        return read_plainly(network, example, name, "it has neurons of its own beside")
    check_weights(model, name)
    proof = prove(network, neurons, model, example)
    frameworks = {layer.path: layer.described.translation.framework for layer in layers}
    origins = _origins(model, sources, frameworks, proof)
    return Reading(model, origins, _notes(network, neurons, proof))


def _read_own(module: nn.Module, example: Example) -> Reading:
    """Export a module of :mod:`snnquant.nn`, whose neurons are nodes already."""
    model, sources = export_float(module, example.input(2), example.time_axis, False)
    check_weights(model, type(module).__name__)
    equations = equations_in(model)
    origins = [
        NeuronOrigin(node.name, "snnquant.nn", (sources.get(node.name, ""),), equations[node.name])
        for node in neuron_nodes(model)
    ]
    return Reading(model, origins)


def _export(
    network: Network, neurons: list[Neuron], example: Example
) -> tuple[onnx.ModelProto, Mapping[str, str]]:
    """Export with calls as nodes, and make neurons of them."""

    def rewrite(model: onnx.ModelProto) -> None:
        fix_reshapes(model)
        fold_calls(model, neurons)

    with calls_as_nodes(neurons) as counts, plain_sums(network.module):
        network.before = counts.clear
        try:
            with network.installed() as module:
                return export_float(module, example.input(2), example.time_axis, True, rewrite)
        finally:
            network.before = _nothing


def _nothing() -> None:
    """Do nothing before a run."""


def _origins(
    model: onnx.ModelProto, sources: Mapping[str, str], frameworks: Mapping[str, str], proof: Proof
) -> list[NeuronOrigin]:
    """Return where each neuron comes from; the framework is our own where none is named."""
    found = []
    equations = equations_in(model)
    for node in neuron_nodes(model):
        path = sources.get(node.name, "")
        found.append(
            NeuronOrigin(
                node.name,
                frameworks.get(path) or frameworks.get(f"{path}.neuron", "snnquant.nn"),
                (path,) if path else (),
                equations[node.name],
                proof.edges.get(path, 0),
            )
        )
    return found


def _notes(network: Network, neurons: list[Neuron], proof: Proof) -> list[str]:
    notes = []
    if network.steps is not None:
        notes.append(f"Forward is one time step; it is called for {network.steps} steps.")
    if network.left_out:
        notes.append("Forward returns states beside tensors; they are no outputs.")
    for neuron in neurons:
        translation = neuron.described.translation
        where = f"Module '{neuron.layer.path}' ({translation.framework})"
        if neuron.layer.path in proof.counted:
            notes.append(f"{where}: more than {MAX_SPIKES.high} spikes in one step are cut.")
        can_fire = translation.model.spiking and not translation.never_fires
        if can_fire and neuron.layer.path not in proof.fired:
            notes.append(f"{where} never fired on the random inputs on which it was compared.")
    if proof.skipped:
        notes.append(
            f"{proof.skipped} of {proof.samples} random samples differ from the torch module "
            "behind membranes that lie on the threshold."
        )
    return notes
