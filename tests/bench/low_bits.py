"""Accuracy at few bits, for every method of rounding, as the Markdown table of the README.

``python tests/bench/low_bits.py [--seeds 4] [--first 0] [--keep FOLDER] [--json FILE]`` trains both
networks once per seed (half a minute each), quantizes them with the first 256 training samples and
counts on the test split. Nothing is chosen by what it finds: settings were chosen on the seeds from
10 on. What ``--json`` writes holds every network, unrounded; the picture is drawn from it.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

# Sums of numpy's matrix products end in other digits on another number of cores, and a weight that
# stood between two integers goes the other way.
os.environ["OMP_NUM_THREADS"] = "1"

import onnx_ir as ir
from low_bit_nets import CALIBRATION, NETS, train
from low_bit_table import BITS, SEED_RULE, table

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.frontends import load_canonical
from snnquant.quantize_options import choose_options
from snnquant.rounding import METHODS
from snnquant.target import load_target

GENERIC = load_target("generic")
ROWS = (SEED_RULE, *METHODS)
#: What one network gave: accuracy and share of equal spikes in per cent, by method and bits.
Found = dict[str, dict[str, tuple[float, float]]]


def main() -> None:
    """Train, quantize, count, print; write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the trained networks")
    parser.add_argument("--json", type=Path, help="file for what every network gave")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    written = {}
    with TemporaryDirectory() as folder:
        for kind in NETS:
            nets = [measure(kind, seed, args.keep or Path(folder)) for seed in seeds]
            methods = {
                name: {str(bits): [found[name][str(bits)] for _, found in nets] for bits in BITS}
                for name in ROWS
            }
            reals = [real for real, _ in nets]
            written[kind] = {"seeds": list(seeds), "float": reals, "methods": methods}
            print("", *table(kind, written[kind]), sep="\n", flush=True)
    if args.json:
        args.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def measure(kind: str, seed: int, folder: Path) -> tuple[float, Found]:
    """Quantize one network in every way; return its float accuracy in per cent, and the others."""
    made = train(kind, seed, folder)
    graph = load_canonical(made.model)
    samples, test = open_data(made.calibration), open_data(made.test)
    calibration = calibrate_model(graph, samples, CalibrationSettings(AUTO, CALIBRATION, 64))
    proto, real = ir.to_proto(graph), 0.0
    found: Found = {name: {} for name in ROWS}
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
            found[name][str(bits)] = numbers
    return real, found


if __name__ == "__main__":
    main()
