"""What the README shows runs as it stands there, in one folder, from top to bottom."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits

import snnquant
from snnquant.gates import GATES

README = Path(__file__).parents[2] / "README.md"


def section(title):
    """Return the text under a heading, up to the next one of its level or above."""
    text = README.read_text(encoding="utf-8")
    level = len(title) - len(title.lstrip("#"))
    body = text.split(f"\n{title}\n", 1)[1]
    return re.split(rf"\n#{{1,{level}}} ", re.sub(r"```.*?```", _hidden, body, flags=re.DOTALL))[0]


def _hidden(block):
    # Comments in code are no headings.
    return block.group().replace("\n#", "\n\0#")


def blocks(language, text):
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [block.replace("\0", "") for block in found]


def commands_of(block):
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.strip()]


def run_snnquant(words, folder):
    ran = subprocess.run(
        [sys.executable, "-m", "snnquant", *words],
        capture_output=True,
        env=os.environ,
        cwd=folder,
        check=False,
    )
    assert ran.returncode == 0, (words, ran)
    return ran


def _check_quantizing(block):
    seen = {}
    exec(compile(block, "README.md", "exec"), seen)
    session = snnquant.InferenceSession("snn.int.onnx")
    (scores,) = session.run(None, {"input": seen["images"].numpy()})
    assert np.allclose(scores, seen["scores"].numpy(), 1e-5, 1e-6)
    aware = seen["model"](seen["images"])
    assert aware.requires_grad
    assert aware.abs().max() > 0


def test_the_two_commands_are_the_checked_ones():
    checked = README.read_text(encoding="utf-8").split("<!-- checked -->")[1].split("<!-- end")[0]
    commands = [line for line in checked.splitlines() if line.startswith("pip install")]
    frameworks = (
        "snntorch==1.0.0 spikingjelly==2.0.0 norse==1.1.0 sinabs==3.1.3 nirtorch==2.6 "
        "neurobench==2.3.0"
    )
    assert commands == [
        "pip install . && snnquant demo",
        f"pip install -e '.[test]' && pip install --no-deps {frameworks} && pytest",
    ]


def test_the_python_and_the_verbs_run_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (train,) = blocks("python", section("### snnquant.nn"))
    (quantize,) = blocks("python", section("### Quantize in torch"))
    (use,) = blocks("python", section("### Run it"))
    import torch

    torch.manual_seed(0)
    exec(compile(train, "README.md", "exec"), {})
    _check_quantizing(quantize)
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        images = rng.random((64, 1, 8, 8), dtype=np.float32) * 20
        np.savez(tmp_path / f"{name}.npz", x=images, y=rng.integers(0, 10, 64))
    at_once, in_steps = blocks("sh", section("## Your own network"))[:2]
    commands = [*commands_of(at_once), *commands_of(in_steps)]
    assert [words[0] for words in commands] == [
        *("quantize", "inspect", "import", "calibrate", "convert", "eval", "verify", "diff"),
        "bench",
    ]
    for words in commands:
        assert b"warning: " not in run_snnquant(words, tmp_path).stderr
    for words in commands_of(blocks("sh", section("### Golden vectors and traces"))[0]):
        run_snnquant(words, tmp_path)
    seen = {"images": images}
    exec(compile(use, "README.md", "exec"), seen)
    assert seen["session"].run(None, {"input": images})[0].shape == (64, 10)
    run_snnquant(["convert", "net.onnx", "--mode", "step", "-o", "net.step.onnx"], tmp_path)
    (stream,) = blocks("python", section("### Streaming, one step per call"))
    exec(compile(stream, "README.md", "exec"), seen)
    whole = seen["session"].timesteps, seen["outputs"]
    assert whole[0] > 1
    session = snnquant.InferenceSession("net.int.onnx")
    (scores,) = session.run(None, {"input": images[:2]})
    assert np.array_equal(next(iter(whole[1].values())), scores)
    ops = [node.op_type for node in onnx.load("net.int.onnx").graph.node]
    assert [op for op in ops if "LIF" in op] == ["QStaticConvLIF", "QLinearLIF"]


@pytest.mark.parametrize("framework", ["snnTorch", "SpikingJelly", "Norse", "sinabs"])
def test_a_recipe_runs_as_shown(framework, tmp_path):
    recipe = section("## From your framework")
    (net,) = blocks("python", section(f"### {framework}"))
    train = blocks("python", recipe)[0]
    by_class, by_export = blocks("sh", recipe)[:2]
    (tmp_path / "net.py").write_text(net, encoding="utf-8")
    (tmp_path / "train.py").write_text(train, encoding="utf-8")
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    np.savez(tmp_path / "train.npz", x=images[:400], y=digits.target[:400])
    np.savez(tmp_path / "test.npz", x=images[-200:], y=digits.target[-200:])
    trained = subprocess.run(
        [sys.executable, "-W", "ignore", "train.py"], cwd=tmp_path, capture_output=True, check=False
    )
    assert trained.returncode == 0, trained
    for block, evaluated in ((by_class, 3), (by_export, 2)):
        commands = commands_of(block)
        assert commands[evaluated][0] == "eval"
        for words in commands[:evaluated]:
            run_snnquant(words, tmp_path)
        result = json.loads(run_snnquant([*commands[evaluated], "--json"], tmp_path).stdout)
        # Chance is 0.1; a few seconds of training on 400 digits give far more.
        assert result["metrics"]["accuracy"] > 0.6


def test_the_table_of_gates_has_every_gate():
    table = section("### Gates for a pipeline")
    for rule in GATES:
        (row,) = (line for line in table.splitlines() if f"`{rule.option}`" in line.split(" | ")[0])
        assert f"`metrics.{rule.metric}`" in row
