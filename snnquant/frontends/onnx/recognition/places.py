"""Where in the source a neuron was found, in words: module, framework, nodes."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

import onnx

from snnquant.frontends.onnx.recognition.chains import Chain
from snnquant.frontends.onnx.recognition.interpreter import Interpreter
from snnquant.frontends.reading import FRAMEWORK_NAMES, NeuronOrigin

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.\-]+")
_REPEATED = re.compile(r"_\d+$")


def _listed(node: onnx.NodeProto, key: str) -> list[str]:
    for entry in node.metadata_props:
        if entry.key == key:
            try:
                found = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return []
            return [str(item) for item in found] if isinstance(found, list) else []
    return []


def _node_of(values: Interpreter, chain: Chain) -> onnx.NodeProto | None:
    state = chain.states[0]
    return values.origin.get(state)


def module_name(values: Interpreter, chain: Chain) -> str:
    """Return a name for a neuron: the module that it was, where the export tells."""
    node = _node_of(values, chain)
    if node is None:
        return "neuron"
    scopes = _listed(node, _SCOPES)
    if len(scopes) > 1 and scopes[-2]:
        return _plain(scopes[-2])
    parts = [part for part in node.name.split("/")[:-1] if part]
    if parts:
        # Calls of one module are numbered by the exporter.
        return _plain(".".join(_REPEATED.sub("", part) for part in parts))
    return "neuron"


def _plain(name: str) -> str:
    return _NOT_PLAIN.sub("_", name)[:80] or "neuron"


def framework_of(values: Interpreter, chain: Chain) -> str:
    """Return what the export hints at, such as ``snnTorch Leaky``; "" if nothing."""
    node = _node_of(values, chain)
    classes = [] if node is None else _listed(node, _CLASSES)
    for name in reversed(classes):
        package = name.split(".")[0]
        if package in FRAMEWORK_NAMES:
            return f"{FRAMEWORK_NAMES[package]} {name.split('.')[-1]}"
    return ""


def found_at(values: Interpreter, chain: Chain) -> tuple[str, ...]:
    """Return the names of the nodes that compute the membrane, step by step."""
    nodes = [values.origin.get(state) for state in chain.states]
    return tuple(node.name for node in nodes if node is not None and node.name)


def origins_of(
    values: Interpreter,
    names: Mapping[Chain, str],
    edges: Mapping[str, int],
    equations: Mapping[str, str],
) -> list[NeuronOrigin]:
    """Return where each neuron was found.

    Args:
        values: the interpreted graph.
        names: name of the node per chain of membranes.
        edges: knife-edge spikes per name.
        equations: what each node computes, by its name.
    """
    return [
        NeuronOrigin(
            name,
            framework_of(values, chain),
            found_at(values, chain),
            equations[name],
            edges.get(name, 0),
        )
        for chain, name in names.items()
    ]
