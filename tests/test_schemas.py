"""What the verbs print is what their schemas say, and the schemas say all of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from schema_checks import check_schema, problems

from snnquant.gates import GATES
from snnquant.schemas import document_schema

SCHEMA = "snnquant.eval/1"


def test_the_schema_of_diff_is_one():
    check_schema("snnquant.diff/1")


def test_the_schema_is_one():
    described = check_schema(SCHEMA)["properties"]["metrics"]["properties"]
    assert {rule.metric for rule in GATES} <= described.keys()


@pytest.mark.parametrize("name", ["", "eval", "snnquant.eval/2", "snnquant.../x", "../../eval/1"])
def test_there_is_no_other(name):
    with pytest.raises(KeyError):
        document_schema(name)


def test_real_documents_are_valid(digits_documents):
    assert len(digits_documents) == 3
    for document in digits_documents:
        assert problems(document, SCHEMA) == []
    full, bare, _ = digits_documents
    assert len(full["gates"]) == 2 * len(GATES)
    assert full["artifacts"]
    assert full["metrics"]["neurobench"]["weights"] == 8832
    assert bare["metrics"]["accuracy"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("tool"),
        lambda d: d.update(schema="snnquant.eval/2"),
        lambda d: d.update(more=1),
        lambda d: d["metrics"].update(accuracy=1.5),
        lambda d: d["metrics"].update(accuracy="1"),
        lambda d: d["gates"][0].update(status="maybe"),
        lambda d: d["layers"][0].pop("dead"),
        lambda d: d["inputs"]["model"].update(sha256="0"),
    ],
)
def test_other_documents_are_not(digits_documents, change):
    document = json.loads(json.dumps(digits_documents[0]))
    change(document)
    assert problems(document, SCHEMA)


@pytest.fixture(scope="module")
def digits_documents(tmp_path_factory):
    """Documents with every gate, without labels or reference, and with warnings."""
    folder = tmp_path_factory.mktemp("documents")
    samples = Path(__file__).resolve().parents[1] / "samples"
    for name in ("digits_mlp.onnx", "digits_test.npz"):
        shutil.copy(samples / name, folder)
    np.savez(folder / "dark.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    limits = {rule.option: "0" if rule.least else "1" for rule in GATES}
    limits["--max-size"] = "1000000"
    gates = [word for pair in limits.items() for word in pair]

    def evaluate(data, *arguments):
        words = [*("-m", "snnquant", "eval", "digits_mlp.onnx"), "--json", "--data", data]
        ran = subprocess.run(
            [sys.executable, *words, *arguments],
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=120,
        )
        (folder / "result.json").write_bytes(ran.stdout)
        return json.loads(ran.stdout)

    reference = ("--reference", "digits_mlp.onnx")
    evaluate("digits_test.npz", *reference)
    full = evaluate(
        "digits_test.npz",
        *reference,
        *gates,
        *("--baseline", "result.json"),
        *("--junit", "j.xml"),
        "--neurobench",
    )
    return full, evaluate("dark.npz"), evaluate("dark.npz", *reference)
