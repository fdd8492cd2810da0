"""Recurrence: a cycle through one spiking neuron becomes that neuron's recurrent weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.nir.graph import ALIASES, INTEGRATORS, SPIKING, Array, Graph, Node

Shape = tuple[int, ...]
#: The recurrent weights are a full matrix, whatever the file holds.
_MAX_RECURRENT = 4096


@dataclass(frozen=True)
class Loop:
    """What leads from a neuron's spikes back to its current.

    Attributes:
        neuron: path of the neuron.
        inside: paths of the linear nodes of the cycle, in the order in which they run.
        edges: edges between them and from and to the neuron.
    """

    neuron: str
    inside: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    @property
    def back(self) -> set[tuple[str, str]]:
        """Edges that close the cycle."""
        return {edge for edge in self.edges if edge[1] == self.neuron}


def cut_loops(graph: Graph) -> tuple[Graph, dict[str, Loop]]:
    """Return the graph without the edges that close cycles, and the cycles by their neuron.

    Raises:
        ModelError: a cycle without a spiking neuron, with several, or with another entry.
    """
    loops = {}
    for members in _cycles(graph):
        loop = _loop_of(graph, members)
        loops[loop.neuron] = loop
    back = {edge for loop in loops.values() for edge in loop.back}
    kept = [edge for edge in graph.edges if edge not in back]
    return Graph(graph.nodes, kept, graph.metadata, graph.notes), loops


def recurrence(graph: Graph, loop: Loop, shape: Shape) -> tuple[Array, Array | None]:
    """Return the weights ``[N, N]`` from neuron to neuron of a cycle, and what it adds each step.

    Args:
        graph: with the nodes of the cycle.
        loop: the cycle.
        shape: features of its neuron; N of them.

    Raises:
        ModelError: the cycle holds something that is not linear, or sizes do not fit.
    """
    size = math.prod(shape)
    if size > _MAX_RECURRENT:
        raise ModelError(
            f"neuron '{loop.neuron}' is recurrent over {size} neurons; at most {_MAX_RECURRENT} are"
        )
    weights: dict[str, Array] = {loop.neuron: np.ones(size)}
    constants: dict[str, Array] = {loop.neuron: np.zeros(size)}
    for path in (*loop.inside, loop.neuron):
        sources = [a for a, b in loop.edges if b == path]
        try:
            weight = _total([weights[source] for source in sources])
            constant = np.sum([constants[source] for source in sources], axis=0)
            if path != loop.neuron:
                weight, constant = _through(graph.nodes[path], weight, constant)
        except ValueError as error:
            raise ModelError(
                f"node '{path}' does not fit the {size} neurons of '{loop.neuron}' that it feeds"
            ) from error
        weights[path], constants[path] = weight, constant
    weight, constant = _dense(weights[loop.neuron]), constants[loop.neuron]
    if weight.shape != (size, size):
        raise ModelError(
            f"the recurrence of '{loop.neuron}' gives {len(weight)} currents for {size} neurons"
        )
    return weight.T, constant.reshape(shape) if constant.any() else None


def _dense(weight: Array) -> Array:
    """Return a linear map as a matrix; one axis is its diagonal."""
    return np.diag(weight) if weight.ndim == 1 else weight


def _total(weights: list[Array]) -> Array:
    """Return the sum of linear maps."""
    alike = len({weight.ndim for weight in weights}) == 1
    parts = weights if alike else [_dense(weight) for weight in weights]
    return np.asarray(np.sum(parts, axis=0))


def _through(node: Node, weight: Array, constant: Array) -> tuple[Array, Array]:
    """Return a linear map and its constant behind one more node."""
    if node.kind in ("Linear", "Affine"):
        matrix = node.numbers("weight")
        if matrix.ndim != 2 or matrix.shape[1] != len(weight):
            raise ValueError(node.path)
        bias = node.numbers("bias") if node.kind == "Affine" else np.zeros(len(matrix))
        product = matrix * weight if weight.ndim == 1 else matrix @ weight
        return product, matrix @ constant + bias.reshape(-1)
    if node.kind == "Scale":
        scale = np.broadcast_to(node.numbers("scale").reshape(-1), constant.shape)
        return (scale * weight.T).T, scale * constant
    if node.kind in ALIASES or node.kind == "Flatten":
        return weight, constant
    raise ModelError(
        f"node '{node.path}' ({node.kind}) is part of a recurrence; only Linear, Affine and Scale "
        "can be"
    )


def _loop_of(graph: Graph, members: list[str]) -> Loop:
    """Return one cycle in order."""
    inside = set(members)
    names = ", ".join(f"'{path}'" for path in members[:6])
    stateful = [p for p in members if graph.nodes[p].kind in SPIKING | INTEGRATORS]
    spiking = [p for p in stateful if graph.nodes[p].kind in SPIKING]
    if not stateful:
        raise ModelError(f"nodes {names} form a cycle without a neuron; its value is not defined")
    if len(stateful) > 1 or len(spiking) != 1:
        raise ModelError(
            f"nodes {names} form a cycle through {len(stateful)} neuron layers; only one spiking "
            "layer can feed itself"
        )
    neuron = spiking[0]
    edges = tuple(e for e in graph.edges if e[0] in inside and e[1] in inside)
    for a, b in graph.edges:
        if b in inside and b != neuron and a not in inside:
            raise ModelError(f"node '{a}' feeds '{b}' inside the recurrence of '{neuron}'")
    order: list[str] = []
    waiting = [p for p in members if p != neuron]
    while waiting:
        ready = [p for p in waiting if all(a in (neuron, *order) for a, b in edges if b == p)]
        if not ready:
            raise ModelError(f"nodes {names} form a cycle without a neuron; it has no value")
        order += ready
        waiting = [p for p in waiting if p not in ready]
    return Loop(neuron, tuple(order), edges)


def _cycles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected parts that hold a cycle (Kosaraju's algorithm)."""
    finished: list[str] = []
    seen: set[str] = set()
    for root in graph.nodes:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(graph.after(root)))]
        while stack:
            path, rest = stack[-1]
            step = next((n for n in rest if n not in seen), None)
            if step is None:
                finished.append(path)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(graph.after(step))))
    parts: list[list[str]] = []
    taken: set[str] = set()
    for root in reversed(finished):
        if root in taken:
            continue
        taken.add(root)
        part, pending = [], [root]
        while pending:
            path = pending.pop()
            part.append(path)
            fresh = [n for n in graph.before(path) if n not in taken]
            taken.update(fresh)
            pending += fresh
        if len(part) > 1 or root in graph.after(root):
            parts.append(part)
    return parts
