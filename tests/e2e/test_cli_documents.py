"""Documents of every kind, good and bad ends: no change of a described value goes unnoticed."""

import copy
import json
import shutil
from functools import cache

import numpy as np
import onnx
import pytest
from cli_process import forked
from onnx import helper
from schema_checks import closed, jsonschema
from test_cli_exit_codes import NO_LIBRARY, started
from test_cli_import import FRONTEND

from snnquant.ops.schema import schemas
from snnquant.schemas import document_names, document_schema

NET = "digits_mlp.onnx"
INTEGER = "digits_mlp.int.onnx"
DATA = ("--data", "digits_test.npz")
FEW = ("--samples", "9")
CALIBRATION = ("--calibration", "digits_mlp.json")
#: Keys whose values are the user's, of any kind.
FREE = {"config", "options", "data"}
#: No schema of a value that is described allows this.
WRONG = [[None]]


def printed(folder, *arguments, code=0):
    ran = forked(*arguments, "--json", "-q", cwd=folder)
    assert ran.code == code, ran
    return json.loads(ran.out)


def done(folder, *arguments):
    ran = forked(*arguments, "-q", cwd=folder)
    assert ran.code == 0, ran


def written(path):
    return json.loads(path.read_text(encoding="utf-8"))


def of_inspect(folder):
    yield printed(folder, "inspect", INTEGER, *DATA, *FEW)
    model = onnx.load(str(folder / NET))
    at, lif = next((at, n) for at, n in enumerate(model.graph.node) if n.name == "lif2")
    soft = helper.make_node("Sigmoid", [lif.input[0]], ["soft"], "soft")
    lif.input[0] = "soft"
    model.graph.node.insert(at, soft)
    onnx.save(model, str(folder / "soft.onnx"))
    found = printed(folder, "inspect", "soft.onnx", "--strict", code=3)
    assert found["metrics"]["stays_float"] == len(found["model"]["stays_float"]) > 0
    yield found
    done(folder, "convert", NET, *CALIBRATION, "--mode", "step", "-o", "step.onnx")
    yield printed(folder, "inspect", "step.onnx")


def of_import(folder):
    ran = started(folder, FRONTEND, ("import", NET, "-o", "new.onnx", "--json", "-q"))
    found = json.loads(ran.stdout)
    assert found["layers"][1]["found_at"]
    assert found["notes"]
    yield found


def of_quantize(folder):
    words = ("quantize", NET, *DATA, *FEW)
    yield printed(folder, *words, "-o", "a.onnx")
    words += ("--test", "digits_test.npz", "--test-samples", "20", "--golden", "1")
    reports = ("--junit", "j.xml", "--neurobench", "--min-accuracy", "1", "--max-dead", "0")
    found = printed(folder, *words, *reports, "-o", "b.onnx", code=4)
    assert {gate["status"] for gate in found["gates"]} == {"failed", "passed"}
    yield found
    found = written(folder / "b.manifest.json")
    assert found["gates"]
    yield found


def of_calibration(folder):
    yield written(folder / "digits_mlp.json")
    forced = ("--input", "input=0.5", "--method", "minmax")
    done(folder, "calibrate", NET, *DATA, *FEW, *forced, "-o", "forced.json")
    yield written(folder / "forced.json")


def of_manifest(folder):
    yield written(folder / "digits_mlp.int.manifest.json")
    more = ("--mode", "step", "--golden", "2", "--no-fuse")
    done(folder, "convert", NET, *CALIBRATION, *more, "-o", "step.onnx")
    yield written(folder / "step.manifest.json")


def of_verify(folder):
    done(folder, "convert", NET, *CALIBRATION, "--golden", "2", "-o", "a.onnx")
    yield printed(folder, "verify", INTEGER, *DATA, *FEW, "--no-custom-ops")
    with np.load(folder / "a.golden.npz") as file:
        arrays = dict(file)
    arrays["layer/lif2"][5, 1, 7] ^= 1
    np.savez(folder / "a.golden.npz", **arrays)
    found = printed(folder, "verify", "a.onnx", *DATA, *FEW, code=4)
    assert found["mismatches"]
    yield found


def of_trace(folder):
    for form in ("npz", "hex"):
        yield printed(folder, "trace", INTEGER, *DATA, "--format", form, "-o", form)
        yield written(folder / form / "trace.json")


def of_bench(folder):
    shutil.copy(folder / INTEGER, folder / "data.onnx")
    model = onnx.load(str(folder / NET))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, str(folder / "two.onnx"))
    quick = ("--seconds", "0", "--batch", "1,2")
    found = printed(folder, "bench", "data.onnx", "--reference", "two.onnx", *DATA, *quick)
    inputs = found["inputs"]
    assert inputs["model"]["path"] == "data.onnx"
    assert inputs["data"]["path"] == "digits_test.npz"
    assert list(inputs["references"]) == ["two"]
    assert {warning["code"] for warning in found["warnings"]} == {"skipped"}
    yield found


def of_doctor(folder):
    yield printed(folder, "doctor")
    ran = started(folder, NO_LIBRARY, ("doctor", "--json"))
    assert ran.returncode == 7
    found = json.loads(ran.stdout)
    assert found["gates"][0]["status"] == "failed"
    yield found


def of_config(folder):
    (folder / "snnquant.toml").write_text("samples = 3\n[eval]\nmax-drop = 0.5\n")
    found = printed(folder, "config", "eval", "demo")
    assert found["inputs"]
    yield found
    yield printed(folder, "config", "--presets")


CASES = {key.removeprefix("of_"): case for key, case in globals().items() if key[:3] == "of_"}


@cache
def validator(name):
    return jsonschema.Draft202012Validator(closed(document_schema(name)))


def places(value, place=()):
    """Yield where the values are that are described, each as its keys."""
    yield place
    entries = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        entries = enumerate(value)
    for key, entry in entries:
        if key not in FREE and not (place[:1] == ("settings",) and key == "value"):
            yield from places(entry, (*place, key))


def changes(document, place):
    """Yield copies of a document: with a wrong value at a place, and with one more key in it."""
    for last in ((), ("more",)):
        copied = {"": copy.deepcopy(document)}
        holder, keys = copied, ("", *place, *last)
        for key in keys[:-1]:
            holder = holder[key]
        if not last or isinstance(holder, dict):
            holder[keys[-1]] = WRONG
            yield copied[""]


@pytest.mark.parametrize("case", CASES)
def test_every_change_is_noticed(folder, case):
    seen = set()
    tried = set()
    for document in CASES[case](folder):
        name = document["schema"]
        seen.add(name)
        found = [f"{e.json_path}: {e.message}" for e in validator(name).iter_errors(document)]
        assert found == []
        for key in document:
            without = {k: v for k, v in document.items() if k != key}
            assert not validator(name).is_valid(without), key
        for place in places(document):
            like = (name, *("*" if isinstance(key, int) else key for key in place))
            if like in tried:  # another entry of a list
                continue
            tried.add(like)
            for changed in changes(document, place):
                assert not validator(name).is_valid(changed), place
    assert f"snnquant.{case}/1" in seen


@pytest.mark.parametrize("name", document_names())
def test_schemas_are_complete_in_themselves(name):
    text = json.dumps(document_schema(name))
    assert '.json"' not in text
    assert ".json#" not in text


def test_the_layers_of_a_model_have_every_choice_of_a_neuron():
    _, neuron = document_schema("snnquant.inspect/1")["properties"]["layers"]["items"]["oneOf"]
    choices = {choice.name for schema in schemas().values() for choice in schema.attributes}
    assert choices <= neuron["properties"].keys()
