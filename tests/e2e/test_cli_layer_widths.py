"""``--layer`` and ``--layers``: what they do to a model, and what is refused."""

import json
import shutil

import numpy as np
import onnx
import pytest
from cli_process import forked, refuses
from onnx import numpy_helper
from schema_checks import problems

CONVERT = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json")
OUT = ("-o", "made.onnx")
WIDTHS = {"fc1": 3, "fc2.0": 4, "fc3.0": 8}
MIXED = ("--weight-bits", "4", "--layer", "fc1=3", "--layer", "fc3.0=8")
TUNED = {
    "schema": "snnquant.tune/1",
    "layers": [{"name": name, "weight_bits": bits} for name, bits in WIDTHS.items()],
}


def converted(folder, *words):
    ran = forked(*CONVERT, *words, *OUT, cwd=folder)
    assert ran.code == 0, ran
    return (folder / "made.onnx").read_bytes(), ran.err


@pytest.mark.parametrize("data", [(), ("--data", "digits_calibration.npz")])
def test_every_layer_has_its_bits(folder, made, data):
    shutil.copy(made / "digits_calibration.npz", folder)
    _, said = converted(folder, *MIXED, *data)
    assert ", layers fc1=3 fc3.0=8, " in said
    told = json.loads((folder / "made.manifest.json").read_text())
    assert problems(told, "snnquant.manifest/1") == []
    bits = {e["name"]: e["weight_bits"] for e in told["layers"] if "weight_bits" in e}
    assert bits == WIDTHS
    assert told["config"]["weight_bits"] == 4
    assert told["config"]["layers"] == {"fc1": {"weight_bits": 3}, "fc3.0": {"weight_bits": 8}}
    plain = converted(folder, "--no-fuse", *MIXED, *data)[0]
    for width, most in zip(WIDTHS.values(), largest(plain), strict=True):
        assert 2 ** (width - 2) < most <= 2 ** (width - 1)
    evaluated = forked("eval", "made.onnx", "--data", "digits_test.npz", "--json", cwd=folder)
    assert json.loads(evaluated.out)["metrics"]["accuracy"] > 0.9


def largest(model):
    """Return the largest magnitude of each weight matrix of a model that is not fused, in order."""
    held = [numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer]
    matrices = [array for array in held if array.ndim == 2 and array.dtype == np.int8]
    return [int(np.abs(matrix.astype(np.int64)).max()) for matrix in matrices]


def test_flags_files_and_configuration_say_the_same(folder):
    wanted = converted(folder, "--no-fuse", *MIXED)[0]
    (folder / "tune.json").write_text(json.dumps(TUNED))
    assert (
        converted(folder, "--no-fuse", "--weight-bits", "4", "--layers", "tune.json")[0] != wanted
    )
    (folder / "snnquant.toml").write_text('[convert]\nlayers = "tune.json"\nweight-bits = 4\n')
    by_file = converted(folder, "--no-fuse")[0]
    (folder / "snnquant.toml").write_text(
        '[convert]\nlayer = ["fc1=3", "fc2.0=4", "fc3.0=8"]\nweight-bits = 4\n'
    )
    assert converted(folder, "--no-fuse")[0] == by_file
    (folder / "snnquant.toml").unlink()
    assert converted(folder, "--no-fuse", *MIXED, "--layer", "fc2.0=4")[0] == by_file
    above = converted(folder, "--weight-bits", "4", "--layers", "tune.json", "--layer", "fc1=6")[1]
    assert ", layers fc1=6 fc2.0=4 fc3.0=8, " in above


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--layer", "fc4=4"), ["no layer 'fc4'", "did you mean 'fc"]),
        (("--layer", "fc1=state:8"), ["layer 'fc1' has no states of its own", "lif1"]),
        (("--layer", "fc1=9"), ["layer 'fc1'", "no 9-bit weights, only 2, 3"]),
        (("--layer", "lif1=state:33"), ["layer 'lif1'", "states of 2 to 32 bits, not 33"]),
        (("--layer", "fc1=4", "--target", "tianjic"), ["no 4-bit weights, only 8"]),
        *((("--layer", w), ["give NAME=BITS"]) for w in ("fc1", "=4", "fc1=", "fc1=x", "fc1=-4")),
        (("--layer", "fc1=\u0664"), ["give NAME=BITS"]),
        (("--layers", "none.json"), ["--layers none.json: No such file"]),
        (("--layers", "digits_mlp.json"), ["no file of tune", "snnquant.calibration/1"]),
        (("--layers", "digits_mlp.onnx"), ["no file of tune"]),
        (("--layers", "bad.json"), ["the widths of 'fc1' are no integers"]),
    ],
)
def test_widths_that_cannot_be_had_are_refused(folder, words, says):
    bad = TUNED | {"layers": [{"name": "fc1", "weight_bits": "4"}]}
    (folder / "bad.json").write_text(json.dumps(bad))
    refuses(folder, 2, *CONVERT, "-q", *words, *OUT, says=says)


def test_a_file_of_widths_is_not_overwritten(folder):
    (folder / "tune.json").write_text(json.dumps(TUNED))
    refuses(
        folder,
        2,
        *CONVERT,
        "-q",
        "--layers",
        "tune.json",
        "-o",
        "tune.json",
        says=["would replace"],
    )
