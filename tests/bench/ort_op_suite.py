"""Run every integer op with and without the library; prints one line of JSON.

Started by ``ort_versions.py`` inside an environment that has one release of onnxruntime and numpy,
but neither snnquant nor onnx: models and expected outputs come as files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort


def count_equal(folder: Path, library: str) -> tuple[int, int, str]:
    """Return how many ops give the expected outputs, of how many, and the first problem."""
    good, total, problem = 0, 0, ""
    for path in sorted(folder.glob("*.onnx")):
        total += 1
        arrays = np.load(path.with_suffix(".npz"))
        feeds = {k[3:]: arrays[k] for k in arrays.files if k.startswith("in.")}
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            if library:
                options.register_custom_ops_library(library)
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            outputs = session.run(None, feeds)
        except Exception as error:
            problem = problem or f"{path.stem}: {str(error).splitlines()[0]}"
            continue
        wanted = [arrays[f"out.{k}"] for k in range(len(outputs))]
        if all(np.array_equal(a, b) for a, b in zip(outputs, wanted)):  # noqa: B905 - any Python
            good += 1
        else:
            problem = problem or f"{path.stem}: outputs differ"
    return good, total, problem


if __name__ == "__main__":
    cases, library = Path(sys.argv[1]), sys.argv[2]
    print(
        json.dumps(
            {
                "version": ort.__version__,
                "native": count_equal(cases, library),
                "body": count_equal(cases, ""),
            }
        )
    )
