"""One built library in several releases of ONNX Runtime: all integer ops, with and without it.

``python tests/bench/ort_versions.py [--work FOLDER] [VERSION ...]`` makes one virtual environment
per release and prints a Markdown table. "newest" is what pip takes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS.parent))
sys.path.insert(0, str(TESTS))

from fused_cases import FUSED_OPS, plain_case  # noqa: E402
from fused_cases import model_of as fused_model_of  # noqa: E402
from fused_cases import reference as fused_reference  # noqa: E402
from single_op import Case, model_of, reference  # noqa: E402
from strategies import INTEGER_OPS, drawing_uniformly, make_feeds  # noqa: E402

from snnquant.ops import schemas  # noqa: E402
from snnquant.runtime import get_library_path  # noqa: E402

VERSIONS = ("1.17.3", "1.20.1", "1.23.2", "newest")
#: Newest Python for which a release has wheels, and the numpy that it was built for.
PYTHON_OF = {"1.17": ("3.12", "numpy<2"), "1.20": ("3.13", "numpy"), "1.23": ("3.13", "numpy")}


def write_cases(folder: Path) -> None:
    """Write a model, its inputs and the reference's outputs for every integer op."""
    for op in INTEGER_OPS:
        schema = schemas()[op]
        attributes = {a.name: max(a.low, 0) for a in schema.attributes}
        attributes |= {"leak_shift": 8, "state_bits": 28}
        rng = np.random.default_rng(len(op))
        feeds = make_feeds(
            schema, attributes, (6, 3, 4, 50), rng, draw=drawing_uniformly(rng), reach=1000
        )
        case = Case(op, attributes, feeds)
        _write(folder, op, model_of(case), feeds, reference(case))
    for op in FUSED_OPS:
        fused = plain_case(op)
        model = fused_model_of(fused, held=False)
        _write(folder, op, model, fused.feeds, fused_reference(fused))


def _write(
    folder: Path,
    op: str,
    model: bytes,
    feeds: Mapping[str, np.ndarray],
    results: Sequence[np.ndarray],
) -> None:
    (folder / f"{op}.onnx").write_bytes(model)
    arrays = {f"in.{name}": value for name, value in feeds.items()}
    arrays |= {f"out.{k}": value for k, value in enumerate(results)}
    np.savez(folder / f"{op}.npz", **arrays)


def find_python(newest: str) -> str:
    """Return this Python, or the newest on the search path that is not newer than ``newest``."""
    limit = int(newest.split(".")[1])
    if sys.version_info[1] <= limit:
        return sys.executable
    for minor in range(limit, 8, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    return sys.executable


def environment(version: str, work: Path) -> Path:
    """Return the Python of an environment with one release, making it where it is absent."""
    folder = work / f"ort-{version}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    newest, numpy_wanted = PYTHON_OF.get(version.rpartition(".")[0], ("3.99", "numpy"))
    if not python.exists():
        subprocess.run([find_python(newest), "-m", "venv", str(folder)], check=True)
        wanted = "onnxruntime" if version == "newest" else f"onnxruntime=={version}"
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", wanted, numpy_wanted], check=True
        )
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "ort-versions")
    options = parser.parse_args()
    cases = options.work / "cases"
    cases.mkdir(parents=True, exist_ok=True)
    write_cases(cases)
    print("| onnxruntime | equal with the library | equal without | first problem |")
    print("|---|---|---|---|")
    for version in options.versions:
        python = environment(version, options.work)
        script = Path(__file__).with_name("ort_op_suite.py")
        done = subprocess.run(
            [str(python), str(script), str(cases), get_library_path()],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            print(f"| {version} | crashed ({done.returncode}) | | {done.stderr[-200:]!r} |")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        native, body = result["native"], result["body"]
        print(
            f"| {result['version']} | {native[0]} of {native[1]} | {body[0]} of {body[1]} "
            f"| {native[2] or body[2] or '-'} |"
        )


if __name__ == "__main__":
    main()
