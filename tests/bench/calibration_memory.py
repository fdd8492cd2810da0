"""Peak memory of a calibration with 1,000 and with 100,000 samples, each in a process of its own.

``python tests/bench/calibration_memory.py`` prints both and their ratio, and fails above 1.10:
memory holds one batch and a fixed number of bins, whatever the number of samples.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SAMPLES = (1_000, 100_000)
LIMIT = 1.10
SHAPE = (2, 32, 32)
STEPS = 4


def peak_kib() -> int:
    """Return the peak of this process; Linux's ``ru_maxrss`` may be that of its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def calibrate(folder: Path, count: int) -> None:
    """Calibrate a small convolutional network and print the peak memory in KiB."""
    from graphs import Graph

    from snnquant.calibrate import calibrate_model
    from snnquant.calibration import CalibrationSettings
    from snnquant.data import open_data
    from snnquant.passes import canonicalise

    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", ["B", *SHAPE])
    y = g.op("Conv", x, g.const(rng.normal(size=(8, 2, 3, 3))), strides=[2, 2])
    y = g.op("Unsqueeze", y, g.const([0], np.int64))
    y = g.op("Expand", y, g.const([STEPS, 1, 1, 1, 1], np.int64))
    spikes = g.neuron(y, alpha=0.9)[0]
    y = g.op("AveragePool", g.reshape(spikes, [-1, 8, 15, 15]), kernel_shape=[5, 5], strides=[5, 5])
    y = g.op("Gemm", g.reshape(y, [-1, 72]), g.const(rng.normal(size=(72, 10))))
    g.output(g.neuron(g.reshape(y, [STEPS, -1, 10]), "LI", alpha=0.9)[0], 3)
    settings = CalibrationSettings("mse", count, 32)
    dataset = open_data(folder / f"{count}.npz")
    found = calibrate_model(canonicalise(g.model()), dataset, settings, threads=1)
    assert found.settings.samples == count
    assert found.tensors["x"].count == count * int(np.prod(SHAPE))
    print(peak_kib())


def main() -> int:
    """Measure both sizes in processes of their own; return the exit status."""
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        for count in SAMPLES:
            file = Path(name) / f"{count}.npz"
            x = np.random.default_rng(0).standard_normal((count, *SHAPE), np.float32)
            np.savez(file, x=x)
            size = file.stat().st_size
            del x
            result = subprocess.run(
                [sys.executable, __file__, name, str(count)],
                capture_output=True,
                text=True,
                check=True,
            )
            peaks.append(int(result.stdout))
            print(f"{count:>6} samples ({size / 2**20:6.1f} MiB): peak {peaks[-1] / 1024:.1f} MiB")
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f} (limit {LIMIT:.2f})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        calibrate(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        sys.exit(main())
