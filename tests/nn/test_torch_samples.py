import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from snnquant.ops import attach_functions

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
DEMO_DATA = ROOT / "snnquant" / "demo_data"

#: Model, its test data, whether it is time-major, and the accuracy that it must have.
MODELS = [
    ("digits_mlp", "digits_test", False, 0.97),
    ("digits_conv", "digits_test", False, 0.965),
    ("events_edges", "events_test", True, 0.95),
]


@pytest.mark.parametrize(("name", "data", "time_major", "floor"), MODELS)
def test_committed_models_have_their_accuracy(name, data, time_major, floor):
    with np.load(SAMPLES / f"{data}.npz", allow_pickle=False) as file:
        x, y = file["x"], file["y"]
    assert x.dtype == np.float32
    assert len(x) >= 500
    session = ort.InferenceSession(SAMPLES / f"{name}.onnx", providers=["CPUExecutionProvider"])
    fed = np.ascontiguousarray(x.swapaxes(0, 1)) if time_major else x
    scores = session.run(None, {"input": fed})[0]
    assert (scores.argmax(1) == y).mean() >= floor


@pytest.mark.parametrize("name", [name for name, *_ in MODELS])
def test_committed_models_carry_the_bodies_of_today(name):
    model = onnx.load(SAMPLES / f"{name}.onnx")
    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    attach_functions(fresh)
    assert fresh.SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    ), f"run samples/train_{name.split('_')[0]}.py again"


def test_calibration_and_test_data_are_disjoint():
    for data in ("digits", "events"):
        with (
            np.load(SAMPLES / f"{data}_calibration.npz") as calibration,
            np.load(SAMPLES / f"{data}_test.npz") as test,
        ):
            seen = {sample.tobytes() for sample in calibration["x"]}
            assert not any(sample.tobytes() in seen for sample in test["x"])


def test_the_demo_ships_the_samples():
    names = sorted(path.name for path in DEMO_DATA.iterdir())
    assert names == ["digits_calibration.npz", "digits_conv.onnx", "digits_test.npz"]
    for name in names:
        assert (DEMO_DATA / name).read_bytes() == (SAMPLES / name).read_bytes()
    assert sum((DEMO_DATA / name).stat().st_size for name in names) <= 600_000


@pytest.mark.parametrize(
    ("script", "options", "files"),
    [
        (
            "train_digits.py",
            ["--net", "digits_mlp"],
            ["digits_calibration.npz", "digits_mlp.onnx", "digits_test.npz"],
        ),
        (
            "train_events.py",
            [],
            ["events_calibration.npz", "events_edges.onnx", "events_test.npz"],
        ),
    ],
)
def test_training_scripts_run(script, options, files, tmp_path):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, SAMPLES / script, "--epochs", "1", "--out", tmp_path, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == files
    for name in files:
        if name.endswith(".npz"):
            assert (tmp_path / name).read_bytes() == (SAMPLES / name).read_bytes()
