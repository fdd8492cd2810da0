"""The calls in an exported graph, and which of them are the steps of one run."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.torch.graph import Source, integer
from snnquant.frontends.torch.trace import CALL_DOMAIN, CHAIN, LAYER, NUMBER, SYNAPTIC, Neuron

#: Index of the neuron, and number of the call.
Key = tuple[int, int]


def key_of(node: onnx.NodeProto) -> Key:
    """Return which call of which neuron a node stands for."""
    return integer(node, LAYER, 0), integer(node, NUMBER, 0)


class Calls:
    """All calls of a graph.

    Args:
        source: the graph.
        neurons: how each was called when the network ran.

    Attributes:
        node: the node of each call.
        run_of: numbers of all calls of the run that a call belongs to.
        read: names that the graph reads, beside the chain from call to call.

    Raises:
        ModelError: a synaptic current is read, or there are other calls than were seen.
    """

    def __init__(self, source: Source, neurons: Sequence[Neuron]) -> None:
        self.neurons = neurons
        self.node = {key_of(n): n for n in source.graph.node if n.domain == CALL_DOMAIN}
        self.read = {name for node in source.graph.node for name in node.input}
        self.read.update(value.name for value in source.graph.output)
        self.read -= {node.output[CHAIN] for node in self.node.values()}
        self.run_of: dict[Key, tuple[int, ...]] = {}
        for index, neuron in enumerate(neurons):
            for run in neuron.runs():
                self.run_of |= {(index, number): tuple(run) for number in run}
        for key, node in self.node.items():
            path = neurons[key[0]].layer.path
            if key not in self.run_of:
                raise ModelError(f"module '{path}' is called more often than when it ran before")
            if node.output[SYNAPTIC] in self.read:
                raise ModelError(
                    f"module '{path}': the network reads its synaptic current; only spikes and "
                    "membranes can be read"
                )

    def nodes_of(self, key: Key) -> list[onnx.NodeProto]:
        """Return the nodes of a call's run; calls at its end may be gone, which nothing reads."""
        nodes = [self.node.get((key[0], number)) for number in self.run_of[key]]
        present = [node for node in nodes if node is not None]
        if nodes[: len(present)] != present:
            path = self.neurons[key[0]].layer.path
            raise ModelError(f"module '{path}' is not called at every step")
        return present
