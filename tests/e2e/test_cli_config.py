"""A project that is configured: verbs with no word behind them, and what they say of it."""

import json
import subprocess
import sys

import pytest
from cli_process import SECONDS, environment, snnquant

PROJECT = """
[tool.snnquant]
data = "digits_test.npz"
preset = "int4"

[tool.snnquant.convert]
weight-bits = 3
output-file = "made/pyproject.onnx"
"""
SETTINGS = """
model = "digits_mlp.onnx"

[calibrate]
samples = 40
output_file = "made/calibration.json"
input = ["input=analog"]

[convert]
calibration = "made/calibration.json"
output-file = "made/net.int.onnx"

[eval]
model = "made/net.int.onnx"
reference = "digits_mlp.onnx"
samples = 50
json = true
"""


@pytest.fixture
def project(folder):
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "snnquant.toml").write_text(SETTINGS)
    (folder / "made").mkdir()
    return folder


def test_a_configured_project_needs_no_words(project):
    below = project / "made"  # paths begin where the file is
    ran = snnquant("calibrate", cwd=below)
    assert ran.code == 0, ran
    echo, configured = ran.err.splitlines()[:2]
    assert "method mse, samples 40" in echo
    assert configured == "  configured by preset int4, ../pyproject.toml, ../snnquant.toml"
    ran = snnquant("convert", cwd=below, SNNQUANT_CONVERT_INPUT_BITS="6")
    assert ran.code == 0, ran
    assert "weight bits 3, input bits 6, per channel yes" in ran.err
    assert ran.err.splitlines()[1].endswith(", SNNQUANT_CONVERT_INPUT_BITS")
    ran = snnquant("eval", "--samples", "60", cwd=below)
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["metrics"]["samples"] == 60
    assert document["inputs"]["model"]["path"] == "../made/net.int.onnx"
    assert (below / "net.int.onnx").is_file()
    assert not (below / "pyproject.onnx").exists()


def test_without_the_files_nothing_is_configured(project):
    ran = snnquant("--no-config", "calibrate", "digits_mlp.onnx", cwd=project)
    assert ran.code == 2
    assert ran.err.startswith("error: Missing option '--data'")
    (project / "other.toml").write_text("[calibrate]\ndata = 'none.npz'\n")
    words = ("calibrate", "digits_mlp.onnx")
    for ran in (
        snnquant("--config", "other.toml", *words, cwd=project),
        snnquant(*words, cwd=project, SNNQUANT_CONFIG="other.toml"),
    ):
        assert ran.code == 3
        assert "configured by other.toml\n" in ran.err
        assert "there is no data file 'none.npz'" in ran.err


def test_code_is_named_as_it_is_and_targets_by_name(folder):
    (folder / "sub").mkdir()
    (folder / "snnquant.toml").write_text(
        "[calibrate]\ndata = 'package.module:give'\n[eval]\ndata = 'x.npz'\n"
        "[convert]\ntarget = 'tianjic'\n[inspect]\nmodel = '/abs/net.onnx'\n"
    )
    ran = snnquant("config", "--json", cwd=folder / "sub")
    assert ran.code == 0, ran
    settings = json.loads(ran.out)["settings"]
    assert settings["calibrate"]["data"] == {
        "value": "package.module:give",
        "origin": "../snnquant.toml",
    }
    assert settings["eval"]["data"]["value"] == "../x.npz"
    assert settings["convert"]["target"]["value"] == "tianjic"
    assert settings["inspect"]["model"]["value"] == "/abs/net.onnx"
    assert settings["bench"]["seconds"] == {"value": 2.0, "origin": "default"}


def test_config_shows_each_value_and_its_origin(project):
    ran = snnquant("config", "convert", cwd=project, SNNQUANT_GOLDEN="3")
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split(maxsplit=2) for line in ran.out.splitlines()[2:] if line]
    assert ["per-channel", "true", "preset int4"] in rows
    assert ["weight-bits", "3", "pyproject.toml"] in rows
    assert ["output-file", "made/net.int.onnx", "snnquant.toml"] in rows
    assert ["golden", "3", "SNNQUANT_GOLDEN"] in rows
    assert ["readout-as", "float", "default"] in rows


def test_config_lists_presets_and_prints_the_schema(tmp_path):
    ran = snnquant("config", "--presets", "--json", cwd=tmp_path)
    presets = json.loads(ran.out)["presets"]
    assert {"ci", "int4", "tianjic"} <= presets.keys()
    ran = snnquant("config", "--presets", cwd=tmp_path)
    assert [line.split()[0] for line in ran.out.splitlines()] == list(presets)
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    ran = snnquant("config", "--schema", cwd=tmp_path)
    assert json.loads(ran.out)["$id"] == "snnquant.settings/1"


def test_a_preset_makes_gates(folder):
    words = ("eval", "digits_mlp.int.onnx", "--data", "digits_test.npz", "-q", "--json")
    ran = snnquant("--preset", "ci", *words, cwd=folder)
    gates = {gate["id"]: gate["limit"] for gate in json.loads(ran.out)["gates"]}
    assert ran.code == 0, ran
    assert gates["max-drop"] == 0.01
    ran = snnquant("--preset", "ci", *words, "--min-agreement", "1", cwd=folder)
    assert ran.code == 4
    assert "min-agreement 1 but found" in ran.err


def test_nothing_configured_costs_nothing(tmp_path):
    code = (
        "import sys\nfrom snnquant.cli.main import run\n"
        "assert run(['eval', 'none.onnx', '--data', 'none.npz']) == 3\n"
        "heavy = {'jsonschema', 'snnquant.cli.configuration.layers', 'snnquant.cli.bench'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
