"""``analyze`` as its users meet it."""

import json
import shutil

import numpy as np
from cli_process import forked, refuses, snnquant
from schema_checks import check_schema, problems

NET = ("digits_mlp.onnx", "--calibration", "digits_mlp.json")
DATA = ("--data", "digits_test.npz")
FEW = ("--samples", "60", "--batch-size", "40")
SCHEMA = "snnquant.analyze/1"


def analyzed(folder, *words):
    """Return the JSON of one run."""
    ran = forked("analyze", *NET, *DATA, *FEW, *words, "--json", cwd=folder)
    assert ran.code == 0, ran
    return ran.out, json.loads(ran.out)


def test_the_json_follows_its_schema_and_is_the_same_again(folder):
    check_schema(SCHEMA)
    text, found = analyzed(folder, "--weight-bits", "3", "--per-tensor", "--input-bits", "4")
    assert problems(found, SCHEMA) == []
    assert text == analyzed(folder, *("--weight-bits", "3", "--per-tensor", "--input-bits", "4"))[0]
    assert sorted(layer["name"] for layer in found["layers"]) == ["lif1", "lif2", "lif3"]
    assert [layer["rank"] for layer in found["layers"]] == [1, 2, 3]
    tried = {(entry["layer"], entry["option"]) for entry in found["alternatives"]}
    assert {("lif1", "--input-bits 8"), ("lif2", "--weight-bits 8"), ("lif3", "--per-channel")} <= (
        tried
    )
    assert ("lif2", "--input-bits 8") not in tried  # spikes come in there
    assert any(entry["option"].startswith("--method") for entry in found["alternatives"])
    assert found["config"]["weight_bits"] == 3
    for change in (lambda d: d.update(more=1), lambda d: d["layers"][0].pop("local")):
        change(found)
        assert problems(found, SCHEMA)


def test_whole_model_is_what_eval_says(folder):
    found = analyzed(folder, "--mode", "local")[1]
    assert found["layers"][0]["cumulative"] is None
    assert found["layers"][0]["local"]["output"] is None
    ran = forked("eval", "digits_mlp.int.onnx", *DATA, *FEW, "--json", cwd=folder)
    wanted = json.loads(ran.out)["metrics"]
    for name in ("samples", "accuracy", "float_accuracy", "drop", "prediction_agreement"):
        assert found["metrics"][name] == wanted[name], name


def test_the_table_fits_and_says_what_to_try(folder):
    words = ("analyze", *NET, *DATA, *FEW, "--weight-bits", "2")
    ran = snnquant(*words, cwd=folder, COLUMNS="80")
    assert ran.code == 0, ran
    assert ran.err.startswith("snnquant analyze: model digits_mlp.onnx, ")
    assert max(map(len, ran.out.splitlines())) <= 80
    head, below = ran.out.split("with another setting")
    for layer in ("lif1", "lif2", "lif3"):
        assert layer in head
    assert "All layers: cost " in head
    assert "  convert --weight-bits 4" in below
    assert "  convert --weight-bits 8" in below
    assert "all layers" in below


def test_without_labels(folder):
    with np.load(folder / "digits_test.npz") as file:
        np.savez(folder / "bare.npz", x=file["x"][:40])
    ran = forked("analyze", *NET, "--data", "bare.npz", "--mode", "one-at-a-time", cwd=folder)
    assert ran.code == 0, ran
    assert "accuracy" not in ran.out
    assert "same prediction" in ran.out


def test_refusals(folder):
    refuses(
        folder,
        *(2, "analyze", "digits_mlp.int.onnx", *NET[1:], *DATA, "-q"),
        says=("is an integer model", "give the float model that it was made from"),
    )
    step = ("convert", *NET, "--mode", "step", "-q", "-o", "step.onnx")
    assert forked(*step, cwd=folder).code == 0
    refuses(
        folder,
        *(2, "analyze", "step.onnx", *NET[1:], *DATA, "-q"),
        says=("is an integer model", "give the float model that it was made from"),
    )
    refuses(folder, 3, "analyze", NET[0], *DATA, "-q", says=("no calibration file",))
    refuses(folder, 2, "analyze", *NET, *DATA, "--output", "z", "-q", says=("no such output",))
    words = ("--target", "tianjic", "--weight-bits", "4", "-q")
    refuses(folder, 2, "analyze", *NET, *DATA, *words, says=("no 4-bit weights",))
    refuses(folder, 3, "analyze", *NET, "--data", "old.json", "-q")


def test_a_calibration_of_another_model(made, folder):
    shutil.copy(made / "digits_conv.json", folder)
    words = ("digits_mlp.onnx", "--calibration", "digits_conv.json", *DATA, "-q")
    refuses(folder, 6, "analyze", *words, says=("the calibration is of another model",))
