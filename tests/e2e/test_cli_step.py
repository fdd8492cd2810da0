"""``convert --mode step`` as its users meet it."""

import json

import pytest
from cli_process import snnquant


@pytest.mark.parametrize("fuse", [(), ("--no-fuse",)], ids=["fused", "unfused"])
def test_a_step_model_evaluates_as_the_sequence_does(folder, fuse):
    convert = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", *fuse)
    made = snnquant(*convert, "--mode", "step", "-o", "steps.onnx", cwd=folder)
    assert made.code == 0, made
    assert "step by step" in made.err
    results = []
    for model in ("digits_mlp.int.onnx", "steps.onnx"):
        words = ("eval", model, "--data", "digits_test.npz", "--reference", "digits_mlp.onnx")
        ran = snnquant(*words, "--json", cwd=folder)
        assert ran.code == 0, ran
        document = json.loads(ran.out)
        document["metrics"].pop("model_bytes")
        results.append((document["metrics"], document["layers"]))
    assert results[0] == results[1]


def test_inspect_says_that_it_is_one_step(folder):
    convert = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json")
    made = snnquant(*convert, "--mode", "step", "-o", "steps.onnx", cwd=folder)
    assert made.code == 0, made
    ran = snnquant("inspect", "steps.onnx", "--json", cwd=folder)
    assert ran.code == 0, ran
    assert "step" in json.dumps(json.loads(ran.out))
