"""Read the HDF5 tree of a NIR file, never allocating more than the file can hold.

h5py is used instead of the ``nir`` package, which reads whatever sizes a file declares, follows
links to other files, and checks by assertions. This module runs in a process of its own, because
the HDF5 library may crash on a damaged file; it is loaded without its package, and imports little.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError, UsageError

Array = npt.NDArray[Any]
Field = Array | str

MISSING = "NIR files need the package h5py; install it with: pip install 'snnquant[nir]'"
#: Most bytes that one byte of deflate can become.
_MAX_DEFLATE_RATIO = 1032
_MAX_DEPTH = 16
_MAX_NODES = 100_000
_MAX_TEXT = 4096


@dataclass
class RawNode:
    """One node of the file: its type, its fields, and for a graph its nodes and edges."""

    kind: str
    fields: dict[str, Field] = field(default_factory=dict)
    metadata: dict[str, Field] = field(default_factory=dict)
    nodes: dict[str, RawNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)


def hdf5() -> ModuleType:
    """Return h5py.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise UsageError(MISSING) from error
    return h5py  # type: ignore[no-any-return]


def load_tree(path: Path) -> RawNode:
    """Return the graph that a NIR file holds, read in this process.

    Raises:
        ModelError: not HDF5, truncated, or not the layout of NIR.
        UsageError: h5py is not installed.
    """
    h5py = hdf5()
    with _one_line(path), h5py.File(path, "r") as stream:
        reader = _Reader(h5py, path, path.stat().st_size)
        if "node" not in stream:
            raise ModelError(f"{path} is HDF5 but holds no NIR graph ('node'); write it with NIR")
        return reader.node(reader.group(stream, "node"), "node", 0)


def serve(path: str) -> None:
    """Write to stdout what :func:`packed_tree` gives."""
    for part in packed_tree(path):
        sys.stdout.buffer.write(part)


def packed_tree(path: str) -> list[bytes]:
    """Return the graph of a file, or why it cannot be read, for :func:`unpack`."""
    parts: list[bytes] = []
    header: dict[str, Any]
    try:
        header = {"tree": _pack(load_tree(Path(path)), parts)}
    except (ModelError, UsageError) as error:
        header = {"error": type(error).__name__, "message": str(error)}
    text = json.dumps(header).encode()
    return [len(text).to_bytes(8, "little"), text, *parts]


