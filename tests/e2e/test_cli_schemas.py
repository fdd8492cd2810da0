"""Every document that a verb prints or writes is what its schema says."""

import json
import shutil

import pytest
from cli_process import forked
from schema_checks import check_schema, problems

from snnquant.cli import VERBS
from snnquant.cli.group import load_command
from snnquant.schemas import document_names, document_schema

SAMPLES = ("--samples", "16")
DATA = ("--data", "digits_test.npz", *SAMPLES)
MODEL = "digits_mlp.int.onnx"
GATED = ("--test", "digits_test.npz", "--golden", "1", "--max-size", "1")
NARROW = ("--widths", "2,3", "--layer", "lif1=state:3", "--layer", "lif2=state:3")
TUNED = ("--calibration", "digits_mlp.json", "--rounding-samples", "16", "--points", "2")
#: Arguments of verbs that print JSON, and the exit code.
PRINTED = [
    (0, "inspect", "digits_mlp.onnx"),
    (0, "inspect", "digits_mlp.onnx", *DATA),
    (0, "inspect", MODEL),
    (0, "import", "digits_mlp.onnx", "-o", "c.onnx"),
    (0, "verify", "g.onnx"),
    (0, "verify", MODEL, *DATA),
    (0, "trace", MODEL, "--data", "digits_test.npz", "--samples", "1", "-o", "t"),
    (0, "bench", MODEL, "--seconds", "0.02", *DATA[:2]),
    (0, "bench", MODEL, "--seconds", "0.02", *DATA[:2], "--reference", "digits_mlp.onnx"),
    (0, "doctor"),
    (0, "config"),
    (0, "eval", "digits_mlp.onnx", *DATA),
    (0, "tune", "digits_mlp.onnx", *TUNED, *DATA, "--test", "digits_test.npz"),
    (4, "tune", "digits_mlp.onnx", *TUNED, *DATA, "--max-drop", "0", *NARROW),
    (4, "eval", MODEL, *DATA, "--max-size", "1", "--neurobench"),
    (0, "quantize", "digits_mlp.onnx", *DATA, "-o", "q.onnx"),
    (4, "quantize", "digits_mlp.onnx", *DATA, "-o", "q.onnx", *GATED),
    (0, "diff", MODEL, "g.onnx"),
    (0, "demo", "--folder", "d"),
]


@pytest.fixture
def place(folder):
    """A folder with a model that has golden vectors, too."""
    convert = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "-o", "g.onnx")
    assert forked(*convert, "--golden", "2", "--weight-bits", "4", cwd=folder).code == 0
    return folder


def test_every_schema_is_one():
    for name in document_names():
        check_schema(name)


def test_schemas_can_be_printed(tmp_path):
    ran = forked("config", "--document", "snnquant.eval/1", "-q", cwd=tmp_path)
    assert json.loads(ran.out) == document_schema("snnquant.eval/1")
    assert forked("config", "--document", "snnquant.eval/9", cwd=tmp_path).code == 2


def test_every_verb_that_prints_json_has_one():
    verbs = [
        verb.name
        for verb in VERBS
        if any(option.name == "as_json" for option in load_command(verb).params)
    ]
    assert {f"snnquant.{verb}/1" for verb in verbs} <= set(document_names())
    assert set(verbs) - {"analyze"} == {arguments[1] for arguments in PRINTED}


@pytest.mark.parametrize("arguments", PRINTED, ids=lambda a: " ".join(a[1:]))
def test_what_a_verb_prints(place, arguments):
    code, verb, *words = arguments
    ran = forked(verb, *words, "--json", cwd=place)
    assert ran.code == code, ran
    document = json.loads(ran.out)
    assert document["schema"] == f"snnquant.{verb}/1"
    assert problems(document, document["schema"]) == []
    for change in (lambda d: d.pop("tool"), lambda d: d.update(more=1)):
        other = json.loads(ran.out)
        change(other)
        assert problems(other, document["schema"])


def test_what_is_written(place):
    shutil.copy(place / "digits_test.npz", place / "t.npz")
    quantize = ("quantize", "digits_mlp.onnx", "--data", "t.npz", "--test", "t.npz", "-o", "q.onnx")
    assert forked(*quantize, "--samples", "32", "--max-drop", "1", cwd=place).code == 0
    for name in ("g.manifest.json", "q.manifest.json", "digits_mlp.json", "q.calibration.json"):
        document = json.loads((place / name).read_text())
        assert problems(document, document["schema"]) == [], name
