"""``--input NAME=binary``: spikes of 0 or 1 at most, so that an encoder needs fewer bits."""

import json
import shutil
from pathlib import Path

import numpy as np
from cli_process import refuses, snnquant

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def test_binary_inputs_need_fewer_bits_and_larger_ones_are_limited(tmp_path):
    for name in ("events_edges.onnx", "events_calibration.npz"):
        shutil.copy(SAMPLES / name, tmp_path)
    with np.load(SAMPLES / "events_test.npz") as held:
        x = held["x"][:8]
    np.savez(tmp_path / "seen.npz", x=x)
    np.savez(tmp_path / "more.npz", x=3 * x)
    widths, outputs = {}, {}
    for kind in ("spikes", "binary"):
        of_input = ("--input", f"input={kind}")
        data = ("--data", "events_calibration.npz", *of_input, "-o", f"{kind}.json")
        ran = snnquant("calibrate", "events_edges.onnx", *data, cwd=tmp_path)
        assert ran.code == 0, ran
        made = ("--calibration", f"{kind}.json", "-o", f"{kind}.onnx")
        ran = snnquant("convert", "events_edges.onnx", *made, cwd=tmp_path)
        assert ran.code == 0, ran
        told = json.loads((tmp_path / f"{kind}.manifest.json").read_text())
        widths[kind] = next(e["proved_bits"] for e in told["layers"] if e["kind"] == "neuron")
        for name in ("seen", "more"):
            found = ("--data", f"{name}.npz", "--json")
            ran = snnquant("eval", f"{kind}.onnx", *found, cwd=tmp_path)
            assert ran.code == 0, ran
            outputs[kind, name] = [e["firing_rate"] for e in json.loads(ran.out)["layers"]]
    assert widths["binary"] <= widths["spikes"] - 6
    # What is 0 or 1 is as before, and 3 counts as 1.
    assert outputs["binary", "seen"] == outputs["spikes", "seen"] == outputs["binary", "more"]
    assert outputs["spikes", "more"] != outputs["spikes", "seen"]
    wrong = ("--data", "more.npz", "--input", "input=binary", "-o", "x.json", "-q")
    refuses(tmp_path, 2, "calibrate", "events_edges.onnx", *wrong, says=["=binary", "0 or 1"])