def _pack(node: RawNode, parts: list[bytes]) -> dict[str, Any]:
    """Return a node as JSON, its arrays by type, shape and size in ``parts``."""

    def packed(fields: dict[str, Field]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, held in fields.items():
            if isinstance(held, str):
                found[name] = held
            else:
                found[name] = [held.dtype.str, list(held.shape)]
                parts.append(held.tobytes())
        return found

    return {
        "kind": node.kind,
        "fields": packed(node.fields),
        "metadata": packed(node.metadata),
        "nodes": {name: _pack(inner, parts) for name, inner in node.nodes.items()},
        "edges": node.edges,
    }


def unpack(raw: bytes) -> dict[str, Any]:
    """Return what :func:`packed_tree` gave, joined, with ``tree`` as the graph if it could be read.

    Raises:
        ValueError, LookupError, TypeError: it is cut off.
    """
    length = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8 : 8 + length])
    place = 8 + length

    def unpacked(fields: dict[str, Any]) -> dict[str, Field]:
        nonlocal place
        found: dict[str, Field] = {}
        for name, held in fields.items():
            if isinstance(held, str):
                found[name] = held
                continue
            dtype, shape = np.dtype(held[0]), held[1]
            count = math.prod(shape)
            found[name] = np.frombuffer(raw, dtype, count, place).reshape(shape)
            place += count * dtype.itemsize
        return found

    def node(entry: dict[str, Any]) -> RawNode:
        return RawNode(
            entry["kind"],
            unpacked(entry["fields"]),
            unpacked(entry["metadata"]),
            {name: node(inner) for name, inner in entry["nodes"].items()},
            [(a, b) for a, b in entry["edges"]],
        )

    return header | ({"tree": node(header["tree"])} if "tree" in header else {})


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into one sentence."""
    try:
        yield
    except (
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{path} is not a NIR file or is damaged ({reason}); write it again"
        ) from error


class _Reader:
    """Reads groups and datasets within a budget of bytes that the file's size sets."""

    def __init__(self, h5py: ModuleType, path: Path, size: int) -> None:
        self.h5py, self.path = h5py, path
        self.size = size
        self.budget = size * _MAX_DEFLATE_RATIO
        self.count = 0

    def refuse(self, what: str) -> ModelError:
        """Return the error that says what is wrong with the file."""
        return ModelError(f"{self.path}: {what}; write the file again")

    def member(self, group: Any, name: str) -> Any:
        """Return what a group holds under a name, which may not be a link to elsewhere."""
        if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
            raise self.refuse(f"'{group.name}/{name}' is a link, not data")
        return group[name]

    def group(self, parent: Any, name: str) -> Any:
        """Return a group inside another one."""
        found = self.member(parent, name)
        if not isinstance(found, self.h5py.Group):
            raise self.refuse(f"'{parent.name}/{name}' is data where a group is expected")
        return found

    def node(self, group: Any, where: str, depth: int) -> RawNode:
        """Return a node with all that is in it."""
        self.count += 1
        if depth > _MAX_DEPTH or self.count > _MAX_NODES:
            raise self.refuse(f"it has more than {_MAX_DEPTH} levels or {_MAX_NODES} nodes")
        if "type" not in group:
            raise self.refuse(f"'{where}' has no type")
        kind = self.value(group, "type", where)
        if not isinstance(kind, str):
            raise self.refuse(f"the type of '{where}' is no text")
        if depth == 0 and kind != "NIRGraph":
            raise self.refuse(f"it holds one {kind} node, not a graph")
        found = RawNode(kind)
        for name in group:
            if name == "type":
                continue
            if name == "metadata":
                inner = self.group(group, name)
                found.metadata = {
                    key: self.value(inner, key, f"{where}/metadata")
                    for key in inner
                    if isinstance(self.member(inner, key), self.h5py.Dataset)
                }
            elif kind == "NIRGraph" and name == "nodes":
                inner = self.group(group, name)
                for key in inner:
                    found.nodes[key] = self.node(self.group(inner, key), key, depth + 1)
            elif kind == "NIRGraph" and name == "edges":
                found.edges = self.edges(self.member(group, name), where)
            elif isinstance(self.member(group, name), self.h5py.Dataset):
                found.fields[name] = self.value(group, name, where)
        return found

    def value(self, group: Any, name: str, where: str) -> Field:
        """Return a dataset: numbers as an array, or one text."""
        dataset = self.member(group, name)
        place = f"'{name}' of '{where}'"
        if not isinstance(dataset, self.h5py.Dataset):
            raise self.refuse(f"{place} is a group where data is expected")
        if dataset.shape is None:
            return np.zeros(0)
        self.charge(dataset, place)
        if dataset.dtype.kind in "OS":
            if dataset.size != 1:
                raise self.refuse(f"{place} is a list of texts where numbers are expected")
            return self.text(np.asarray(dataset[()], object).reshape(-1)[0], place)
        if dataset.dtype.kind not in "biuf":
            raise self.refuse(f"{place} has the type {dataset.dtype}, not numbers")
        return np.asarray(dataset[()])

    def edges(self, dataset: Any, where: str) -> list[tuple[str, str]]:
        """Return pairs of node names; read one by one, because texts may share their bytes."""
        place = f"'edges' of '{where}'"
        if not isinstance(dataset, self.h5py.Dataset):
            raise self.refuse(f"{place} is a group where data is expected")
        if not dataset.shape or 0 in dataset.shape:
            return []
        if dataset.ndim != 2 or dataset.shape[1] != 2 or dataset.dtype.kind not in "OS":
            raise self.refuse(f"{place} is no list of pairs of names")
        self.charge(dataset, place)
        if len(dataset) > _MAX_NODES:
            raise self.refuse(f"{place} has more than {_MAX_NODES} entries")
        return [
            (self.text(a, place), self.text(b, place))
            for a, b in (dataset[row] for row in range(len(dataset)))
        ]

    def text(self, raw: Any, place: str) -> str:
        """Return one text of a file."""
        found = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        if not isinstance(found, str) or len(found) > _MAX_TEXT:
            raise self.refuse(f"{place} is no short text")
        return found

    def charge(self, dataset: Any, place: str) -> None:
        """Refuse a dataset that declares more than its bytes in the file can hold."""
        if dataset.is_virtual or dataset.external:
            raise self.refuse(f"{place} lies in another file")
        stored = dataset.id.get_storage_size()
        ratio = _MAX_DEFLATE_RATIO if dataset.compression else 1
        self.budget -= dataset.nbytes
        if stored > self.size or dataset.nbytes > stored * ratio or self.budget < 0:
            raise self.refuse(
                f"{place} declares {list(dataset.shape)} values, which the file cannot hold"
            )
