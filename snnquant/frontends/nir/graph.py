"""A NIR graph without nesting: nodes by path, edges that sum, and questions about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError, NumericalError
from snnquant.frontends.nir.tree import Field, RawNode

Array = npt.NDArray[np.float64]

INTEGRATORS = frozenset({"LI", "CubaLI", "I"})
SPIKING = frozenset({"LIF", "CubaLIF", "IF", "Threshold"})
NEURONS = INTEGRATORS | SPIKING
SYNAPSES = frozenset({"Linear", "Affine", "Conv1d", "Conv2d"})
#: Node types that give their input as it is.
ALIASES = frozenset({"Identity", "Delay", "Output"})
_OTHERS = frozenset({"Input", "Scale", "SumPool2d", "AvgPool2d", "Flatten"})
KINDS = NEURONS | SYNAPSES | ALIASES | _OTHERS

#: An integrator whose only reader is a threshold is a neuron that nothing resets.
_FIRING = {"LI": "LIF", "CubaLI": "CubaLIF", "I": "IF"}


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        path: names from the outermost graph inwards, joined by ``/``.
        kind: NIR's type name.
        fields: its data.
        metadata: what the writer said beside it.
        resets: False: nothing happens to the membrane at a spike.
    """

    path: str
    kind: str
    fields: Mapping[str, Field]
    metadata: Mapping[str, Field] = field(default_factory=dict)
    resets: bool = True

    def numbers(self, name: str, default: float | None = None, *, infinite: bool = False) -> Array:
        """Return a field as float64.

        Args:
            name: of the field.
            default: value where the file has none; None: it must be there.
            infinite: positive infinity is no error.

        Raises:
            ModelError: it is missing or no numbers.
            NumericalError: NaN or infinite.
        """
        held = self.fields.get(name)
        if held is None or (not isinstance(held, str) and held.size == 0):
            if default is None:
                raise ModelError(f"node '{self.path}' ({self.kind}) has no {name}; write it again")
            return np.full((), default)
        if isinstance(held, str):
            raise ModelError(f"node '{self.path}' ({self.kind}): {name} is a text, not numbers")
        values = np.asarray(held, np.float64)
        if np.isnan(values).any() or (values == (-np.inf if infinite else np.inf)).any():
            raise NumericalError(f"node '{self.path}' ({self.kind}): {name} holds NaN or infinity")
        if not infinite and not np.isfinite(values).all():
            raise NumericalError(f"node '{self.path}' ({self.kind}): {name} holds NaN or infinity")
        return values

    def integers(self, name: str, count: int, default: int | None = None) -> tuple[int, ...]:
        """Return a field as ``count`` integers; one number stands for all."""
        values = self.numbers(name, default).reshape(-1)
        if values.size == 1:
            values = np.repeat(values, count)
        if values.size != count or (values != np.round(values)).any() or abs(values).max() > 2**31:
            raise ModelError(
                f"node '{self.path}' ({self.kind}): {name} is {values.tolist()[:8]}, must be "
                f"{count} integers"
            )
        return tuple(int(v) for v in values)

    def hint(self, name: str) -> Any:
        """Return what the metadata says under a name: a number, an array, a text, or None."""
        held = self.metadata.get(name)
        if held is None or isinstance(held, str):
            return held
        return held.reshape(-1)[0] if held.size == 1 else held


