"""A handful of samples is searched like many: some of them are held out."""

from pathlib import Path

import numpy as np

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.data import open_data
from snnquant.frontends import load_canonical
from snnquant.quantize_options import choose_options
from snnquant.search import search_model
from snnquant.target import load_target

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def test_thresholds_move_on_sixteen_samples(tmp_path):
    model = load_canonical(SAMPLES / "digits_mlp.onnx")
    with np.load(SAMPLES / "digits_calibration.npz") as held:
        np.savez(tmp_path / "few.npz", x=held["x"][:16])
    few = open_data(tmp_path / "few.npz")
    known = calibrate_model(model, few, CalibrationSettings(AUTO, 16, 16), threads=1)
    options = choose_options(load_target("generic"), 2, samples=True)
    scales = known.input_scales(8, options.target.input_observer)
    found = search_model(model, scales, options, known.firing_rates(), few, threads=1)
    assert any(layer["distance"] < layer["distance_before"] for layer in found.layers[:-1])
