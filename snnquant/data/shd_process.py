"""Serves the samples of an SHD or SSC file, in a process that HDF5 may crash.

It is loaded by its path and imports nothing of the package. Messages on stdout: one letter, the
length as 8 little-endian bytes, the content. ``L``: labels, int64; ``S``: one sample, its times
(float64, seconds) and then as many units (int64); ``E``: an error, as text.
"""

from __future__ import annotations

import sys
from typing import Any

_MEMORY = 2 << 30


def serve(path: str, start: int, stop: int, size: int) -> None:
    """Write the labels and the samples from ``start`` to ``stop`` of a file of ``size`` bytes."""
    _limit_memory(_MEMORY + 16 * size)
    try:
        _serve(path, start, stop)
    except MemoryError:
        _send(b"E", b"it declares more than it holds")
    except Exception as error:  # whatever HDF5 finds
        _send(b"E", " ".join(str(error).split())[:200].encode())


def _serve(path: str, start: int, stop: int) -> None:
    import h5py
    import numpy as np

    with h5py.File(path, "r") as file:
        times, units = (_member(file, f"spikes/{name}", vlen=True) for name in ("times", "units"))
        labels = _member(file, "labels", vlen=False)
        if not len(times) == len(units) == len(labels):
            raise ValueError(
                f"times, units and labels are {len(times)}, {len(units)} and {len(labels)}"
            )
        _send(b"L", labels[()].astype(np.int64).tobytes())
        for index in range(start, stop):
            t, unit = times[index], units[index]
            if len(t) != len(unit):
                raise ValueError(f"sample {index} has {len(t)} times and {len(unit)} units")
            _send(b"S", t.astype(np.float64).tobytes() + unit.astype(np.int64).tobytes())


def _member(file: Any, name: str, *, vlen: bool) -> Any:
    """Return one dataset, checked against the layout and the bytes that the file has for it."""
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 1:
        raise ValueError(f"there is no list {name}")
    if found.is_virtual or found.external:
        raise ValueError(f"{name} lies in another file")
    element = h5py.check_vlen_dtype(found.dtype) if vlen else found.dtype
    kinds = "f" if name.endswith("times") else "iu"
    # h5py gives the entries of lists in another byte order than it says.
    if element is None or element.kind not in kinds or (vlen and not element.isnative):
        raise ValueError(f"{name} has the type {found.dtype}")
    stored = found.id.get_storage_size()
    if found.nbytes > stored * (1032 if found.compression else 1):
        raise ValueError(f"{name} declares {len(found)} entries, which the file cannot hold")
    return found


def _send(kind: bytes, content: bytes) -> None:
    sys.stdout.buffer.write(kind + len(content).to_bytes(8, "little") + content)
    sys.stdout.buffer.flush()


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