@dataclass
class Graph:
    """Nodes by path, edges in order, and what the writer said of the whole; not changed later."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    metadata: Mapping[str, Field] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {path: [] for path in self.nodes}
        for source, target in self.edges:
            found[target].append(source)
        return found

    @cached_property
    def _targets(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {path: [] for path in self.nodes}
        for source, target in self.edges:
            found[source].append(target)
        return found

    def before(self, path: str) -> list[str]:
        """Return the nodes whose outputs a node sums."""
        return self._sources[path]

    def after(self, path: str) -> list[str]:
        """Return the nodes that read a node."""
        return self._targets[path]

    def of_kind(self, kinds: Iterable[str]) -> list[Node]:
        """Return the nodes of some types, in order."""
        wanted = set(kinds)
        return [node for node in self.nodes.values() if node.kind in wanted]


def flatten(tree: RawNode) -> Graph:
    """Return the graph with graphs inside nodes written out.

    Raises:
        ModelError: an edge leads nowhere, an unknown node type, or a graph inside with several
            inputs or outputs.
    """
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    _add(tree, "", nodes, edges)
    unique = list(dict.fromkeys(edges))
    twice = len(unique) < len(edges)
    notes = ["Edges that the file lists twice are read once."] if twice else []
    for node in nodes.values():
        if node.kind == "Delay" and node.numbers("delay", 0.0).any():
            raise ModelError(
                f"node '{node.path}' (Delay) delays by {node.numbers('delay').max():g} s, which no "
                "neuron of the integer graph expresses; train without delays"
            )
    return _merge_thresholds(Graph(nodes, unique, tree.metadata, notes))


def _add(tree: RawNode, prefix: str, nodes: dict[str, Node], edges: list[tuple[str, str]]) -> None:
    """Add the nodes and edges of one level."""
    entry: dict[str, str] = {}
    leave: dict[str, str] = {}
    for name, raw in tree.nodes.items():
        path = prefix + name
        if raw.kind == "NIRGraph":
            _add(raw, path + "/", nodes, edges)
            for kind, ends in (("Input", entry), ("Output", leave)):
                inner = [f"{path}/{key}" for key, n in raw.nodes.items() if n.kind == kind]
                if len(inner) == 1:
                    ends[name] = inner[0]
            continue
        if raw.kind not in KINDS:
            raise ModelError(
                f"node '{path}' has type {raw.kind}, which is not read; known are "
                f"{', '.join(sorted(KINDS))}"
            )
        # Inside, inputs and outputs only hand on.
        passes = bool(prefix) and raw.kind in ("Input", "Output")
        kind = "Identity" if passes else raw.kind
        nodes[path] = Node(path, kind, raw.fields, raw.metadata)
        entry[name] = leave[name] = path
    for source, target in tree.edges:
        for end, ends in ((source, leave), (target, entry)):
            if end not in tree.nodes:
                raise ModelError(
                    f"edge ('{prefix}{source}', '{prefix}{target}'): there is no node "
                    f"'{prefix}{end}'; write the file again"
                )
            if end not in ends:
                raise ModelError(
                    f"the graph inside node '{prefix}{end}' must have one input and one output"
                )
        edges.append((leave[source], entry[target]))


def _merge_thresholds(graph: Graph) -> Graph:
    """Make one neuron of an integrator and a threshold that reads nothing else."""
    nodes, cut, added = dict(graph.nodes), set(), []
    for node in graph.of_kind(["Threshold"]):
        sources = graph.before(node.path)
        source = graph.nodes[sources[0]] if len(sources) == 1 else node
        if source.kind not in _FIRING or source.path in graph.before(source.path):
            continue
        nodes[node.path] = Node(
            node.path,
            _FIRING[source.kind],
            dict(source.fields) | {"v_threshold": node.numbers("threshold")},
            dict(source.metadata) | dict(node.metadata),
            resets=False,
        )
        cut.add((source.path, node.path))
        added += [(feed, node.path) for feed in graph.before(source.path)]
        if all((source.path, reader) in cut for reader in graph.after(source.path)):
            del nodes[source.path]
    edges = [e for e in [*graph.edges, *added] if e not in cut and set(e) <= set(nodes)]
    return Graph(nodes, edges, graph.metadata, graph.notes)


def ordered(graph: Graph, known: Collection[str] = ()) -> list[Node]:
    """Return the nodes that lead to an output, sources first.

    Args:
        graph: with cycles cut.
        known: nodes that have a use although they lead nowhere.

    Raises:
        ModelError: no input or output, a node that nothing feeds, or a cycle.
    """
    outputs = graph.of_kind(["Output"])
    if not outputs or not graph.of_kind(["Input"]):
        lack = "Input" if outputs else "Output"
        raise ModelError(f"the NIR graph has no {lack} node; write it with one")
    done: dict[str, Node] = {}
    state: dict[str, int] = {}
    stack = [node.path for node in reversed(outputs)]
    while stack:
        path = stack[-1]
        if state.get(path) == 2:
            stack.pop()
        elif state.get(path) == 1:
            state[path] = 2
            done[path] = graph.nodes[path]
            stack.pop()
        else:
            state[path] = 1
            if not graph.before(path) and graph.nodes[path].kind != "Input":
                kind = graph.nodes[path].kind
                raise ModelError(f"nothing feeds node '{path}' ({kind}); write the missing edge")
            if graph.nodes[path].kind == "Input" and graph.before(path):
                raise ModelError(f"node '{path}' is an Input that another node feeds")
            for source in graph.before(path):
                if state.get(source) == 1:
                    raise ModelError(f"nodes '{source}' and '{path}' feed each other in a cycle")
                if source not in state:
                    stack.append(source)
    left = sorted(set(graph.nodes) - set(done) - set(known))
    if left:
        graph.notes.append(f"Nodes that lead to no output are left out: {', '.join(left[:8])}.")
    return list(done.values())
