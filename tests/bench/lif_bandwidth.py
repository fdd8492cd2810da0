"""LIF alone against memcpy of the same bytes, on arrays far beyond the caches, one thread.

``python tests/bench/lif_bandwidth.py [--megabytes 256] [--steps 16] [--repeats 11]``. Runs are
interleaved and medians are compared, so that a change of the machine's speed hits all alike. A
step moves 5 bytes per neuron (int32 in, uint8 out); memcpy moves as many, half of them written.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from snnquant.ops import DOMAIN, OPSET_VERSION, schemas
from snnquant.runtime import load_session
from snnquant.target import load_target

RESETS = {"hard": 0, "soft": 1}
BYTES_PER_STEP = 5
WANTED_RATIO = 0.6


def aligned(count: int, dtype: type) -> np.ndarray:
    """Return an array that starts at a page, as large allocations of a runtime do."""
    size = count * np.dtype(dtype).itemsize
    raw = np.zeros(size + 4096, np.uint8)
    start = -raw.ctypes.data % 4096
    return raw[start : start + size].view(dtype)


def lif_model(target_name: str, reset: int, leak_bias: int) -> bytes:
    """Return a model of one QLIF with constants of usual size."""
    target = load_target(target_name)
    schema = schemas()["QLIF"]
    values = {"alpha": int(0.9 * 2**target.leak_shift), "fire_above": 300, "reset_by": 300}
    values["leak_bias"] = leak_bias
    constants = [
        numpy_helper.from_array(np.array([values.get(name, 0)], np.int32), name)
        for name in schema.parameter_names
    ]
    node = helper.make_node(
        "QLIF",
        [p.name for p in schema.inputs],
        ["spikes"],
        domain=DOMAIN,
        reset=reset,
        reset_after_leak=0,
        max_spikes=1,
        refractory=0,
        leak_shift=target.leak_shift,
        leak_rounding=int(target.leak_rounding),
        current_shift=0,
        state_bits=target.state_bits,
    )
    graph = helper.make_graph(
        [node],
        "lif",
        [helper.make_tensor_value_info("current", onnx.TensorProto.INT32, ["T", "B", "N"])],
        [helper.make_tensor_value_info("spikes", onnx.TensorProto.UINT8, ["T", "B", "N"])],
        constants,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, OPSET_VERSION)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def contenders(megabytes: int, steps: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is timed, memcpy first; every one moves the same number of bytes."""
    neurons = megabytes * 2**20 // BYTES_PER_STEP // steps // 64 * 64
    moved = neurons * steps * BYTES_PER_STEP
    source, copy = aligned(moved // 2, np.uint8), aligned(moved // 2, np.uint8)
    source[:], copy[:] = 1, 0
    memcpy = ctypes.CDLL(ctypes.util.find_library("c")).memcpy
    memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    yield "memcpy", lambda: memcpy(copy.ctypes.data, source.ctypes.data, source.size)

    shape = (steps, 1, neurons)
    current = aligned(steps * neurons, np.int32).reshape(shape)
    current[:] = np.random.default_rng(0).integers(-100, 200, shape, dtype=np.int32)
    spikes = aligned(steps * neurons, np.uint8).reshape(shape)
    for target in ("generic", "tianjic"):
        for reset_name, reset in RESETS.items():
            for leak_bias in (0, 3):
                session = load_session(lif_model(target, reset, leak_bias), threads=1)
                binding = session.io_binding()
                binding.bind_cpu_input("current", current)
                binding.bind_output("spikes", "cpu", 0, np.uint8, shape, spikes.ctypes.data)
                name = f"{target} {reset_name}{' bias' if leak_bias else ''}"
                # The binding only borrows the arrays, so what runs it holds them.
                held = (current, spikes)
                yield name, lambda s=session, b=binding, _=held: s.run_with_iobinding(b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    runs = dict(contenders(options.megabytes, options.steps))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    copying = statistics.median(times["memcpy"])
    print(f"{options.megabytes} MB, T = {options.steps}, one thread; wanted: {WANTED_RATIO:.2f}")
    print("| what | median ms | best ms | of memcpy |")
    print("|---|---|---|---|")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"| {name} | {median * 1e3:.1f} | {min(taken) * 1e3:.1f} | {copying / median:.2f} |")


if __name__ == "__main__":
    main()
