"""Outputs, calibrations, targets and libraries that cannot be used."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_process import contents, forked, refuses, snnquant

import snnquant as package

PACKAGE = Path(package.__file__).parent
CALIBRATE = ("calibrate", "digits_mlp.onnx", "--data", "digits_test.npz", "-q")
CONVERT = ("convert", "digits_mlp.onnx", "-q")
GOOD = ("--calibration", "digits_mlp.json")

OUTPUTS = {
    "missing/old.onnx": "create it first",
    ".": "it is a folder",
    "..": "it is a folder",
    "/": "it is a folder",
    "": "it is a folder",
    "old.onnx/below.onnx": "create it first",
    "digits_mlp.onnx": "would replace the input",
    "../work/digits_mlp.onnx": "would replace the input",
    "link.onnx": "would replace the input digits_mlp.onnx",
    "/proc/old.onnx": "cannot write",
    "/dev/full": "no regular file",
    "/dev/null": "no regular file",
    "n" * 300: "cannot write",
}


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda text: text[:20] or "empty")
def test_outputs_that_cannot_be_are_refused(folder, output):
    if output.startswith("/") and not Path(output).parent.exists():
        pytest.skip(f"no {output} here")
    (folder / "link.onnx").symlink_to("digits_mlp.onnx")
    before = sorted(os.listdir("/dev"))
    refuses(folder, 2, *CALIBRATE, "-o", output, says=[OUTPUTS[output]])
    refuses(folder, 2, *CONVERT, *GOOD, "-o", output, says=[OUTPUTS[output]])
    assert sorted(os.listdir("/dev")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_read_only_places_are_refused(folder):
    (folder / "old.json").chmod(0o444)
    (folder / "old.onnx").chmod(0o444)
    refuses(folder, 2, *CALIBRATE, "-o", "old.json", says=["read-only"])
    refuses(folder, 2, *CONVERT, *GOOD, "-o", "old.onnx", says=["read-only"])
    folder.chmod(0o555)
    try:
        ran = forked(*CONVERT, *GOOD, "-o", "new.onnx", cwd=folder)
    finally:
        folder.chmod(0o755)
    assert ran.code == 2, ran
    assert "read-only" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*CALIBRATE, "-o", "digits_test.npz"), "would replace the input digits_test.npz"),
        ((*CONVERT, *GOOD, "-o", "digits_mlp.json"), "would replace the input digits_mlp.json"),
        ((*CONVERT, *GOOD, "-o", "digits_mlp.samples.npz"), "would replace the input"),
    ],
)
def test_outputs_over_other_inputs_are_refused(folder, arguments, words):
    refuses(folder, 2, *arguments, says=[words])


def test_the_samples_beside_a_calibration_do_not_replace_the_data(folder):
    (folder / "digits_test.npz").rename(folder / "train.samples.npz")
    arguments = ("calibrate", "digits_mlp.onnx", "--data", "train.samples.npz", "-q")
    refuses(folder, 2, *arguments, "-o", "train.json", says=["would replace the input"])


def rebound(document):
    """Return a calibration's text with the binding that its content asks for."""
    bound = {key: value for key, value in document.items() if key != "binding_sha256"}
    digest = hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
    return json.dumps(bound | {"binding_sha256": digest})


