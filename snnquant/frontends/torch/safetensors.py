"""Reads safetensors files: a JSON header that tells where each tensor's bytes lie."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnquant.errors import ModelError

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
#: Bytes in front of the header that hold its length.
_LENGTH = 8


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return every tensor of a file by name; nothing is allocated beyond the file's own size.

    Raises:
        ModelError: no such file, or it is not what the format asks for.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"there is no checkpoint {path}; check the path") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    length = int.from_bytes(data[:_LENGTH], "little")
    if len(data) < _LENGTH or length > len(data) - _LENGTH:
        raise ModelError(f"{path} is no safetensors file or is truncated; save it again")
    try:
        header = json.loads(data[_LENGTH : _LENGTH + length])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no safetensors file: its header is no JSON") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path} is no safetensors file: its header is no table")
    header.pop("__metadata__", None)
    body = memoryview(data)[_LENGTH + length :]
    return {name: _tensor(name, entry, body, path) for name, entry in header.items()}


def _tensor(name: str, entry: Any, body: memoryview, path: Path) -> Tensor:
    wrong = ModelError(f"{path}: tensor '{name}' is malformed; save it again")
    try:
        kind, shape, (start, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise wrong from error
    numbers = [start, end, *shape] if isinstance(shape, list) else [None]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise wrong
    width = torch.empty((), dtype=kind).element_size()
    if not start <= end <= len(body) or math.prod(shape) * width != end - start:
        raise wrong
    if start == end:
        return torch.empty(shape, dtype=kind)
    flat = np.frombuffer(body[start:end], np.uint8).copy()
    return torch.from_numpy(flat).view(kind).reshape(shape)
