"""Write NIR's HDF5 layout: a tree of nodes with typed fields."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnquant.files import atomic_write
from snnquant.frontends.nir.tree import Field, RawNode, hdf5

#: Version of the ``nir`` package whose layout this is.
_LAYOUT = "1.0.8"


def write_tree(tree: RawNode, path: str | Path) -> None:
    """Write a graph in one step; equal graphs give equal bytes.

    Raises:
        UsageError: the file cannot be written, or h5py is not installed.
    """
    h5py = hdf5()
    buffer = io.BytesIO()
    text = h5py.string_dtype()
    with h5py.File(buffer, "w") as stream:
        stream.create_dataset("version", data=_LAYOUT, dtype=text)
        _write_node(stream.create_group("node"), tree, text)
    atomic_write(path, buffer.getvalue())


def _write_node(group: Any, node: RawNode, text: Any) -> None:
    """Write one node with all that is in it."""
    group.create_dataset("type", data=node.kind, dtype=text)
    _write_fields(group, node.fields, text)
    if node.metadata:
        _write_fields(group.create_group("metadata"), node.metadata, text)
    if node.kind == "NIRGraph":
        inner = group.create_group("nodes")
        for name, entry in node.nodes.items():
            _write_node(inner.create_group(name), entry, text)
        group.create_dataset("edges", data=np.array(node.edges, object), dtype=text)


def _write_fields(group: Any, fields: Mapping[str, Field], text: Any) -> None:
    """Write numbers compressed, texts and single numbers as they are."""
    for name, held in fields.items():
        if isinstance(held, str):
            group.create_dataset(name, data=held, dtype=text)
        elif held.ndim == 0:
            group.create_dataset(name, data=held)
        else:
            group.create_dataset(name, data=held, compression="gzip")
