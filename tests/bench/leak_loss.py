"""What rounded leaks cost where membranes are coarse and remember for long, and what is made up.

``python tests/bench/leak_loss.py [--alpha 0.97 0.99] [--seeds 4] [--first 0] [--keep FOLDER]``
trains one network per decay and seed (T = 100, half a minute each), converts it for targets with
16-bit states, and prints accuracy on the test split and, in brackets, the share of equal spikes:
with the nearest weights, searched but for the levels, and searched. Settings were chosen on the
seeds from 10 on, and the limits within which levels move with seeds 0 and 1 seen too; the README
has the seeds from 4 on, by which nothing was chosen.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import onnx_ir as ir
from leak_nets import CALIBRATION, train

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.frontends import load_canonical
from snnquant.numerics import Rounding
from snnquant.quantize_options import choose_options
from snnquant.search import run
from snnquant.target import load_target

#: Constants have the scale of the weights, so that thresholds are few steps.
COARSE = replace(load_target("generic"), name="coarse", state_bits=16, fraction_bits=0)
FLOOR = replace(COARSE, leak_rounding=Rounding.FLOOR)
SHIFT = replace(COARSE, leak_rounding=Rounding.CEIL, leak_form="shift")
#: Name, target, bits of weights.
ROWS = (
    ("floor, 8 bit", FLOOR, 8),
    ("v - (v >> s), 8 bit", SHIFT, 8),
    ("tianjic, 8 bit", load_target("tianjic"), 8),
    ("floor, 4 bit", FLOOR, 4),
)
COLUMNS = ("nearest weights", "searched but for the levels", "searched")
Found = dict[tuple[str, str], list[tuple[float, float]]]


def main() -> None:
    """Train, convert, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.97, 0.99])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the trained networks")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        for alpha in args.alpha:
            found: Found = defaultdict(list)
            seeds = range(args.first, args.first + args.seeds)
            reals = [measure(alpha, seed, args.keep or Path(folder), found) for seed in seeds]
            print(f"\nalpha {alpha}, float {np.mean(reals):.2f} (spread {np.std(reals):.2f})\n")
            print("| target | " + " | ".join(COLUMNS) + " |")
            print("|---" * (len(COLUMNS) + 1) + "|")
            for name, *_ in ROWS:
                cells = [cell(found[name, column]) for column in COLUMNS]
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def cell(found: list[tuple[float, float]]) -> str:
    """Return accuracy with its spread, and the share of equal spikes, in per cent."""
    right, equal = np.array(found).T
    return f"{right.mean():.2f} ± {right.std():.2f} ({equal.mean():.2f})"


def measure(alpha: float, seed: int, folder: Path, found: Found) -> float:
    """Convert one network in every way; return its float accuracy in per cent."""
    made = train(alpha, seed, folder)
    graph = load_canonical(made.model)
    samples, test = open_data(made.calibration), open_data(made.test)
    calibration = calibrate_model(graph, samples, CalibrationSettings(AUTO, CALIBRATION, 64))
    proto, real = ir.to_proto(graph), 0.0
    for name, target, bits in ROWS:
        for column in COLUMNS:
            rounding = "nearest" if column == COLUMNS[0] else "compensated"
            options = choose_options(target, bits, rounding=rounding, samples=True)
            matters = run.leak_matters if column == COLUMNS[2] else lambda *_: False
            with mock.patch.object(run, "leak_matters", matters):
                integers = convert_model(
                    graph,
                    calibration,
                    options,
                    source_sha256="",
                    calibration_sha256="",
                    dataset=samples,
                    samples=CALIBRATION,
                )
            result = evaluate_model(integers.model, test, reference=proto)
            real = 100 * (result.float_accuracy or 0.0)
            numbers = (100 * (result.accuracy or 0.0), 100 * (result.spike_agreement or 0.0))
            found[name, column].append(numbers)
    return real


if __name__ == "__main__":
    main()
