"""Accuracy of the shipped networks in float and in integers, as a Markdown table.

usage: python tests/bench/accuracy.py
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.frontends import load_canonical
from snnquant.quantize import quantize_model
from snnquant.quantize_options import QuantizeOptions
from snnquant.target import load_target

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
NETWORKS = (("digits_mlp", "digits"), ("digits_conv", "digits"), ("events_edges", "events"))
SETTINGS = (("generic", 8), ("generic", 4), ("generic", 3), ("generic", 2), ("tianjic", 8))


def main() -> None:
    heads = [f"{target} {bits} bit" for target, bits in SETTINGS]
    print("| network | float | " + " | ".join(heads) + " | equal spikes, generic 8 bit |")
    print("|---" * (len(heads) + 3) + "|")
    for network, data in NETWORKS:
        graph = load_canonical(SAMPLES / f"{network}.onnx")
        test = open_data(SAMPLES / f"{data}_test.npz")
        calibration = calibrate_model(
            graph,
            open_data(SAMPLES / f"{data}_calibration.npz"),
            CalibrationSettings(AUTO, 512, 64),
        )
        row, agreement = [], 0.0
        for name, bits in SETTINGS:
            target = load_target(name)
            quantized = quantize_model(
                graph,
                calibration.input_scales(8, target.input_observer),
                QuantizeOptions(target, bits, 8, target.per_channel),
                rates=calibration.firing_rates(),
            )
            result = evaluate_model(quantized.model, test, reference=ir.to_proto(graph))
            if not row:
                agreement = result.spike_agreement or 0.0
                row.append(f"{100 * (result.float_accuracy or 0):.2f}")
            row.append(f"{100 * (result.accuracy or 0):.2f}")
        print(f"| `{network}` | " + " | ".join(row) + f" | {100 * agreement:.2f} |")


if __name__ == "__main__":
    main()
