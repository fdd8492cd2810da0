"""Reading a long unrolled graph: time, memory, and whether both grow linearly with its nodes.

usage: python tests/bench/long_unrolled.py [STEPS ...]      (default 25 50 100)

The graph is what an exporter makes of a time loop: four layers of leaky neurons with synapses
between them, one of them with a synaptic current, written out step by step, about 100 nodes a step
with the noise of exporters (identities, casts, constants). Each size runs in a process of its own:
``snnquant import``, then ``calibrate`` and ``convert`` on random data.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = (64, 64, 64, 10)
INPUTS = 32


class Unrolled:
    """Builds the graph."""

    def __init__(self, steps: int) -> None:
        rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {
            "zero": np.float32(0),
            "one": np.float32(1),
            "alpha": np.float32(0.9),
            "alpha_syn": np.float32(0.7),
            "axes": np.zeros(1, np.int64),
        }
        sizes = (INPUTS, *LAYERS)
        for k, (rows, columns) in enumerate(itertools.pairwise(sizes)):
            weight = rng.normal(0.1, 0.6 / np.sqrt(rows), (rows, columns)).astype(np.float32)
            self.constants[f"w{k}"] = weight
            self.constants[f"b{k}"] = rng.normal(0, 0.1, columns).astype(np.float32)
        membranes: list[str | None] = [None] * len(LAYERS)
        synaptic: str | None = None
        stacked = []
        for t in range(steps):
            self.constants[f"step{t}"] = np.int64(t)
            value = self.add("Gather", "x", f"step{t}", axis=0)
            for k in range(len(LAYERS)):
                current = self.add("Gemm", value, f"w{k}", f"b{k}")
                if k == 1:
                    kept = current if synaptic is None else self.add("Mul", "alpha_syn", synaptic)
                    synaptic = current if synaptic is None else self.add("Add", kept, current)
                    current = synaptic
                membrane = membranes[k]
                if membrane is not None:
                    over = self.add("Sub", membrane, "one")
                    fired = self.add("Cast", self.add("Greater", over, "zero"), to=1)
                    kept = self.add("Mul", self.add("Identity", "alpha"), membrane)
                    summed = self.add("Add", kept, current)
                    current = self.add("Sub", summed, self.add("Mul", fired, "one"))
                membranes[k] = current
                over = self.add("Sub", current, "one")
                value = self.add("Cast", self.add("Greater", over, "zero"), to=1)
                for _ in range(8):  # what exporters leave behind
                    value = self.add("Identity", value)
                    value = self.add("Mul", value, "one")
            stacked.append(self.add("Unsqueeze", value, "axes"))
        every = self.add("Concat", *stacked, axis=0)
        self.nodes.append(helper.make_node("ReduceSum", [every, "axes"], ["y"], keepdims=0))

    def add(self, op: str, *inputs: str, **attributes: int) -> str:
        """Append a node and return its output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"n{name}", **attributes))
        return name

    def model(self, steps: int) -> onnx.ModelProto:
        """Return the model."""
        graph = helper.make_graph(
            self.nodes,
            "unrolled",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, "batch", INPUTS])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", LAYERS[-1]])],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        return model


def run(*arguments: str) -> tuple[float, float]:
    """Run a verb in a process of its own; return (seconds, peak memory in MB)."""
    started = time.perf_counter()
    code = (
        "import resource, sys\n"
        "from snnquant.cli.main import run\n"
        "status = run(sys.argv[1:])\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{arguments[0]}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return seconds, int(done.stderr.rsplit("PEAK", 1)[1]) / 1024


def measure(steps: int, folder: Path) -> dict[str, float]:
    """Measure one size."""
    path = folder / "net.onnx"
    model = Unrolled(steps).model(steps)
    onnx.save(model, path)
    rng = np.random.default_rng(1)
    data = folder / "data.npz"
    np.savez(data, x=rng.random((64, steps, INPUTS), np.float32), y=rng.integers(0, 10, 64))
    result: dict[str, float] = {
        "steps": steps,
        "nodes": len(model.graph.node),
        "file_mb": path.stat().st_size / 2**20,
    }
    calibration = str(folder / "calibration.json")
    for verb, arguments in (
        ("inspect", [str(folder / "small.onnx")]),
        ("import", [str(path), "-o", str(folder / "c.onnx")]),
        ("calibrate", [str(path), "--data", str(data), "-o", calibration]),
        ("convert", [str(path), "--calibration", calibration, "-o", str(folder / "i.onnx")]),
    ):
        if verb == "inspect":
            onnx.save(Unrolled(6).model(6), folder / "small.onnx")
        seconds, peak = run(verb, *arguments)
        result[f"{verb}_s"] = round(seconds, 2)
        result[f"{verb}_mb"] = round(peak, 1)
    return result


def main() -> None:
    """Measure all sizes and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", type=int, default=[25, 50, 100])
    for steps in parser.parse_args().steps:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(steps, Path(folder))), flush=True)
    print(f"(this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB)")


if __name__ == "__main__":
    main()
