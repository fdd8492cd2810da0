"""Calibration against running the plain float graph over the same data, in turns.

``python tests/bench/calibration_speed.py [rounds]`` prints, for each sample network, samples per
second of both and their ratio (medians over the rounds). Wanted: 0.9 or more, with the default
method. Plain: the same batches from the same file through a session without any extra output.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.data import open_data
from snnquant.frontends import load_canonical
from snnquant.instrument import Runner

SAMPLES = Path(__file__).parents[2] / "samples"
NETS = {"digits_mlp": "digits", "digits_conv": "digits", "events_edges": "events"}
#: So many samples that what happens once does not count.
COUNT, BATCH, WANTED = 40_000, 64, 0.9


def main() -> int:
    """Measure every network and tell whether the ratio is as wanted."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    good = True
    with TemporaryDirectory() as folder:
        for net, data in NETS.items():
            with np.load(SAMPLES / f"{data}_calibration.npz") as stored:
                x = np.resize(stored["x"], (COUNT, *stored["x"].shape[1:]))
            np.save(Path(folder) / "x.npy", x)
            dataset = open_data(Path(folder) / "x.npy")
            graph = load_canonical(SAMPLES / f"{net}.onnx")
            runner = Runner(ir.to_proto(graph), custom_ops=False)
            settings = CalibrationSettings(AUTO, COUNT, BATCH)
            times: dict[str, list[float]] = {"plain": [], "calibrate": []}
            for _ in range(rounds):
                start = time.perf_counter()
                for batch in dataset.batches(BATCH):
                    runner.run(batch.inputs)
                middle = time.perf_counter()
                calibrate_model(graph, dataset, settings)
                times["plain"].append(middle - start)
                times["calibrate"].append(time.perf_counter() - middle)
            plain, calibrate = (COUNT / statistics.median(times[k]) for k in times)
            good &= calibrate / plain >= WANTED
            print(
                f"{net:14} plain {plain:10,.0f}/s   calibrate {calibrate:10,.0f}/s   "
                f"ratio {calibrate / plain:.2f}"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
