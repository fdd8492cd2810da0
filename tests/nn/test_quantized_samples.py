import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from snnquant import InferenceSession

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
PNG = b"\x89PNG\r\n\x1a\n"


def run(script, *options):
    """Run a sample with warnings as errors, on as little as shows that it runs."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", SAMPLES / script, *map(str, options)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "100"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(output):
    """Return the cells of the printed table by the first cell of each line."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return folder, run("quantize_digits.py", "--quick", "--out", folder)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    return folder, run("quantize_events.py", "--quick", "--out", folder)


def test_the_digits_sample_shows_every_width(digits):
    rows = table(digits[1])
    names = ["float", "8 bit", "4 bit", "3 bit, PTQ", "3 bit, QAT", "2 bit, PTQ", "2 bit, QAT"]
    assert list(rows) == names
    size = {name: int(cells[2].replace(",", "")) for name, cells in rows.items()}
    assert size["float"] == 4 * size["8 bit"] == 8 * size["4 bit"]
    for cells in rows.values():
        assert 0 < float(cells[0].removesuffix(" %")) <= 100


def test_the_digits_sample_found_the_same_integers_everywhere(digits):
    for line in ("loaded: all ", "ONNX: all ", "3 bit, frozen: all ", "2 bit, frozen: all "):
        assert f"\n{line}" in digits[1]


def test_the_digits_file_is_integers_in_any_session(digits):
    path = digits[0] / "digits.onnx"
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "QLIF" in operators
    assert "LIF" not in operators
    with np.load(SAMPLES / "digits_test.npz") as file:
        x = file["x"][:64]
    provider = ["CPUExecutionProvider"]
    with_kernels = InferenceSession(path, providers=provider).run(None, {"input": x})[0]
    stock = ort.InferenceSession(path, providers=provider).run(None, {"input": x})[0]
    np.testing.assert_array_equal(with_kernels, stock)
    assert len(np.unique(with_kernels)) > 10


def test_the_picture_of_a_neuron_is_drawn(digits, tmp_path):
    path = tmp_path / "neuron.png"
    output = run("plot_neuron.py", "--model", digits[0] / "digits.snnq", "--out", path)
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size > 20_000
    found = re.findall(r"(\w+), neuron \d+, (\d) bit: membranes differ by ([\d.]+)", output)
    far = {(layer, bits): float(distance) for layer, bits, distance in found}
    assert set(far) == {("lif1", "8"), ("lif1", "3"), ("lif3", "8"), ("lif3", "3")}
    assert far["lif1", "8"] < far["lif1", "3"]


def test_the_events_sample_shows_every_kind(events):
    names = ["float", "generic, 8 bit", "tianjic, 8 bit", "generic, 3 bit", "generic, 2 bit"]
    assert list(table(events[1])) == [*names, "generic, 2 bit, trained on"]
    for name in names[1:]:
        assert f"{name}, loaded: all " in events[1]
        assert f"{name}, ONNX: all " in events[1]


def test_the_events_enter_as_they_are(events):
    graph = onnx.load(events[0] / "events_tianjic_8.onnx").graph
    assert {"QCubaLIF", "QLIFRecurrent", "QLI"} <= {node.op_type for node in graph.node}
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    entries = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert entries
    assert all(held[node.input[1]] == 1 for node in entries)
