"""Weights that an ONNX file keeps in files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx import AttributeProto, TensorProto

from snnquant.errors import ModelError

#: protobuf cannot hold more in one message.
MAX_MODEL_BYTES = 2**31 - 1
#: Tensors may share bytes of a file, but a small file may not fill the memory.
_MAX_SHARING = 4


def load_external_data(model: onnx.ModelProto, folder: Path) -> None:
    """Read the tensors that are stored beside the model into it.

    Args:
        model: a model read without them.
        folder: where the model's file is; nothing outside is read.

    Raises:
        ModelError: a file is missing, too short or outside, or they hold more than 2 GB.
    """
    regions = [
        (tensor, *_region(tensor, folder))
        for tensor in tensors_of(model)
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    total = sum(length for *_, length in regions)
    if total + model.ByteSize() > MAX_MODEL_BYTES:
        raise ModelError(
            f"the external data of the model has {total} bytes, but one ONNX file holds "
            f"{MAX_MODEL_BYTES}; split the network"
        )
    held = sum(path.stat().st_size for path in {path for _, path, _, _ in regions})
    if total > _MAX_SHARING * held:
        raise ModelError(
            f"the weights claim {total} bytes of files that hold {held}; export the model again"
        )
    for tensor, path, offset, length in regions:
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
        except OSError as error:
            raise ModelError(
                f"external data of '{tensor.name}' cannot be read: {error.strerror}"
            ) from error
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor that a model holds, in graphs inside nodes and functions too."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            if attribute.type == AttributeProto.GRAPH:
                yield from _of_graph(attribute.g)
            for graph in attribute.graphs:
                yield from _of_graph(graph)


def _region(tensor: TensorProto, folder: Path) -> tuple[Path, int, int]:
    """Return the file of a tensor, and where in it the tensor stands: offset and length."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    what = f"external data of '{tensor.name}'"
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if posix.is_absolute() or windows.is_absolute() or windows.drive:
        raise ModelError(f"{what}: '{location}' is absolute; it must be beside the model")
    path = folder / location
    try:
        outside = ".." in (*posix.parts, *windows.parts) or not _inside(path, folder)
        if outside:
            raise ModelError(f"{what}: '{location}' is outside of the model's folder; move it in")
        if not path.is_file():
            raise ModelError(f"{what}: there is no file '{location}' beside the model; add it")
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ModelError(f"{what} cannot be read: {error}; export the model again") from error
    offset = _number(entries.get("offset", "0"), what)
    length = _number(entries.get("length", str(max(size - offset, 0))), what)
    if offset + length > size:
        raise ModelError(
            f"{what}: '{location}' has {size} bytes, but {offset + length} are needed; "
            "copy it again whole"
        )
    return path, offset, length


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, links followed."""
    top = os.path.realpath(folder)
    return os.path.commonpath([top, os.path.realpath(path)]) == top


def _number(text: str, what: str) -> int:
    """Return an offset or length, which must not be negative."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise ModelError(f"{what}: '{text}' is no offset or length; export the model again")
    return int(text)
