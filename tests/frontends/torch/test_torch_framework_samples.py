"""The scripts that go from a framework to integers run as they are, on as little as shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--epochs", "3", "--samples", "500")  # fewer leave a neuron silent


@pytest.mark.parametrize("framework", ["snntorch", "spikingjelly", "norse", "sinabs"])
def test_the_sample_of_a_framework_ends_in_integers(tmp_path, framework):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, ROOT / "samples" / f"from_{framework}.py", *QUICK, "--out", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "100"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^\$ snnquant (\w+)", done.stdout, re.MULTILINE)
    assert commands == ["import", "calibrate", "convert", "eval"]
    assert re.search(r"accuracy \(719 samples\) +[\d.]+ % +[\d.]+ %", done.stdout)
    assert (tmp_path / "net.int.onnx").is_file()
