"""Reads ``.pt2`` archives without running anything that they say.

``torch.export.load`` unpickles objects, evaluates expressions over sizes, imports modules that a
tree of arguments names, and calls any function of torch that a node names. So the archive is
checked part by part, and only a copy of what was found harmless is given to torch.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from snnquant.errors import ModelError, first_line

_MODEL = "models/model.json"
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
_SAMPLE = "data/sample_inputs/model.pt"
#: Small records that say what kind of archive it is.
_FORMAT = frozenset({"archive_format", "archive_version", "byteorder", ".data/version"})
_TENSOR = re.compile(r"data/(weights/weight_\d+|constants/tensor_\d+)")
_NAME = re.compile(r"[A-Za-z0-9_.]*")
#: Sizes: symbols, numbers, and what torch computes with them.
_SYMBOL = r"Symbol\('[su]\d+'(?:, (?:positive|integer|nonnegative)=True)*\)"
_EXPRESSION = re.compile(
    rf"(?:{_SYMBOL}|[su]\d+|\d+|[ +\-*/(),]|(?:Integer|Add|Mul|Pow|Max|Min|Mod|FloorDiv|CleanDiv"
    r"|PythonMod)\()*"
)
_DUNDER = "__(and|or|xor|lshift|rshift)__"
_TARGET = re.compile(
    rf"torch\.ops\.(aten|prims|sj_[a-z_]+)\.({_DUNDER}|(?!__)[A-Za-z_]\w*)\.(?!__)[A-Za-z_]\w*"
    r"|torch\.ops\.higher_order\.(scan|while_loop|cond|map_impl|wrap_with_set_grad_enabled)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(ceil|floor|trunc)|torch\.sym_[a-z]+"
)
#: Containers of arguments and outputs.
_CONTAINERS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})
_TEXT = frozenset({"as_string", "torch_version"})


def load_program(path: Path) -> ExportedProgram:
    """Return the program that ``torch.export.save`` wrote.

    Raises:
        ModelError: no such file, not such an archive, or it holds more than a graph and tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            copy = _harmless(archive, path)
    except FileNotFoundError as error:
        raise ModelError(f"there is no model file {path}; check the path") from error
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError, NotImplementedError) as error:
        raise ModelError(
            f"{path} is no archive of torch.export: {first_line(error)}; write it with "
            "torch.export.save"
        ) from error
    try:
        return torch.export.load(copy)
    except Exception as error:
        raise ModelError(
            f"{path}: torch cannot load the program: {first_line(error)}; export it with torch "
            f"{torch.__version__}"
        ) from error


def _harmless(archive: zipfile.ZipFile, path: Path) -> io.BytesIO:
    """Return a copy of the archive with all that loading it may run taken out, or refuse it."""
    records = _records(archive, path)
    if _MODEL not in records or not all(name in records for name in _CONFIGS):
        raise ModelError(
            f"{path} is no archive of torch.export, or of an older torch; write it with "
            "torch.export.save"
        )
    graph = _Checked(str(path)).graph(json.loads(archive.read(records[_MODEL])))
    copied: dict[str, bytes] = {_MODEL: json.dumps(graph).encode(), _SAMPLE: b""}
    for name, tensor in _CONFIGS.items():
        config = json.loads(archive.read(records[name]))
        folder = name.rpartition("/")[0]
        sizes = {n: records[n].file_size for n in records if n.startswith(f"{folder}/")}
        _check_config(config, tensor, folder, sizes, path)
        copied[name] = json.dumps(config).encode()
    for name, entry in records.items():
        if name in _FORMAT or _TENSOR.fullmatch(name):
            copied[name] = archive.read(entry)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as written:
        for name, data in copied.items():
            written.writestr(f"program/{name}", data)
    buffer.seek(0)
    return buffer


def _records(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the records by their names behind the archive's folder."""
    records: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ModelError(
                f"{path}: its records are compressed, which torch.export.save never does"
            )
        _, _, name = entry.filename.partition("/")
        records[name] = entry
    return records


def _check_config(
    config: Any, tensor: re.Pattern[str], folder: str, sizes: Mapping[str, int], path: Path
) -> None:
    """Raise ModelError for tensors that are pickled, or that claim more than the file holds."""
    for name, entry in config["config"].items():
        record, meta = entry["path_name"], entry["tensor_meta"]
        if entry["use_pickle"] or meta is None or not tensor.fullmatch(record):
            raise ModelError(
                f"{path}: '{name}' is no plain tensor, and loading it would run code; "
                "export a model with dense tensors only"
            )
        held = sizes.get(f"{folder}/{record}")
        dims = [size["as_int"] for size in meta["sizes"]]
        if held is None or (held == 0 and math.prod(dims) != 0):
            raise ModelError(f"{path}: '{name}' has no data; write the file again")


class _Checked:
    """Checks every text of a serialized program; what only describes is left out.

    Args:
        where: path, for errors.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def graph(self, program: Any) -> Any:
        """Return a program without metadata and guards, or raise ModelError."""
        program["guards_code"] = []
        program["graph_module"]["metadata"] = {}
        program["graph_module"]["treespec_namedtuple_fields"] = {}
        return self._value("", program)

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._text("", name): self._entry(name, held) for name, held in value.items()}
        if isinstance(value, list):
            return [self._value(key, held) for held in value]
        return self._text(key, value) if isinstance(value, str) else value

    def _entry(self, name: str, value: Any) -> Any:
        if name == "metadata":
            held = value.get("nn_module_stack") if isinstance(value, dict) else None
            return {"nn_module_stack": held} if isinstance(held, str) else {}
        if name in ("in_spec", "out_spec") and isinstance(value, str):
            self._containers(json.loads(value)[1])
            return value
        return self._value(name, value)

    def _containers(self, spec: Any) -> None:
        context = spec["context"]
        keys = json.loads(context) if isinstance(context, str) else context
        plain = keys is None or (
            isinstance(keys, list) and all(isinstance(entry, (str, int)) for entry in keys)
        )
        if spec["type"] not in _CONTAINERS or not plain:
            raise ModelError(
                f"{self.where}: an input or output is a {spec['type']}; "
                "use tensors, tuples and dicts"
            )
        for child in spec["children_spec"]:
            self._containers(child)

    def _text(self, key: str, text: str) -> str:
        pattern = {"expr_str": _EXPRESSION, "target": _TARGET}.get(key, _NAME)
        if key in _TEXT or pattern.fullmatch(text):
            return text
        what = "calls" if key == "target" else "holds"
        raise ModelError(
            f"{self.where}: the program {what} {text[:60]!r}, which no exported network needs; "
            "it is not loaded"
        )
