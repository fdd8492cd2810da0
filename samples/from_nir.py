"""From a NIR file to an evaluated integer network, and from a float network to a NIR file.

python samples/from_nir.py [net.nir]     # needs: pip install '.[nir]'

Without a file of your own, the trained digits network of this folder is written as NIR first. Its
input is a static image that is shown for 6 steps: a NIR file does not say so, the options do. A
file that a framework wrote is read in that framework's way; `inspect` prints what was assumed,
and --dt, --reset and --discretize say otherwise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = Path("snnquant-nir")


def snnquant(*arguments: str | Path) -> None:
    """Run one command of snnquant."""
    print("\n$ snnquant", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "snnquant", *map(str, arguments)], check=True)


def main() -> None:
    """Inspect a file of the user's, or take the digits network all the way."""
    if len(sys.argv) > 1:
        snnquant("inspect", sys.argv[1])
        return
    OUT.mkdir(exist_ok=True)
    net = OUT / "digits.nir"
    snnquant("export", HERE / "digits_conv.onnx", "--to", "nir", "-o", net)
    source = (net, "--input-shape", "1,1,8,8", "--timesteps", "6")
    calibration, integers = OUT / "calibration.json", OUT / "digits.int.onnx"
    snnquant("inspect", *source)
    snnquant("calibrate", *source, "--data", HERE / "digits_calibration.npz", "-o", calibration)
    snnquant("convert", *source, "--calibration", calibration, "-o", integers)
    snnquant("eval", integers, "--data", HERE / "digits_test.npz")


if __name__ == "__main__":
    main()
