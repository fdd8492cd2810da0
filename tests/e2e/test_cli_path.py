"""The main path on the trained samples, each step a process of its own."""

import json

import numpy as np
import onnx
import pytest
from cli_process import DATA, forked, snnquant

METRICS = {
    "samples",
    "accuracy",
    "float_accuracy",
    "drop",
    "prediction_agreement",
    "spike_agreement",
    *("rate_drift", "rate_emd", "dead", "saturated", "overflow"),
    *("model_bytes", "neurobench"),
}
COMMON = {
    "schema",
    "tool",
    "inputs",
    "config",
    "metrics",
    "gates",
    "layers",
    "warnings",
    "artifacts",
}


def evaluate(folder, model, data, *more):
    ran = forked("eval", model, "--data", f"{data}_test.npz", "--json", *more, cwd=folder)
    assert ran.code == 0, ran
    return json.loads(ran.out)


@pytest.mark.parametrize(("net", "neurons"), [("digits_mlp", 3), ("events_edges", 4)])
def test_inspect_describes_float_and_integer_models(made, net, neurons):
    for model, kind in ((f"{net}.onnx", "float"), (f"{net}.int.onnx", "integer")):
        ran = forked("inspect", model, "--json", "--strict", cwd=made)
        assert ran.code == 0, ran
        found = json.loads(ran.out)
        assert found.keys() >= COMMON
        assert found["schema"] == "snnquant.inspect/1"
        assert found["model"]["kind"] == kind
        assert found["model"]["stays_float"] == []
        layers = [layer for layer in found["layers"] if layer["kind"] == "neuron"]
        assert len(layers) == neurons
        assert all(np.prod(layer["neurons"]) > 0 for layer in layers)


@pytest.mark.parametrize("net", DATA)
def test_integers_are_as_accurate_as_floats_with_and_without_the_library(made, net):
    found = evaluate(made, f"{net}.int.onnx", DATA[net])
    assert found.keys() >= COMMON
    assert found["schema"] == "snnquant.eval/1"
    metrics = found["metrics"]
    assert metrics.keys() == METRICS
    assert metrics["float_accuracy"] > 0.97
    assert metrics["drop"] < 0.0021  # 0.2 points; one clip of the events is as much
    assert metrics["drop"] > (-0.01 if net == "events_edges" else -0.0021)
    assert metrics["spike_agreement"] > 0.9
    bodies = evaluate(made, f"{net}.int.onnx", DATA[net], "--without-library")
    assert bodies["metrics"] == metrics
    assert bodies["layers"] == found["layers"]


@pytest.mark.parametrize("net", ["digits_mlp", "digits_conv"])
def test_four_bits_cost_less_than_a_point(made, tmp_path, net):
    output = tmp_path / "net.int4.onnx"
    calibration = ("--calibration", f"{net}.json")
    bits = ("--weight-bits", "4", "--per-channel")
    ran = forked("convert", f"{net}.onnx", *calibration, *bits, "-o", output, cwd=made)
    assert ran.code == 0, ran
    metrics = evaluate(made, output, "digits", "--reference", f"{net}.onnx")["metrics"]
    assert metrics["float_accuracy"] - metrics["accuracy"] <= 0.01


def test_tianjic_runs(made, tmp_path):
    output = tmp_path / "net.tianjic.onnx"
    calibration = ("--calibration", "digits_conv.json")
    target = ("--target", "tianjic")
    ran = forked("convert", "digits_conv.onnx", *calibration, *target, "-o", output, cwd=made)
    assert ran.code == 0, ran
    metrics = evaluate(made, output, "digits", "--reference", "digits_conv.onnx")["metrics"]
    assert metrics["accuracy"] > 0.9


def test_demo_takes_real_digits_to_integers(tmp_path):
    ran = snnquant("demo", "--json", cwd=tmp_path)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert found.keys() >= COMMON
    assert 0.97 < found["float_accuracy"] <= 1
    assert abs(found["float_accuracy"] - found["integer_accuracy"]) < 0.0021
    assert found["integer_accuracy"] == found["metrics"]["accuracy"]
    assert found["artifacts"]
    for artifact in found["artifacts"]:
        assert (tmp_path / artifact["path"]).is_file()


def test_eval_finds_the_float_model_and_warns_of_another(made, tmp_path):
    found = evaluate(made, "digits_mlp.int.onnx", "digits")
    assert found["inputs"]["reference"]["path"] == "digits_mlp.onnx"
    assert found["warnings"] == []
    model = onnx.load(str(made / "digits_mlp.onnx"))
    model.doc_string = "retrained"
    other = tmp_path / "other.onnx"
    onnx.save(model, str(other))
    found = evaluate(made, "digits_mlp.int.onnx", "digits", "--reference", other)
    assert [warning["code"] for warning in found["warnings"]] == ["other_reference"]


def test_eval_says_that_there_is_no_float_model_to_compare_with(folder):
    words = ("eval", "digits_mlp.int.onnx", "--data", "digits_test.npz")
    (folder / "digits_mlp.onnx").unlink()
    ran = forked(*words, cwd=folder)
    assert ran.code == 0, ran
    said = "there is no float model to compare with: "
    assert f"{said}digits_mlp.onnx is not there as it was; give --reference\n" in ran.err
    (folder / "digits_mlp.int.manifest.json").unlink()
    ran = forked(*words, cwd=folder)
    assert f"{said}no manifest names one; give --reference\n" in ran.err


def test_a_model_is_not_compared_with_a_network_of_other_shapes(made):
    arguments = ("digits_mlp.int.onnx", "--data", "digits_test.npz", "-q")
    ran = forked("eval", *arguments, "--reference", "digits_conv.onnx", cwd=made)
    assert ran.code == 2, ran
    assert ran.err.startswith("error: layer 'lif1' gives")


def test_data_without_labels_gives_no_accuracy(made, tmp_path):
    samples = np.load(made / "digits_test.npz")["x"][:20]
    np.save(tmp_path / "plain.npy", samples)
    model = made / "digits_mlp.int.onnx"
    ran = forked("eval", model, "--data", "plain.npy", "--json", "-q", cwd=tmp_path)
    metrics = json.loads(ran.out)["metrics"]
    assert metrics["accuracy"] is None
    assert metrics["samples"] == 20
    assert metrics["prediction_agreement"] is not None
