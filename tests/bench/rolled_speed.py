"""How fast rolled-up float graphs are in stock ONNX Runtime, against the exports they came from.

usage: python tests/bench/rolled_speed.py FILE.onnx ... [--rounds N] [--batch N] [--threads N]

Both graphs run in turns on the same random input; printed is the median over the rounds of the
export's time divided by the rolled-up graph's: above 1 the rolled-up graph is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from snnquant import runtime
from snnquant.frontends import load_canonical


def feeds_of(model: onnx.ModelProto, batch: int) -> dict[str, np.ndarray]:
    """Return random inputs."""
    rng = np.random.default_rng(0)
    held = {t.name for t in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name not in held:
            kind = value.type.tensor_type
            shape = [d.dim_value if d.HasField("dim_value") else batch for d in kind.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            found[value.name] = rng.random(shape).astype(dtype)
    return found


def ratio(path: Path, batch: int, rounds: int, threads: int) -> tuple[float, float]:
    """Return (speed of the rolled-up graph relative to the export, milliseconds of the export)."""
    original = onnx.load(path)
    rolled = ir.to_proto(load_canonical(path))
    feeds = feeds_of(original, batch)
    sessions = [
        runtime.load_session(m.SerializeToString(), custom_ops=False, threads=threads)
        for m in (original, rolled)
    ]
    times: list[list[float]] = [[], []]
    for k in range(rounds + 2):
        for session, taken in zip(sessions, times, strict=True):
            repeats = 1 if k < 2 else 5
            started = time.perf_counter()
            for _ in range(repeats):
                session.run(None, feeds)
            taken.append((time.perf_counter() - started) / repeats)
    first, second = (taken[2:] for taken in times)
    return (
        statistics.median(a / b for a, b in zip(first, second, strict=True)),
        1000 * statistics.median(first),
    )


def main() -> None:
    """Print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    found = []
    for path in given.files:
        faster, milliseconds = ratio(path, given.batch, given.rounds, given.threads)
        found.append(faster)
        print(f"{faster:6.2f} x  (export {milliseconds:8.2f} ms)  {path}", flush=True)
    print(f"{statistics.geometric_mean(found):6.2f} x  geometric mean of {len(found)}")


if __name__ == "__main__":
    main()
