"""Widths of states: proved, seen on test data, and what narrow ones cost, as the README's table.

``python tests/bench/state_widths.py [--seeds 4] [--keep FOLDER] [--asked 0 16]`` takes the
networks of ``low_bits.py`` with weights that were searched for, at 8 and at 4 bits.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"  # see low_bits.py

import numpy as np
import onnx_ir as ir
from low_bit_nets import CALIBRATION, NETS, train

from snnquant.bounds.arithmetic import Extent
from snnquant.bounds.intervals import Interval
from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.frontends import load_canonical
from snnquant.instrument import Runner
from snnquant.membranes import MembraneProbe
from snnquant.quantize_options import choose_options
from snnquant.target import load_target

GENERIC = load_target("generic")
#: Widths that all states are asked to have, the encoder's too; None: as they need.
ASKED = (None, 16, 12, 10, 8)


def main() -> None:
    """Train, prove, look, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="folder that keeps the trained networks")
    parser.add_argument("--asked", type=int, nargs="*", help="widths to ask for, 0: as needed")
    args = parser.parse_args()
    widths = ASKED if args.asked is None else [bits or None for bits in args.asked]
    print("| network, weights | states | proved, by layer | seen | apart | accuracy | equal |")
    print("|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for kind in NETS:
            nets = [prepare(kind, seed, args.keep or Path(folder)) for seed in range(args.seeds)]
            for bits in (8, 4):
                for asked in widths:
                    row(f"{kind}, {bits} bit", asked, [measure(net, bits, asked) for net in nets])


def row(name, asked, found):
    """Print one line: widths over all seeds, means."""
    proved, seen, accuracy, equal, float_accuracy = zip(*found, strict=True)
    apart = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(proved, seen, strict=True)]
    layers = [
        ", ".join(spread(column) for column in zip(*widths, strict=True))
        for widths in (proved, seen, apart)
    ]
    words = "as needed" if asked is None else str(asked)
    print(
        f"| {name} | {words} | {layers[0]} | {layers[1]} | {layers[2]} | "
        f"{np.mean(accuracy):.2f} ± {np.std(accuracy):.2f} (float {np.mean(float_accuracy):.2f}) | "
        f"{np.mean(equal):.1f} |",
        flush=True,
    )


def spread(values):
    """Return one number, or the smallest and the largest."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def prepare(kind, seed, folder):
    """Return a trained network, calibrated."""
    made = train(kind, seed, folder)
    graph = load_canonical(made.model)
    samples, test = open_data(made.calibration), open_data(made.test)
    calibration = calibrate_model(graph, samples, CalibrationSettings(AUTO, CALIBRATION, 64))
    return graph, calibration, samples, test


def measure(net, bits, asked):
    """Quantize a network; return widths that are proved and seen, and how it does."""
    graph, calibration, samples, test = net
    options = choose_options(GENERIC, bits, samples=True, state_bits=asked)
    first = next(iter(samples.batches(1, 1))).inputs
    floats = Runner(ir.to_proto(graph), custom_ops=False)
    result = convert_model(
        graph,
        calibration,
        options,
        source_sha256="",
        calibration_sha256="",
        dataset=samples,
        samples=CALIBRATION,
        shapes={name: value.shape for name, value in floats.feeds(first).items()},
    )
    proved = [e["proved_bits"] for e in result.layers if e["kind"] == "neuron"]
    measured = evaluate_model(result.model, test, reference=ir.to_proto(graph))
    return (
        proved,
        seen_bits(result.model, test),
        100 * measured.accuracy,
        100 * measured.spike_agreement,
        100 * measured.float_accuracy,
    )


def seen_bits(model, test):
    """Return the width that holds every membrane of the test data, by layer."""
    membranes = MembraneProbe(model)
    runner = Runner(membranes.model, membranes.values)
    widths = [1] * len(membranes.layers)
    for batch in test.batches(64, len(test)):
        count = len(next(iter(batch.inputs.values())))
        values = runner.run(batch.inputs)
        for index, layer in enumerate(membranes.layers):
            seen = membranes.membranes(layer, values, count).astype(np.int64)
            extent = Extent(seen.shape)
            extent.add(Interval(seen, seen))
            widths[index] = int(extent.bits.max(initial=widths[index]))
    return widths


if __name__ == "__main__":
    main()
