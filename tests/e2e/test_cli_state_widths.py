"""``--state-bits`` and ``--overflow``: what is proved, what is said of it, and what is refused."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
from cli_process import refuses, snnquant

import snnquant as package

CONVERT = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json")
GENERIC = Path(package.__file__).parent / "targets" / "generic.toml"


def converted(folder, name, *more):
    ran = snnquant(*CONVERT, *more, "-o", f"{name}.onnx", cwd=folder)
    assert ran.code == 0, ran
    told = json.loads((folder / f"{name}.manifest.json").read_text())
    return ran, told, onnx.load(folder / f"{name}.onnx")


def neurons(told):
    return [layer for layer in told["layers"] if layer["kind"] == "neuron"]


def written(model):
    return [a.i for n in model.graph.node for a in n.attribute if a.name == "state_bits"]


def test_the_narrowest_proved_width_is_written(folder):
    ran, told, model = converted(folder, "plain")
    layers = neurons(told)
    assert "states proved for 3 of 3 layers, bits: lif1 " in ran.err
    assert all(layer["proved_bits"] <= layer["state_bits"] < 32 for layer in layers)
    assert written(model) == [layer["state_bits"] for layer in layers]
    synapses = [layer for layer in told["layers"] if layer["kind"] != "neuron"]
    assert all(layer["current_bits"] >= 8 for layer in synapses)
    assert not told["warnings"]
    single = converted(folder, "step", "--mode", "step")[1]
    for layer in neurons(single):
        assert layer["state_bits"] == layer["proved_bits_any_length"] >= layer["proved_bits"]


@pytest.mark.parametrize("more", [(), ("--mode", "step"), ("--weight-bits", "4"), ("--no-fuse",)])
def test_states_are_narrowed_until_it_is_proved(folder, more):
    _, told, model = converted(folder, "narrow", "--state-bits", "12", *more)
    assert set(written(model)) == {12}
    assert all(layer["proved_bits"] <= 12 for layer in neurons(told))
    assert told["config"]["state_bits"] == 12
    ran = snnquant("eval", "narrow.onnx", "--data", "digits_test.npz", "--json", cwd=folder)
    assert ran.code == 0, ran
    measured = json.loads(ran.out)
    assert measured["metrics"]["accuracy"] > 0.9
    assert all(layer["saturated"] == 0 for layer in measured["layers"])
    verified = snnquant("verify", "narrow.onnx", "--data", "digits_test.npz", cwd=folder)
    assert verified.code == 0, verified


def test_weights_that_are_searched_are_narrowed_too(folder, made):
    shutil.copy(made / "digits_calibration.npz", folder)
    more = ("--data", "digits_calibration.npz", "--weight-bits", "3", "--state-bits", "11")
    _, told, model = converted(folder, "found", *more)
    assert set(written(model)) == {11}
    assert all(layer["proved_bits"] <= 11 for layer in neurons(told))
    assert told["search"]


def test_one_layer_can_have_its_own_width(folder):
    _, told, _ = converted(folder, "own", "--state-bits", "16", "--layer", "lif2=state:11")
    assert [layer["state_bits"] for layer in neurons(told)] == [16, 11, 16]
    assert all(layer["proved_bits"] <= layer["state_bits"] for layer in neurons(told))


def test_what_is_not_proved_saturates_or_is_refused(folder):
    text = GENERIC.read_text().replace("state_bits = 32", "state_bits = 12")
    (folder / "twelve.toml").write_text(text)
    ran, told, _ = converted(folder, "twelve", "--target", "twelve.toml")
    assert "warning: the states of 'lif1' can leave 12 bits" in ran.err
    assert "width_not_proved" in {warning["code"] for warning in told["warnings"]}
    for more in ((), ("--mode", "step"), ("--no-fuse",)):
        converted(folder, "twelve", "--target", "twelve.toml", *more)
        gate = ("--max-overflow", "0", "--json")
        ran = snnquant("eval", "twelve.onnx", "--data", "digits_test.npz", *gate, cwd=folder)
        assert ran.code == 4, ran
        found = {layer["name"]: layer["overflow"] for layer in json.loads(ran.out)["layers"]}
        assert 0 < found["lif2"] < found["lif1"] < 0.5
        assert "max-overflow" in ran.err
    shown = snnquant("eval", "twelve.onnx", "--data", "digits_test.npz", cwd=folder)
    assert "at limits" in shown.out
    model = onnx.load(folder / "twelve.onnx")
    kept = [entry for entry in model.metadata_props if entry.key != "snnquant.proved_steps"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, folder / "unknown.onnx")
    unknown = ("eval", "-q", "unknown.onnx", "--data", "digits_test.npz", "--max-overflow", "0")
    refuses(folder, 2, *unknown, says=["--max-overflow"])
    (folder / "twelve.onnx").unlink()
    wrong = (*CONVERT, "--target", "twelve.toml", "--overflow", "error", "-q", "-o", "twelve.onnx")
    refuses(folder, 5, *wrong, says=["'lif1' can leave 12 bits", "--state-bits"])
    assert not (folder / "twelve.onnx").exists()
    refuses(folder, 2, *CONVERT, "--state-bits", "40", "-o", "x.onnx", says=["--state-bits"])
    refuses(
        folder,
        2,
        *(*CONVERT, "--target", "tianjic", "--state-bits", "30", "-o", "x.onnx"),
        says=["target tianjic has states of 2 to 28 bits"],
    )
