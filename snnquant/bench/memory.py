"""Peak memory of a model, measured in a process of its own.

The process prints the peak of its resident memory in bytes, before the model is loaded and after.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError

#: Where Linux tells the peak of this very program; the usual call still counts its parent's.
_STATUS = Path("/proc/self/status")
_RUN = "import sys; from snnquant.bench.memory import measure; measure(*sys.argv[1:])"


def _peak_bytes() -> int:
    """Return the largest resident memory so far."""
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak) * 1024
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else int(most) * 1024


def peak_memory(
    model: bytes, feeds: Mapping[str, npt.NDArray[Any]], *, custom_ops: bool = True, runs: int = 3
) -> int | None:
    """Return by how many bytes loading and running a model raises the peak of a process.

    None where the operating system does not tell.

    Raises:
        ModelError: the model does not run.
    """
    if sys.platform == "win32":
        return None
    with tempfile.TemporaryDirectory(prefix="snnquant-bench-") as folder:
        path, data = Path(folder) / "model.onnx", Path(folder) / "feeds.npz"
        path.write_bytes(model)
        np.savez(data, allow_pickle=False, **feeds)
        arguments = [str(path), str(data), str(runs), str(int(custom_ops))]
        # The same packages as here, whatever lies in the folder that this was started in.
        places = os.pathsep.join(place for place in sys.path if place)
        done = subprocess.run(
            [sys.executable, "-c", _RUN, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": places},
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it stopped"])[-1]
        raise ModelError(f"the model cannot be measured in a process of its own: {last}")
    before, after = map(int, done.stdout.split())
    return after - before


def measure(path: str, data: str, runs: str, custom_ops: str) -> None:
    """Load and run a model in this process; print the peaks before and after."""
    from snnquant.runtime import load_session

    with np.load(data, allow_pickle=False) as file:
        feeds = {name: file[name] for name in file.files}
    before = _peak_bytes()
    session = load_session(path, custom_ops=bool(int(custom_ops)), threads=1)
    for _ in range(int(runs)):
        session.run(None, feeds)
    print(before, _peak_bytes())
