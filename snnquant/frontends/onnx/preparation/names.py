"""Names of values and nodes that are free in a model, and copies of graphs under such names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from snnquant.ops.attach import walk


class Names:
    """Hands out names that nothing in a model has."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken: set[str] = set()
        self._count: dict[str, int] = {}
        for graph in graphs_of(model.graph):
            self._taken.update(value.name for value in (*graph.input, *graph.output))
            self._taken.update(tensor.name for tensor in graph.initializer)
            self._taken.update(tensor.values.name for tensor in graph.sparse_initializer)
            for node in graph.node:
                self._taken.update(node.output)
                self._taken.add(node.name)

    def new(self, hint: str) -> str:
        """Return ``hint``, or with a number behind it where it is taken, and take it."""
        name = hint
        while not name or name in self._taken:
            count = self._count.get(hint, 0) + 1
            self._count[hint] = count
            name = f"{hint}_{count}"
        self._taken.add(name)
        return name


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside its nodes."""
    yield graph
    for node in walk(graph):
        yield from inner_graphs(node)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds, not those inside them."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def attribute_of(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    """Return an attribute of a node, or None."""
    return next((a for a in node.attribute if a.name == name), None)


def take_attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    """Remove an attribute of a node and return it, or None."""
    for index, attribute in enumerate(node.attribute):
        if attribute.name == name:
            taken = onnx.AttributeProto()
            taken.CopyFrom(attribute)
            del node.attribute[index]
            return taken
    return None


def int_of(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute of a node, or its default."""
    attribute = attribute_of(node, name)
    return default if attribute is None else int(attribute.i)


def described(node: onnx.NodeProto) -> str:
    """Return words for a node in a message."""
    name = node.name or next((f"of '{output}'" for output in node.output if output), "")
    return f"node '{name}' ({node.op_type})"


def captured_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads: its inputs, and what the graphs inside it take from outside."""
    yield from filter(None, node.input)
    for graph in inner_graphs(node):
        defined = {v.name for v in graph.input} | {t.name for t in graph.initializer}
        for inner in graph.node:
            for name in captured_names(inner):
                if name not in defined:
                    yield name
            defined.update(inner.output)
        for value in graph.output:
            if value.name not in defined:
                yield value.name


def rename_uses(node: onnx.NodeProto, new_name: Mapping[str, str]) -> None:
    """Let a node read other values, in the graphs inside it too, where nothing hides them."""
    for index, name in enumerate(node.input):
        if name in new_name:
            node.input[index] = new_name[name]
    for graph in inner_graphs(node):
        hidden = {v.name for v in graph.input} | {t.name for t in graph.initializer}
        hidden.update(name for inner in graph.node for name in inner.output)
        seen = {old: new for old, new in new_name.items() if old not in hidden}
        if not seen:
            continue
        for inner in graph.node:
            rename_uses(inner, seen)
        for value in graph.output:
            value.name = seen.get(value.name, value.name)


def copy_body(
    graph: onnx.GraphProto, given: Mapping[str, str], names: Names, suffix: str
) -> tuple[list[onnx.NodeProto], dict[str, str]]:
    """Return copies of a graph's nodes under new names.

    Args:
        graph: body of an If, Loop or Scan, without constants of its own.
        given: what stands for the body's inputs, and for what was copied already.
        names: source of names.
        suffix: written behind each name.

    Returns:
        The nodes, and the new name of each value of the body.
    """
    mapping = dict(given)
    copies = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        rename_uses(copy, mapping)
        for index, name in enumerate(node.output):
            if name:
                mapping[name] = names.new(f"{name}{suffix}")
                copy.output[index] = mapping[name]
        copy.name = names.new(f"{node.name or node.op_type}{suffix}")
        copies.append(copy)
    return copies, mapping
