"""The sample networks, taken to integers once; every test works on copies."""

import shutil

import pytest
from cli_process import DATA, SAMPLES, snnquant


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with the sample networks, calibrated and converted with the defaults."""
    folder = tmp_path_factory.mktemp("made")
    for pattern in ("*.onnx", "*.npz"):
        for source in SAMPLES.glob(pattern):
            shutil.copy(source, folder)
    for net, data in DATA.items():
        for arguments in (
            ("calibrate", f"{net}.onnx", "--data", f"{data}_calibration.npz", "-o", f"{net}.json"),
            ("convert", f"{net}.onnx", "--calibration", f"{net}.json", "-o", f"{net}.int.onnx"),
        ):
            ran = snnquant(*arguments, cwd=folder)
            assert ran.code == 0, ran
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A folder with all files of the digits MLP, and with old outputs to leave alone."""
    target = tmp_path / "work"
    target.mkdir()
    for name in ("digits_mlp.onnx", "digits_mlp.json", "digits_mlp.samples.npz"):
        shutil.copy(made / name, target)
    for name in ("digits_mlp.int.onnx", "digits_mlp.int.manifest.json", "digits_test.npz"):
        shutil.copy(made / name, target)
    for name in ("old.json", "old.samples.npz", "old.onnx", "old.manifest.json"):
        (target / name).write_text(f"the old {name}")
    return target
