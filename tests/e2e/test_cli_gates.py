"""Gates as a pipeline meets them: exit codes, and the files that are left behind."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from cli_process import contents, refuses, snnquant

EVAL = ("eval", "digits_mlp.int.onnx", "--data", "digits_test.npz", "-q")
REPORTS = ("--junit", "gates.xml", "--summary", "summary.md")
#: Limits that the digits keep, and limits that they break.
KEPT = {
    "--min-accuracy": 0.9,
    "--max-drop": 0.05,
    "--min-agreement": 0.9,
    "--max-rate-drift": 0.1,
    "--max-rate-emd": 0.1,
    "--max-dead": 0.5,
    "--max-saturation": 0.5,
    "--max-size": 100_000,
}
BROKEN = {
    "--min-accuracy": 1,
    "--min-agreement": 1,
    "--max-rate-drift": 0,
    "--max-rate-emd": 0,
    "--max-dead": 0,
    "--max-size": 1,
}


def options(limits):
    return [str(part) for pair in limits.items() for part in pair]


def test_kept_gates_are_0(folder):
    ran = snnquant(*EVAL, *options(KEPT), *REPORTS, "--json", cwd=folder)
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert [gate["id"] for gate in document["gates"]] == [name[2:] for name in KEPT]
    assert {gate["status"] for gate in document["gates"]} == {"passed"}
    assert [entry["path"] for entry in document["artifacts"]] == ["gates.xml", "summary.md"]
    suite = ElementTree.parse(folder / "gates.xml").getroot()
    assert (suite.get("failures"), suite.get("tests")) == ("0", str(8 + 2 * 3))
    assert "**all gates passed**" in (folder / "summary.md").read_text(encoding="utf-8")


def test_broken_gates_are_4_all_named_and_reported(folder):
    (folder / "gh.md").write_text("before\n")
    ran = snnquant(
        *EVAL, *options(KEPT | BROKEN), *REPORTS, cwd=folder, GITHUB_STEP_SUMMARY="gh.md"
    )
    assert ran.code == 4
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: gate failed: min-accuracy 1 but found 0.9")
    for name in BROKEN:
        assert f"{name[2:]} " in last
    assert "max-drop" not in last
    failures = ElementTree.parse(folder / "gates.xml").findall(".//failure")
    assert len(failures) >= len(BROKEN)
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert f"**{len(BROKEN)} of {len(KEPT)} gates failed**" in summary
    assert (folder / "gh.md").read_text(encoding="utf-8") == "before\n" + summary


def test_a_baseline(folder):
    ran = snnquant(*EVAL, "--json", cwd=folder)
    document = json.loads(ran.out)
    (folder / "same.json").write_text(ran.out)
    ran = snnquant(*EVAL, "--baseline", "same.json", cwd=folder)
    assert (ran.code, ran.err) == (0, "")
    document["metrics"]["accuracy"] += 0.01
    document["inputs"]["data"]["sha256"] = "0" * 64
    (folder / "better.json").write_text(json.dumps(document))
    ran = snnquant(*EVAL, "--baseline", "better.json", cwd=folder)
    assert ran.code == 4
    warning, error = ran.err.splitlines()
    assert warning == "warning: baseline better.json was measured on other data"
    assert error.startswith("error: gate failed: baseline-accuracy 0.98")
    ran = snnquant(*EVAL, "--baseline", "better.json", "--tolerance", "0.02", cwd=folder)
    assert ran.code == 0, ran.err


def test_what_is_no_baseline_is_3(folder):
    (folder / "other.json").write_text('{"schema": "snnquant.demo/1"}')
    for name in ("other.json", "missing.json", "digits_test.npz"):
        refuses(folder, 3, *EVAL, *REPORTS, "--baseline", name, says=["baseline"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--min-accuracy", "nan"), "no finite number"),
        (("--max-rate-drift", "inf"), "no finite number"),
        (("--tolerance", "nan"), "no finite number"),
        (("--max-dead", "1.5"), "--max-dead"),
        (("--max-size", "-1"), "--max-size"),
        (("--junit", "digits_test.npz"), "would replace the input digits_test.npz"),
        (("--summary", "digits_mlp.int.onnx"), "would replace the input digits_mlp.int.onnx"),
        (("--summary", "digits_mlp.onnx"), "would replace the input digits_mlp.onnx"),
        (("--junit", "x.xml", "--summary", "./x.xml"), "would replace the other output x.xml"),
        (("--junit", "missing/x.xml"), "create it first"),
    ],
)
def test_what_cannot_be_is_2(folder, arguments, says):
    refuses(folder, 2, *EVAL, *arguments, says=[says])


@pytest.mark.parametrize("gate", [name for name in KEPT if name.startswith(("--min", "--max-r"))])
def test_a_gate_on_what_is_not_measured_is_2(folder, gate):
    with np.load(folder / "digits_test.npz") as data:
        np.savez(folder / "unlabelled.npz", x=data["x"][:8])
    (folder / "digits_mlp.int.manifest.json").unlink()
    arguments = ("eval", "digits_mlp.int.onnx", "--data", "unlabelled.npz", "-q", *REPORTS)
    refuses(folder, 2, *arguments, gate, "0.5", says=[f"{gate} needs "])


def test_an_execution_error_writes_no_report(folder):
    (folder / "bad.npz").write_bytes(b"no data")
    before = contents(folder)
    ran = snnquant("eval", "digits_mlp.int.onnx", "--data", "bad.npz", *REPORTS, cwd=folder)
    assert ran.code == 3
    assert contents(folder) == before


def test_a_step_summary_that_cannot_be_written_is_2(folder):
    ran = snnquant(*EVAL, cwd=folder, GITHUB_STEP_SUMMARY="missing/gh.md")
    assert ran.code == 2
    assert "create it first" in ran.err
