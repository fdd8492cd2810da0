"""Calibration against running the plain float graph over the same data, in turns.

``python tests/bench/calibration_speed.py [rounds]`` prints, for each sample network, samples per
second of both and their ratio (medians over the rounds). Wanted: 0.9 or more, with the default
method. Plain: the same batches from the same file through a session without any extra output. Both
open their session within the time that is taken.
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
#: Data, and so many samples that a run takes seconds.
NETS = {
    "digits_mlp": ("digits", 400_000),
    "digits_conv": ("digits", 60_000),
    "events_edges": ("events", 25_000),
}
BATCH, WANTED = 64, 0.9


def main() -> int:
    """Measure every network and tell whether the ratio is as wanted."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    good = True
    with TemporaryDirectory() as folder:
        for net, (data, count) in NETS.items():
            with np.load(SAMPLES / f"{data}_calibration.npz") as stored:
                x = np.resize(stored["x"], (count, *stored["x"].shape[1:]))
            np.save(Path(folder) / "x.npy", x)
            dataset = open_data(Path(folder) / "x.npy")
            graph = load_canonical(SAMPLES / f"{net}.onnx")
            settings = CalibrationSettings(AUTO, count, BATCH)
            times: dict[str, list[float]] = {"plain": [], "calibrate": []}
            for _ in range(rounds):
                start = time.perf_counter()
                runner = Runner(ir.to_proto(graph), custom_ops=False)
                for batch in dataset.batches(BATCH):
                    runner.run(batch.inputs)
                middle = time.perf_counter()
                calibrate_model(graph, dataset, settings)
                times["plain"].append(middle - start)
                times["calibrate"].append(time.perf_counter() - middle)
            plain, calibrate = (count / statistics.median(times[k]) for k in times)
            good &= calibrate / plain >= WANTED
            print(
                f"{net:14} plain {plain:10,.0f}/s   calibrate {calibrate:10,.0f}/s   "
                f"ratio {calibrate / plain:.2f}"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
