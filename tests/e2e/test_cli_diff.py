"""``diff`` as its users meet it: its table, its JSON, its exit codes."""

import json
import shutil

import onnx
import pytest
from cli_process import forked, refuses, snnquant
from onnx import numpy_helper
from schema_checks import problems

A, B = "digits_mlp.int.onnx", "b.int.onnx"


def diff(folder, *arguments, code=0):
    ran = forked("diff", *arguments, "--json", "-q", cwd=folder)
    assert ran.code == code, ran
    document = json.loads(ran.out)
    assert problems(document, "snnquant.diff/1") == []
    return document


@pytest.fixture
def edited(folder):
    """A folder with a model of which two weights and one threshold are others."""
    model = onnx.load(str(folder / A))
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    weight = numpy_helper.to_array(held["fc2.0.weight"]).copy()
    weight[3, 5] += 2 if weight[3, 5] < 100 else -2
    weight[4, 0] += 1 if weight[4, 0] < 100 else -1
    held["fc2.0.weight"].CopyFrom(numpy_helper.from_array(weight, "fc2.0.weight"))
    fire = numpy_helper.to_array(held["lif1.fire_above"]).copy()
    fire[7] += 5
    held["lif1.fire_above"].CopyFrom(numpy_helper.from_array(fire, "lif1.fire_above"))
    onnx.save(model, str(folder / B))
    return folder


def test_it_says_what_where_and_by_how_much(edited):
    ran = snnquant("diff", A, B, cwd=edited)
    assert ran.code == 0, ran
    assert "2 of 4,096 differ" in ran.out
    assert "2 differences, in 2 of " in ran.out.splitlines()[-1]
    assert max(map(len, ran.out.splitlines())) <= 80
    assert ran.out == snnquant("diff", A, B, cwd=edited).out
    found = diff(edited, A, B, "--exit-code", code=4)
    changed = {layer["name"]: layer["changes"] for layer in found["layers"] if layer["changes"]}
    assert changed.keys() == {"fc2.0", "lif1"}
    (weights,), (fire,) = changed["fc2.0"], changed["lif1"]
    assert (weights["values"]["largest"], weights["values"]["at"]) == (2, [3, 5])
    assert (fire["what"], fire["values"]["at"]) == ("fire_above", [7])
    assert [gate["status"] for gate in found["gates"]] == ["failed"]
    assert not found["metrics"]["same_but_names"]


def test_a_range_is_broken_between_its_numbers(folder):
    narrow = ("--calibration", "digits_mlp.json", "--weight-bits", "4", "-o", "narrow.onnx")
    ran = snnquant("convert", "digits_mlp.onnx", *narrow, cwd=folder)
    assert ran.code == 0, ran
    ran = snnquant("diff", A, "narrow.onnx", cwd=folder)
    row = next(line for line in ran.out.splitlines() if "scale" in line.split())
    assert row.split()[-3::2] == ["..", ".."], row


def test_the_same_and_the_same_but_for_metadata(folder):
    ran = snnquant("diff", A, A, "--exit-code", cwd=folder)
    assert (ran.code, ran.out) == (0, "the same bytes\n")
    model = onnx.load(str(folder / A))
    model.producer_name = "someone else"
    onnx.save(model, str(folder / B))
    ran = snnquant("diff", A, B, cwd=folder)
    assert ran.out.splitlines()[-1] == (
        "the same in all that it computes: 1 difference in names and metadata"
    )
    assert diff(folder, A, B, "--exit-code", code=4)["metrics"]["same_but_names"]
    left = diff(folder, A, B, "--exit-code", "--ignore-names")
    assert (left["metrics"]["changes"], left["gates"][0]["status"]) == (0, "passed")


def test_float_models_forms_and_calibrations(made, tmp_path):
    """An export with neurons written out, a canonical file, a step model; two calibrations."""
    for pattern in ("digits_*.onnx", "digits_*.json", "digits_*.npz"):
        for file in made.glob(pattern):
            shutil.copy(file, tmp_path)
    convert = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "-q")
    for form, name in (("--no-fuse", "u.onnx"), ("--mode=step", "s.onnx")):
        assert forked(*convert, form, "-o", name, cwd=tmp_path).code == 0
    assert forked("import", "digits_mlp.onnx", "-o", "c.onnx", cwd=tmp_path).code == 0
    assert diff(tmp_path, "digits_mlp.onnx", "c.onnx")["metrics"]["same_but_names"]
    whole = {c["id"]: c for c in diff(tmp_path, A, "u.onnx")["changes"]}
    assert (whole["fused"]["before"], whole["fused"]["after"]) == (True, False)
    found = diff(tmp_path, A, "s.onnx")
    assert {"mode", "input"} <= {change["id"] for change in found["changes"]}
    weights = [c for layer in found["layers"] for c in layer["changes"] if c["id"] == "weights"]
    assert weights == []
    found = diff(tmp_path, "digits_mlp.onnx", A)
    assert found["changes"][0]["before"] == "float"
    found = diff(tmp_path, "digits_mlp.json", "digits_conv.json")
    assert found["metrics"]["kind"] == "calibration"
    assert {"graph_sha256", "timesteps"} <= {change["id"] for change in found["changes"]}


def test_other_files_are_refused_in_a_line(folder):
    refuses(
        folder, 2, "diff", A, "digits_mlp.json", "-q", says=("is a model and", "two calibrations")
    )
    (folder / "cut.onnx").write_bytes((folder / A).read_bytes()[:-500])
    (folder / "cut.json").write_text((folder / "digits_mlp.json").read_text()[:-500])
    (folder / "empty").touch()
    refuses(folder, 3, "diff", A, "cut.onnx", "-q")
    refuses(folder, 3, "diff", "empty", A, "-q")
    refuses(folder, 3, "diff", A, "nothing.onnx", "-q", says=("there is no file",))
    refuses(folder, 3, "diff", A, ".", "-q")
    refuses(folder, 3, "diff", "cut.json", "digits_mlp.json", "-q")
    text = (folder / "digits_mlp.json").read_text()
    (folder / "hand.json").write_text(text.replace('"samples": 512', '"samples": 5'))
    refuses(folder, 6, "diff", "digits_mlp.json", "hand.json", "-q", says=("by hand",))
