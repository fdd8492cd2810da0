"""A trace as files: npz, or hex memory files that ``$readmemh`` reads, and a description."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant import __version__
from snnquant.data.samples import npz_bytes
from snnquant.errors import DataError, UsageError
from snnquant.files import temporary_beside
from snnquant.trace.layers import LayerTrace, Trace
from snnquant.trace.readme import readme

Array = npt.NDArray[Any]

FORMATS = ("npz", "hex")
#: Of ``trace.json``; what the verb prints has another.
TRACE_SCHEMA = "snnquant.tracefiles/1"
#: Signals whose values are unsigned bytes; all others are int32 in two's complement.
_BYTES = frozenset({"input", "spikes"})


def write_trace(trace: Trace, folder: Path, form: str, model: dict[str, str]) -> list[str]:
    """Write a trace into a new folder, whole or not at all; return the names of its files.

    Args:
        trace: what to write.
        folder: must not exist, or be empty.
        form: "npz" or "hex".
        model: path and hash of the traced model.

    Raises:
        UsageError: the folder holds something, or cannot be written.
    """
    check_folder(folder)
    entries, arrays = _entries(trace)
    files: dict[str, bytes] = {}
    if form == "hex":
        for entry in entries:
            entry["file"] = f"{entry['array'].replace('/', '.')}.hex"
            files[entry["file"]] = _hex(arrays[entry["array"]], entry["bits"])
            entry["sha256"] = hashlib.sha256(files[entry["file"]]).hexdigest()
    else:
        outputs = {f"output/{name}": array for name, array in trace.outputs.items()}
        files["trace.npz"] = npz_bytes({**arrays, **outputs})
    document = {
        "schema": TRACE_SCHEMA,
        "tool": f"snnquant {__version__}",
        "model": model,
        "format": form,
        "samples": trace.samples,
        "layers": [_layer(layer, name) for layer, name in _named(trace)],
        "arrays": entries,
    }
    files["trace.json"] = (json.dumps(document, indent=1) + "\n").encode()
    files["README.md"] = readme(document).encode()
    _write(folder, files)
    return sorted(files)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something, before long work is done for it.

    Raises:
        UsageError: it is no folder, or not empty.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is no empty folder; choose another -o")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {folder}: {error}; choose another -o") from error


def read_hex(path: Path, bits: int, *, signed: bool, shape: tuple[int, ...]) -> Array:
    """Return the integers of a hex memory file.

    Args:
        path: one value per line.
        bits: width of a value.
        signed: two's complement, else unsigned.
        shape: of the array, last axis fastest.

    Raises:
        DataError: the file is missing, or holds other values.
    """
    try:
        values = np.array([int(line, 16) for line in path.read_text("ascii").split()], np.int64)
        too_wide = bool(((values < 0) | (values >= 1 << bits)).any())
        if signed:
            values = np.where(values >= 1 << (bits - 1), values - (1 << bits), values)
        values = values.reshape(shape)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; trace again") from error
    if too_wide:
        raise DataError(f"{path} holds values of more than {bits} bits; trace again")
    return values


def _named(trace: Trace) -> list[tuple[LayerTrace, str]]:
    """Return every layer with a name that is safe in file names, and its own."""
    found: list[tuple[LayerTrace, str]] = []
    for index, layer in enumerate(trace.layers):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", layer.name).strip("_") or "layer"
        label = f"{index:02d}_{name[:80]}"
        found.append((layer, label))
    return found


def _layer(layer: LayerTrace, label: str) -> dict[str, Any]:
    return {
        "name": layer.name,
        "label": label,
        "synapse": layer.synapse,
        "op": layer.op,
        "equation": layer.equation,
        "note": layer.note,
        "attributes": layer.attributes,
    }


def _entries(trace: Trace) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    entries: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for layer, label in _named(trace):
        for kind, held in (("constant", layer.constants), ("signal", layer.signals)):
            for what, array in held.items():
                key = f"{label}/{what}"
                unsigned = kind == "signal" and what in _BYTES
                bits = layer.weight_bits if what == "weight" else 8 if unsigned else 32
                low, high = (0, 255) if unsigned else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
                if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
                    bits, unsigned = 64, False
                arrays[key] = _narrow(array, bits, unsigned)
                entries.append(
                    {
                        "array": key,
                        "layer": layer.name,
                        "what": what,
                        "kind": kind,
                        "shape": list(array.shape),
                        "bits": bits,
                        "signed": not unsigned,
                    }
                )
    return entries, arrays


def _narrow(array: Array, bits: int, unsigned: bool) -> Array:
    width = next(size for size in (8, 16, 32, 64) if bits <= size)
    return array.astype(np.dtype(f"{'u' if unsigned else ''}int{width}"))


def _hex(array: Array, bits: int) -> bytes:
    """Return one value per line in two's complement, last axis fastest."""
    digits = -(-bits // 4)
    mask = (1 << bits) - 1
    return "".join(f"{int(value) & mask:0{digits}x}\n" for value in array.reshape(-1)).encode()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    target = Path(os.path.realpath(folder))
    temporary = temporary_beside(target)
    try:
        temporary.mkdir()
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {folder}: {reason}; choose another -o") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
