"""``--rounding`` and ``--data``: what is searched, what is said of it, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_process import refuses, snnquant

from snnquant import targets

CONVERT = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "--weight-bits", "3")
DATA = ("--data", "digits_calibration.npz")
SHIPPED = Path(targets.__file__).parent


@pytest.fixture
def data(folder, made):
    """A folder with a calibrated model and the samples to search with."""
    shutil.copy(made / "digits_calibration.npz", folder)
    return folder


def manifest(folder, name):
    return json.loads((folder / f"{name}.manifest.json").read_text())


def evaluated(folder, model):
    ran = snnquant("eval", model, "--data", "digits_test.npz", "--json", cwd=folder)
    assert ran.code == 0, ran
    return json.loads(ran.out)["metrics"]


def test_samples_make_the_spikes_come_closer(data):
    near = snnquant(*CONVERT, "-o", "near.onnx", cwd=data)
    assert near.code == 0, near
    assert "rounding nearest" in near.err
    assert "membrane error" not in near.err
    found = snnquant(*CONVERT, *DATA, "-o", "found.onnx", cwd=data)
    assert found.code == 0, found
    assert "rounding compensated" in found.err
    for name in ("lif1", "lif2", "lif3"):
        assert f"  {name}: membrane error" in found.err
    assert "integers in 8 samples equal the reference" in found.err
    plain, searched = evaluated(data, "near.onnx"), evaluated(data, "found.onnx")
    assert searched["spike_agreement"] > plain["spike_agreement"]
    told = manifest(data, "found")
    assert told["config"]["rounding"] == "compensated"
    assert told["inputs"]["data"]["path"] == "digits_calibration.npz"
    assert [layer["name"] for layer in told["search"]] == ["lif1", "lif2", "lif3"]
    assert all(layer["error"] < layer["error_nearest"] for layer in told["search"])
    assert manifest(data, "near")["search"] == []
    assert "data" not in manifest(data, "near")["inputs"]
    again = snnquant(*CONVERT, *DATA, "--threads", "1", "-o", "again.onnx", cwd=data)
    assert again.code == 0, again
    assert (data / "again.onnx").read_bytes() == (data / "found.onnx").read_bytes()
    verified = snnquant("verify", "found.onnx", "--data", "digits_test.npz", cwd=data)
    assert verified.code == 0, verified


@pytest.mark.parametrize("more", [("--target", "tianjic"), ("--mode", "step", "--per-tensor")])
def test_targets_and_modes_are_searched_too(data, more):
    bits = CONVERT[:-2] if "tianjic" in more else CONVERT
    few = ("--rounding", "learned", "--rounding-samples", "20")
    ran = snnquant(*bits, *DATA, *more, *few, "-o", "a.onnx", cwd=data)
    assert ran.code == 0, ran
    assert "rounding learned" in ran.err
    assert len(manifest(data, "a")["search"]) == 3


def test_nearest_looks_at_no_samples(data):
    for name, more in (("a", DATA), ("b", ())):
        ran = snnquant(*CONVERT, *more, "--rounding", "nearest", "-o", f"{name}.onnx", cwd=data)
        assert ran.code == 0, ran
    assert (data / "a.onnx").read_bytes() == (data / "b.onnx").read_bytes()


def test_what_cannot_be_searched_is_refused(data):
    refuses(data, 2, *CONVERT, "--rounding", "learned", "-q", "-o", "a.onnx",
            says=("--rounding learned looks at samples; give --data",))  # fmt: skip
    refuses(data, 2, *CONVERT, "--rounding", "best", "-q", "-o", "a.onnx")
    refuses(data, 2, *CONVERT, *DATA, "--rounding-samples", "1", "-q", "-o", "a.onnx")
    refuses(data, 2, *CONVERT, *DATA, "-q", "-o", "digits_calibration.npz")
    refuses(data, 3, *CONVERT, "--data", "none.npz", "-q", "-o", "a.onnx")
    np.savez(data / "wrong.npz", x=np.zeros((30, 5, 5), np.float32))
    refuses(data, 3, *CONVERT, "--data", "wrong.npz", "-q", "-o", "a.onnx", says=("do not fit",))
    np.savez(data / "nan.npz", x=np.full((30, 1, 8, 8), np.nan, np.float32))
    refuses(data, 5, *CONVERT, "--data", "nan.npz", "-q", "-o", "a.onnx")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_samples_are_enough(data, count):
    with np.load(data / "digits_calibration.npz") as stored:
        np.savez(data / "few.npz", x=stored["x"][:count])
    ran = snnquant(*CONVERT, "--data", "few.npz", "-o", "a.onnx", cwd=data)
    assert ran.code == 0, ran


def test_a_target_with_shifts_is_converted_searched_and_verified(data):
    own = (SHIPPED / "generic.toml").read_text()
    for old, new in (
        ('leak_rounding = "nearest"', 'leak_rounding = "ceil"'),
        ('leak_form = "multiplier"', 'leak_form = "shift"'),
        ("state_bits = 32", "state_bits = 16"),
        ("fraction_bits = 8", "fraction_bits = 0"),
    ):
        assert old in own
        own = own.replace(old, new)
    (data / "shifts.toml").write_text(own)
    ran = snnquant(*CONVERT, *DATA, "--target", "shifts.toml", "-o", "a.onnx", cwd=data)
    assert ran.code == 0, ran
    assert "integers in 8 samples equal the reference" in ran.err
    told = manifest(data, "a")
    neurons = [layer for layer in told["layers"] if layer["kind"] == "neuron"]
    # 0.9 lies between 7/8 and 15/16.
    assert {n["integer"]["alpha"]["min"] for n in neurons} <= {28672, 30720}
    assert all(0 <= layer.get("centred", 0) <= 1 for layer in told["search"])
    verified = snnquant("verify", "a.onnx", "--data", "digits_test.npz", cwd=data)
    assert verified.code == 0, verified
    (data / "wrong.toml").write_text(own.replace('"shift"', '"table"'))
    refuses(data, 2, *CONVERT, "--target", "wrong.toml", "-q", "-o", "b.onnx",
            says=("leak_form is 'table', must be multiplier, shift",))  # fmt: skip
