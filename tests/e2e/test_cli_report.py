"""The HTML report as a user gets it: exit codes, what is written when, the same bytes twice."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from cli_process import contents, forked, refuses, snnquant

EVAL = ("eval", "digits_mlp.int.onnx", "--data", "digits_test.npz", "--samples", "64", "-q")


def test_a_failed_gate_is_4_and_the_report_is_there_with_the_same_bytes(folder):
    arguments = (*EVAL, "--min-accuracy", "1", "--report", "r.html", "--json")
    ran = forked(*arguments, cwd=folder)
    assert ran.code == 4
    first = (folder / "r.html").read_bytes()
    assert b"1 of 1 gates failed" in first
    (entry,) = json.loads(ran.out)["artifacts"]
    assert entry == {"path": "r.html", "sha256": hashlib.sha256(first).hexdigest()}
    assert snnquant(*EVAL, "--min-accuracy", "1", "--report", "s.html", cwd=folder).code == 4
    assert (folder / "s.html").read_bytes() == first
    assert len(first) < 300_000
    assert [name for name in contents(folder) if name.startswith(".")] == []


def test_a_benchmark_of_this_model(folder):
    bench = ("bench", "digits_mlp.int.onnx", "--reference", "digits_mlp.onnx")
    ran = forked(*bench, "--data", "digits_test.npz", "--seconds", "0", "--json", cwd=folder)
    assert ran.code == 0, ran.err
    (folder / "bench.json").write_text(ran.out)
    (folder / "other.json").write_text(ran.out.replace('"sha256": "', '"sha256": "0'))
    report = ("--report", "r.html")
    ran = forked(*EVAL, *report, "--speed", "bench.json", cwd=folder)
    assert ran.code == 0, ran.err
    text = (folder / "r.html").read_text(encoding="utf-8")
    assert text.count('<th scope="row">digits_mlp.int</th>') == 2
    (folder / "r.html").unlink()
    refuses(folder, 3, *EVAL, *report, "--speed", "other.json", says=["is of another model"])
    refuses(folder, 3, *EVAL, *report, "--speed", "digits_mlp.json", says=["benchmark"])
    refuses(folder, 3, *EVAL, *report, "--speed", "missing.json", says=["cannot read benchmark"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--speed", "digits_mlp.json"), "give --report too"),
        (("--report-samples", "2"), "give --report too"),
        (("--report", "r.html", "--report-samples", "0"), "--report-samples"),
        (("--report", "digits_test.npz"), "would replace the input digits_test.npz"),
        (("--report", "digits_mlp.onnx"), "would replace the input digits_mlp.onnx"),
        (("--report", "digits_mlp.int.manifest.json"), "would replace the input digits_mlp.int.m"),
        (("--report", "a.json", "--speed", "a.json"), "would replace the input a.json"),
        (("--report", "r.html", "--junit", "./r.html"), "would replace the other output r.html"),
        (("--report", "missing/r.html"), "create it first"),
    ],
)
def test_what_cannot_be_is_2(folder, arguments, says):
    refuses(folder, 2, *EVAL, *arguments, says=[says])


def test_an_evaluation_that_fails_leaves_the_old_report(folder):
    (folder / "r.html").write_text("old")
    (folder / "bad.npz").write_bytes(b"no data")
    before = contents(folder)
    ran = forked(*EVAL[:3], "bad.npz", "--report", "r.html", "-q", cwd=folder)
    assert ran.code == 3
    assert contents(folder) == before


def test_a_float_model_without_labels(folder):
    with np.load(folder / "digits_test.npz") as data:
        np.savez(folder / "bare.npz", x=data["x"][:3])
    arguments = ("eval", "digits_mlp.onnx", "--data", "bare.npz", "--report", "r.html", "-q")
    ran = forked(*arguments, cwd=folder)
    assert ran.code == 0, ran.err
    text = (folder / "r.html").read_text(encoding="utf-8")
    assert "there is no accuracy" in text
    assert "nothing is said of differences" in text
    assert "No gates were set" in text


def test_single_steps_give_the_numbers_of_sequences(folder):
    step = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "--mode", "step")
    assert forked(*step, "-o", "step.onnx", cwd=folder).code == 0
    shutil.copy(folder / "digits_mlp.int.onnx", folder / "whole.onnx")
    given = ("--reference", "digits_mlp.onnx", "--samples", "32", "-q")
    pages = []
    for name in ("whole", "step"):
        arguments = ("eval", f"{name}.onnx", "--data", "digits_test.npz", *given)
        ran = forked(*arguments, "--report", f"{name}.html", cwd=folder)
        assert ran.code == 0, ran.err
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        pages.append(text.split('id="layers"')[1].split('id="weights"')[0])
    assert len(pages[0]) > 10_000
    assert pages[0] == pages[1]


def test_without_the_library_the_same_page(folder):
    for name, more in (("a", ()), ("b", ("--without-library",))):
        assert forked(*EVAL, *more, "--report", f"{name}.html", cwd=folder).code == 0
    a, b = ((folder / f"{name}.html").read_text(encoding="utf-8") for name in "ab")
    assert a.split('id="provenance"')[0] == b.split('id="provenance"')[0]
