"""Widths of states: proved, seen on test data, and what narrow ones cost, as the README's tables.

``python tests/bench/state_widths.py [--seeds 4] [--keep FOLDER]`` takes the networks of
``low_bits.py`` with weights that were searched for, at 8 and at 4 bits.
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
    args = parser.parse_args()
    print(f"| weights, states | {' | '.join(map(words, ASKED))} |\n|{'---|' * (1 + len(ASKED))}")
    needed = []
    with TemporaryDirectory() as folder:
        for kind in NETS:
            nets = [prepare(kind, seed, args.keep or Path(folder)) for seed in range(args.seeds)]
            for bits in (8, 4):
                found = {asked: [measure(net, bits, asked) for net in nets] for asked in ASKED}
                real = np.mean([real for *_, real in found[None]])
                cells = [accuracy(found[asked]) for asked in ASKED]
                print(f"| {kind}, {bits} bit, float {real:.2f} | {' | '.join(cells)} |", flush=True)
                needed.append(f"| {kind}, {bits} bit | {' | '.join(widths(found[None]))} |")
    print(
        "", "| bits | proved | test data reaches | apart |", "|---|---|---|---|", *needed, sep="\n"
    )


def words(asked):
    """Return what a column says of a width."""
    return "as needed" if asked is None else f"{asked} bit"


def accuracy(found):
    """Return mean and spread of the accuracy, and the share of equal spikes."""
    right = [right for _, _, right, _, _ in found]
    equal = [equal for _, _, _, equal, _ in found]
    return f"{np.mean(right):.2f} ± {np.std(right):.2f} ({np.mean(equal):.1f})"


def widths(found):
    """Return what is proved, what is seen, and how far they are apart, layer by layer."""
    proved, seen, *_ = zip(*found, strict=True)
    apart = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(proved, seen, strict=True)]
    return [
        ", ".join(spread(column) for column in zip(*bits, strict=True))
        for bits in (proved, seen, apart)
    ]


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
