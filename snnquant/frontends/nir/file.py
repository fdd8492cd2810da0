"""Read a NIR file in a process of its own, so that no damage to it ends this one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.nir import tree
from snnquant.frontends.nir.heaps import heaps_end
from snnquant.frontends.nir.tree import MISSING, RawNode, unpack

#: Loads a module by its path, without the packages around it, which import much.
_CHILD = """
import importlib.util, json, sys
sys.path[:] = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("tree", sys.argv[2])
module = sys.modules["tree"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.serve(sys.argv[3])
"""
#: Seconds for any file, and bytes that a second is enough for on a slow disk.
_PATIENCE, _BYTES_PER_SECOND = 60, 2_000_000


def packed_elsewhere(path: Path, seconds: float) -> bytes:
    """Return the packed graph of a file as another process gives it; cut off where that crashes.

    Raises:
        TimeoutExpired: it takes longer than it may.
    """
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), tree.__file__, str(path)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
    )
    return result.stdout


def read_tree(path: Path) -> RawNode:
    """Return the graph that a NIR file holds.

    Raises:
        ModelError: no such file, not HDF5, truncated, or not the layout of NIR.
        UsageError: h5py is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise UsageError(MISSING)
    if not path.exists():
        raise ModelError(f"there is no model file {path}; check the path")
    if not path.is_file():
        raise ModelError(f"{path} is no regular file; give the path of a .nir file")
    damaged = f"{path} is not a NIR file or is damaged"
    try:
        size = path.stat().st_size
        if not size or not heaps_end(path):
            raise ModelError(f"{damaged} (no HDF5, or a heap without end); write it again")
        found = unpack(packed_elsewhere(path, _PATIENCE + size / _BYTES_PER_SECOND))
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{damaged} (HDF5 finds no end); write it again") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{damaged} (HDF5 crashes on it); write it again") from error
    if "tree" not in found:
        kind = UsageError if found.get("error") == UsageError.__name__ else ModelError
        raise kind(found.get("message", damaged))
    read: RawNode = found["tree"]
    return read
