"""Accuracy at few bits, for every method of rounding, as the Markdown table of the README.

``python tests/bench/low_bits.py [--seeds 4] [--first 0] [--keep FOLDER]`` trains both networks
once per seed (half a minute each), quantizes them with the first 256 training samples and counts
on the test split. Nothing is chosen by what it finds: settings were chosen on the seeds from 10 on.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir as ir
from low_bit_nets import CALIBRATION, NETS, train

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.frontends import load_canonical
from snnquant.quantize_options import choose_options
from snnquant.rounding import METHODS
from snnquant.target import load_target

BITS = (8, 4, 3, 2)
GENERIC = load_target("generic")
#: The framework's own rule: one scale per layer from the largest weight, nothing searched.
SEED_RULE = "seed's rule"
ROWS = (SEED_RULE, *METHODS)


def main() -> None:
    """Train, quantize, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the trained networks")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        for kind in NETS:
            found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
            seeds = range(args.first, args.first + args.seeds)
            reals = [measure(kind, seed, args.keep or Path(folder), found) for seed in seeds]
            print(f"\n{kind}, float {np.mean(reals):.2f} (spread {np.std(reals):.2f})\n")
            print("| method | " + " | ".join(f"{bits} bit" for bits in BITS) + " |")
            print("|---" * (len(BITS) + 1) + "|")
            for name in ROWS:
                cells = [cell(found[name, bits]) for bits in BITS]
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def cell(found: list[tuple[float, float]]) -> str:
    """Return accuracy with its spread, and the share of equal spikes, in per cent."""
    right, equal = np.array(found).T
    return f"{right.mean():.2f} ± {right.std():.2f} ({equal.mean():.1f})"


def measure(
    kind: str, seed: int, folder: Path, found: dict[tuple[str, int], list[tuple[float, float]]]
) -> float:
    """Quantize one network in every way; return its float accuracy in per cent."""
    made = train(kind, seed, folder)
    graph = load_canonical(made.model)
    samples, test = open_data(made.calibration), open_data(made.test)
    calibration = calibrate_model(graph, samples, CalibrationSettings(AUTO, CALIBRATION, 64))
    proto, real = ir.to_proto(graph), 0.0
    for name in ROWS:
        rule = name == SEED_RULE
        target = replace(GENERIC, weight_grid="seed", per_channel=False) if rule else GENERIC
        for bits in BITS:
            options = choose_options(
                target, bits, rounding="nearest" if rule else name, samples=True
            )
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
            found[name, bits].append(numbers)
    return real


if __name__ == "__main__":
    main()
