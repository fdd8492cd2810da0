"""The table of exit codes: each is reached, 130 in the tests of interruptions."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
from cli_process import SECONDS, contents, environment, snnquant

from snnquant import errors

CONVERT = ("convert", "digits_mlp.onnx", "--calibration")
DATA = ("--data", "digits_test.npz", "-q")

#: Name: (exit code, arguments, code that runs in the process first).
WRONG_REFERENCE = """
import snnquant.reference as r
run = r.Reference.run
r.Reference.run = lambda *a: {k: v + 1 for k, v in run(*a).items()}
"""
BUG = "import snnquant.inspection as i; i.inspect_model = lambda model: 1 / 0"
NO_LIBRARY = "import snnquant.runtime as r; r._LIBRARY_NAME = 'none.so'"
CASES = {
    "all is well": (0, ("inspect", "digits_mlp.onnx"), ""),
    "a self-check that fails": (
        1,
        (*CONVERT, "digits_mlp.json", "-o", "old.onnx", "-q"),
        WRONG_REFERENCE,
    ),
    "a bug": (1, ("inspect", "digits_mlp.onnx"), BUG),
    "usage": (2, ("inspect", "--colour"), ""),
    "unreadable model": (3, ("inspect", "digits_test.npz"), ""),
    "unreadable data": (3, ("eval", "digits_mlp.onnx", "--data", "old.json", "-q"), ""),
    "silence": (
        5,
        ("calibrate", "digits_mlp.onnx", *DATA, "-o", "old.json"),
        "import snnquant.instrument as i; run = i.Runner.run\n"
        "i.Runner.run = lambda *a: {k: v * (v.dtype.kind != 'f') for k, v in run(*a).items()}",
    ),
    "another's calibration": (6, (*CONVERT, "other.json", "-o", "old.onnx", "-q"), ""),
    "no library": (7, ("eval", "digits_mlp.int.onnx", *DATA), NO_LIBRARY),
}
#: A failed gate still reports on stdout, so that it has a test of its own.
GATE = errors.GateError.exit_code


def started(folder, code, arguments):
    """Return what runs the command line after some code."""
    path = folder.parent / "start.py"
    path.write_text(f"{code}\nfrom snnquant.cli.main import main\nmain()\n")
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("case", CASES)
def test_code_is_reached(folder, case):
    code, arguments, first = CASES[case]
    text = (folder / "digits_mlp.json").read_text()
    (folder / "other.json").write_text(text.replace('"maximum": 1.0', '"maximum": 2.0'))
    before = contents(folder)
    ran = started(folder, first, arguments)
    said = ran.stderr.decode()
    assert ran.returncode == code, said
    assert contents(folder) == before
    if code:
        assert ran.stdout == b""
        assert said.count("\n") == 1
        assert said.startswith(
            "internal error: ZeroDivisionError" if case == "a bug" else "error: "
        )


def test_every_code_has_a_case():
    defined = {
        value.exit_code
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.SnnquantError)
    }
    assert {code for code, _, _ in CASES.values()} == {0} | defined - {GATE}


def test_a_failed_gate_is_4_and_reports_all_the_same(folder):
    evaluate = ("eval", "digits_mlp.int.onnx", *DATA, "--reference", "digits_mlp.onnx")
    ran = started(folder, "", (*evaluate, "--min-accuracy", "1", "--max-drop", "1", "--json"))
    assert ran.returncode == GATE == 4
    gates = json.loads(ran.stdout)["gates"]
    assert [(g["id"], g["limit"], g["status"]) for g in gates] == [
        ("min-accuracy", 1.0, "failed"),
        ("max-drop", 1.0, "passed"),
    ]
    assert 0.9 < gates[0]["value"] < 1
    assert (
        ran.stderr.decode()
        .splitlines()[-1]
        .startswith("error: gate failed: min-accuracy 1 but found 0.9")
    )
    ran = started(folder, "", (*evaluate, "--min-accuracy", "0.9", "--max-drop", "0.1"))
    assert ran.returncode == 0, ran.stderr


def test_a_gate_that_is_no_number_is_2(folder):
    for gate in ("--min-accuracy", "--max-drop"):
        ran = started(folder, "", ("eval", "digits_mlp.int.onnx", *DATA, gate, "nan", "--json"))
        assert ran.returncode == 2, ran.stderr
        assert "'nan' is no finite number" in ran.stderr.decode()


def test_a_gate_on_what_is_not_measured_is_2(folder):
    with np.load(folder / "digits_test.npz") as data:
        np.savez(folder.parent / "unlabelled.npz", x=data["x"][:8])
    data = ("--data", str(folder.parent / "unlabelled.npz"), "-q")
    for gate, says in (("--min-accuracy", "add 'y'"), ("--max-drop", "--reference")):
        ran = started(folder, "", ("eval", "digits_mlp.int.onnx", *data, gate, "0.5"))
        assert ran.returncode == 2, ran.stderr
        assert says in ran.stderr.decode()


def test_a_bug_shows_its_traceback_only_when_asked(folder):
    path = folder.parent / "start.py"
    path.write_text(f"{BUG}\nfrom snnquant.cli.main import main\nmain()\n")
    arguments = [sys.executable, str(path), "inspect", "digits_mlp.onnx"]
    ran = subprocess.run(
        arguments,
        cwd=folder,
        env=environment(SNNQUANT_DEBUG="1"),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 1
    assert b"Traceback" in ran.stderr
    assert b"ZeroDivisionError" in ran.stderr.splitlines()[-1]


def test_help_lists_the_codes(tmp_path):
    ran = snnquant("--help", cwd=tmp_path)
    text = " ".join(ran.out.split())
    for code, words in {
        0: "ok",
        1: "internal error",
        2: "usage",
        3: "model or data unreadable",
        4: "a gate failed",
        5: "numerical refusal",
        6: "calibration of something else",
        7: "custom-op library",
        130: "interrupted",
    }.items():
        assert f"{code} {words}" in text