EDITS = {
    "the method": lambda d: d["settings"].update(method="minmax"),
    "the samples": lambda d: d["settings"].update(samples=5),
    "the model": lambda d: d.update(model_sha256="0" * 64),
    "a scale": lambda d: d["tensors"]["input"].update(scale=0.5),
    "a statistic": lambda d: d["tensors"]["input"]["statistics"].update(maximum=2.0),
    "a rate": lambda d: d["neurons"]["lif1"].update(firing_rate=0.0),
    "the steps": lambda d: d.update(timesteps=float("inf")),
    "the samples file": lambda d: d["samples"].update(file="../../other.npz"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_calibrations_edited_by_hand_are_refused(folder, edit):
    document = json.loads((folder / "digits_mlp.json").read_text())
    EDITS[edit](document)
    (folder / "bad.json").write_text(json.dumps(document))
    arguments = ("--calibration", "bad.json", "-o", "old.onnx")
    refuses(folder, 6, *CONVERT, *arguments, says=["changed by hand", "calibrate' again"])


def test_a_calibration_may_be_formatted_anew(folder):
    document = json.loads((folder / "digits_mlp.json").read_text())
    document["samples"]["file"] = "digits_mlp.samples.npz"
    (folder / "other.json").write_text(json.dumps(document, indent=7, sort_keys=True))
    ran = forked(*CONVERT, "--calibration", "other.json", "-o", "new.onnx", cwd=folder)
    assert ran.code == 0, ran


def test_a_calibration_of_another_model_is_refused(made, folder):
    for name in ("digits_conv.json", "digits_conv.samples.npz"):
        shutil.copy(made / name, folder)
    arguments = ("--calibration", "digits_conv.json", "-o", "old.onnx")
    refuses(folder, 6, *CONVERT, *arguments, says=["another model", "snnquant calibrate"])


def test_a_retrained_model_needs_a_new_calibration(folder):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    weight = next(t for t in model.graph.initializer if t.name == "fc1.bias")
    array = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, str(folder / "digits_mlp.onnx"))
    refuses(folder, 6, *CONVERT, *GOOD, "-o", "old.onnx", says=["another model"])


def test_damaged_calibrations_are_refused(folder):
    good = (folder / "digits_mlp.json").read_text()
    document = json.loads(good)
    texts = {
        "cut": good[:500],
        "empty": "",
        "list": "[]",
        "number": "1",
        "noise": "\0\1\2",
        "deep": "[" * 200_000,
        "schema": good.replace("calibration/1", "calibration/2"),
        "model": "\x08\x09\x12",
    }
    for key in ("settings", "timesteps", "samples", "tensors", "neurons", "source"):
        texts[f"no {key}"] = rebound({k: v for k, v in document.items() if k != key})
        texts[f"odd {key}"] = rebound(document | {key: "odd"})
    for key, value in (("count", -1), ("minimum", "x"), ("positive", {"99999999999": 1})):
        tensors = json.loads(json.dumps(document["tensors"]))
        tensors["input"]["statistics"][key] = value
        texts[f"statistic {key}"] = rebound(document | {"tensors": tensors})
    for name, text in texts.items():
        (folder / "bad.json").write_text(text)
        said = refuses(folder, 3, *CONVERT, "--calibration", "bad.json", "-o", "old.onnx")
        assert "calibrat" in said or "statistics" in said, name


@pytest.mark.parametrize("path", ["no.json", ".", "digits_test.npz", "n" * 300])
def test_paths_that_are_no_calibrations_are_refused(folder, path):
    refuses(folder, 3, *CONVERT, "--calibration", path, "-o", "old.onnx")


def test_replaced_samples_are_refused(folder):
    samples = folder / "digits_mlp.samples.npz"
    stored = dict(np.load(samples))
    arguments = (*CONVERT, *GOOD, "-o", "old.onnx")
    np.savez(samples, **{name: array[:4] for name, array in stored.items()})
    refuses(folder, 6, *arguments, says=["not the samples file of digits_mlp.json"])
    samples.write_bytes(b"junk")
    refuses(folder, 6, *arguments, says=["not the samples file of digits_mlp.json"])
    samples.unlink()
    refuses(folder, 3, *arguments, says=["no samples file", "keep it beside the calibration"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "tianjic", "--weight-bits", "4"), "target tianjic has no 4-bit weights"),
        (("--weight-bits", "9"), "--weight-bits"),
        (("--weight-bits", "1"), "--weight-bits"),
        (("--input-bits", "0"), "--input-bits"),
        (("--weight-bits", "four"), "--weight-bits"),
        (("--readout-as", "text"), "--readout-as"),
        (("--target", "nowhere"), "unknown target 'nowhere'; use one of generic, tianjic"),
        (("--target", "no.toml"), "unknown target"),
        (("--target", "."), "unknown target"),
        (("--colour", "red"), "No such option"),
        (("--weigth-bits", "4"), "--weight-bits"),
        (("another.onnx",), "another.onnx"),
    ],
)
def test_options_that_cannot_be_are_refused(folder, arguments, words):
    refuses(folder, 2, *CONVERT, *GOOD, "-o", "old.onnx", *arguments, says=[words])


def test_unknown_verbs_and_missing_options_are_refused(folder):
    refuses(folder, 2, "quantise", "digits_mlp.onnx", says=["'quantise'", "snnquant --help"])
    refuses(folder, 2, "--colour", says=["--colour"])
    refuses(folder, 2, "convert", "digits_mlp.onnx", says=["-o", "snnquant convert --help"])
    refuses(folder, 2, "calibrate", "digits_mlp.onnx", says=["--data"])
    refuses(folder, 2, "inspect", says=["MODEL"])
    model = ("eval", "digits_mlp.int.onnx", "--data", "digits_test.npz", "-q")
    refuses(folder, 2, *model, "--output", "nobody", says=["it has output"])
    refuses(folder, 2, *model, "--readout", "last", says=["carries no time"])


