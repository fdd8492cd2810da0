"""What the README shows runs as it stands there, in one folder, from top to bottom."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

import snnquant

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


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
    assert commands == ["pip install . && snnquant demo", "pip install -e '.[test]' && pytest"]


def test_the_python_and_the_four_verbs_run_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, quantize, use = blocks("python")
    import torch

    torch.manual_seed(0)
    exec(compile(train, "README.md", "exec"), {})
    _check_quantizing(quantize)
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        images = rng.random((64, 1, 8, 8), dtype=np.float32) * 20
        np.savez(tmp_path / f"{name}.npz", x=images, y=rng.integers(0, 10, 64))
    (lines,) = [block for block in blocks("sh") if "snnquant calibrate" in block]
    commands = [shlex.split(line, comments=True) for line in lines.splitlines()]
    assert [words[1] for words in commands] == ["inspect", "calibrate", "convert", "eval"]
    for _, *words in commands:
        ran = subprocess.run(
            [sys.executable, "-m", "snnquant", *words], capture_output=True, env=os.environ
        )
        assert ran.returncode == 0, ran
        assert b"warning: " not in ran.stderr
    seen = {"images": images}
    exec(compile(use, "README.md", "exec"), seen)
    assert seen["session"].run(None, {"input": images})[0].shape == (64, 10)
    assert [n.op_type for n in onnx.load("net.int.onnx").graph.node].count("QLIF") == 2
