"""NeuroBench's metrics on the command line."""

import json

from cli_process import refuses, snnquant

EVAL = ("--data", "digits_test.npz", "--neurobench", "-q")


def test_a_table_and_json(folder):
    ran = snnquant("eval", "digits_mlp.int.onnx", *EVAL, cwd=folder)
    assert ran.code == 0, ran.err
    rows = {line.rsplit("  ", 1)[0].strip(): line.split()[-2:] for line in ran.out.splitlines()}
    assert rows["dense operations"][-1] == "41,984.0"  # 64 x 64 once, 64 x 74 at each of 8 steps
    assert rows["8,832 weights, packed"] == ["70,656", "bits"]
    ran = snnquant("eval", "digits_mlp.int.onnx", *EVAL, "--json", cwd=folder)
    found = json.loads(ran.out)["metrics"]["neurobench"]
    assert found["dense"] == 64 * 64 + 8 * 64 * 74
    assert 0 < found["effective_macs"] < 64 * 64  # the input is analog, and static
    assert 0 < found["effective_acs"] < 8 * 64 * 74


def test_single_steps_are_2(folder):
    arguments = ("--calibration", "digits_mlp.json", "--mode", "step", "-o", "step.onnx", "-q")
    ran = snnquant("convert", "digits_mlp.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran.err
    refuses(folder, 2, "eval", "step.onnx", *EVAL, says=["--neurobench needs whole sequences"])