TARGETS = {
    "no TOML": (None, "weight_bits = = 3", "cannot be read"),
    "nothing": (None, "", "misses"),
    "noise": (None, "\0\1", "cannot be read"),
    "unknown key": ("weight_bits = 8", "weight_bits = 8\ncolour = 1", "unknown key 'colour'"),
    "missing key": ("weight_bits = 8\n", "", "misses 'weight_bits'"),
    "wide weights": ("weight_bits = 8", "weight_bits = 99", "weight_bits is 99"),
    "text for bits": ("weight_bits = 8", 'weight_bits = "8"', "weight_bits is '8'"),
    "unknown grid": ('weight_grid = "best"', 'weight_grid = "worst"', "weight_grid is 'worst'"),
    "unknown reset": ('"hard", ', '"harder", ', "HARDER"),
    "wide state": ("state_bits = 32", "state_bits = 64", "state_bits is 64"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_broken_targets_are_refused(folder, case):
    old, new, words = TARGETS[case]
    text = (PACKAGE / "targets" / "generic.toml").read_text()
    assert old is None or old in text
    (folder / "mine.toml").write_text(new if old is None else text.replace(old, new, 1))
    arguments = ("--target", "mine.toml", "-o", "old.onnx")
    refuses(folder, 2, *CONVERT, *GOOD, *arguments, says=["mine.toml", words])


def test_a_target_of_ones_own_works(folder):
    shutil.copy(PACKAGE / "targets" / "generic.toml", folder / "mine.toml")
    arguments = ("--target", "mine.toml", "-o", "new.onnx")
    ran = forked(*CONVERT, *GOOD, *arguments, cwd=folder)
    assert ran.code == 0, ran
    properties = onnx.load(str(folder / "new.onnx")).metadata_props
    assert {e.key: e.value for e in properties}["snnquant.target"] == "mine"


def test_a_neuron_that_the_target_lacks_is_refused(folder):
    text = (PACKAGE / "targets" / "generic.toml").read_text()
    (folder / "soft.toml").write_text(text.replace('"hard", ', ""))
    arguments = ("--target", "soft.toml", "-o", "old.onnx")
    refuses(folder, 3, *CONVERT, *GOOD, *arguments, says=["'lif1'", "another target"])


@pytest.fixture(params=["missing", "broken"])
def without_library(request, tmp_path):
    """A folder for PYTHONPATH with the package, but not the library, or a broken one."""
    copy = tmp_path / "path" / "snnquant"
    patterns = ("csrc", "__pycache__", "*.so", "*.dylib", "*.dll")
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns(*patterns))
    if request.param == "broken":
        from snnquant import get_library_path

        (copy / Path(get_library_path()).name).write_bytes(b"no library\n" * 100)
    # An editable installation puts a finder in front of PYTHONPATH, which would find the library.
    (copy.parent / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'Redirecting' not in type(f).__name__]\n"
    )
    return copy.parent


def test_without_the_library_the_code_is_7_and_the_bodies_still_run(folder, without_library):
    path = {"PYTHONPATH": str(without_library)}
    before = contents(folder)
    data = ("--data", "digits_test.npz", "--samples", "32", "-q")
    for arguments in (
        (*CONVERT, *GOOD, "-o", "old.onnx"),
        ("eval", "digits_mlp.int.onnx", *data),
    ):
        ran = snnquant(*arguments, cwd=folder, **path)
        assert ran.code == 7, ran
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
        assert str(without_library) in ran.err
    assert contents(folder) == before
    ran = snnquant("inspect", "digits_mlp.int.onnx", cwd=folder, **path)
    assert ran.code == 0, ran
    ran = snnquant("calibrate", "digits_mlp.onnx", *data, "-o", "new.json", cwd=folder, **path)
    assert ran.code == 0, ran
    model = ("eval", "digits_mlp.int.onnx", "--without-library", "--json")
    ran = snnquant(*model, *data, cwd=folder, **path)
    assert ran.code == 0, ran
    assert json.loads(ran.out)["metrics"]["accuracy"] > 0.9


def test_demo_needs_a_folder(folder):
    refuses(folder, 2, "demo", "--folder", "old.json", "-q", says=["--folder old.json"])
