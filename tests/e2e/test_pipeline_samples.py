"""The pipeline samples: their commands run as they stand, on the sample network."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from cli_process import SAMPLES, SECONDS, environment

PIPELINES = SAMPLES / "pipelines"
FILES = ("digits_conv.onnx", "digits_calibration.npz", "digits_test.npz")


@pytest.fixture
def place(tmp_path):
    """A repository with a model, its data and its settings, and snnquant on the path."""
    for name in FILES:
        shutil.copy(SAMPLES / name, tmp_path)
    shutil.copy(PIPELINES / "snnquant.toml", tmp_path)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "snnquant").write_text(f'#!/bin/sh\nexec {sys.executable} -m snnquant "$@"\n')
    (scripts / "snnquant").chmod(0o755)
    return tmp_path


def read(name):
    return yaml.safe_load((PIPELINES / name).read_text())


def run(place, words, **changes):
    changes["PATH"] = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words,
        cwd=place,
        env=environment(**changes),
        capture_output=True,
        timeout=SECONDS,
        check=False,
        text=True,
    )


def steps(name):
    """Return the commands of a pipeline, but for the installation."""
    if name == "github-actions.yml":
        found = [step["run"] for step in read(name)["jobs"]["quantize"]["steps"] if "run" in step]
    else:
        job = read(name)["quantize"]
        found = [*job["before_script"], *job["script"]]
    assert "pip install snnquant" in found
    return [words for words in found if not words.startswith("pip ")]


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_commands_run(place, name):
    summary = place / "summary.md"
    for command in steps(name):
        ran = run(place, ["sh", "-ec", command], CI="true", GITHUB_STEP_SUMMARY=str(summary))
        assert ran.returncode == 0, (command, ran)
    text = (PIPELINES / name).read_text()
    for kept in ("report.html", "gates.xml"):
        assert (place / kept).is_file()
        assert text.count(kept) == 2
    cases = ElementTree.parse(place / "gates.xml").getroot().iter("testcase")
    assert len(list(cases)) >= 4
    assert "min-accuracy" in summary.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_gate_broken_on_purpose_stops_the_job_and_leaves_the_report(place):
    settings = place / "snnquant.toml"
    settings.write_text(settings.read_text().replace("weight-bits = 8", "weight-bits = 2"))
    quantize, _ = steps("gitlab-ci.yml")
    ran = run(place, ["sh", "-ec", quantize])
    assert ran.returncode == 4, ran
    assert "gate failed" in ran.stderr
    assert "min-agreement" in (place / "gates.xml").read_text()
    assert (place / "report.html").is_file()
    gates = json.loads((place / "digits_conv.int.manifest.json").read_text())["gates"]
    assert "failed" in {gate["status"] for gate in gates}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_hooks_take_good_models_and_stop_bad_ones(place):
    float_hook, integer_hook = read("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert run(place, ["sh", "-ec", steps("gitlab-ci.yml")[0]]).returncode == 0
    for hook, model in ((float_hook, "digits_conv.onnx"), (integer_hook, "digits_conv.int.onnx")):
        entry = shlex.split(hook["entry"])
        ran = run(place, [*entry, model, model])
        assert ran.returncode == 0, ran
        data = bytearray((place / model).read_bytes())
        data[len(data) // 2] ^= 1
        (place / "bad.onnx").write_bytes(data)
        if hook is integer_hook:
            (place / model).write_bytes(data)  # beside its manifest and golden vectors
        else:
            (place / "bad.onnx").write_bytes(data[: len(data) // 2])
        ran = run(place, [*entry, model if hook is integer_hook else "bad.onnx", model])
        assert ran.returncode in (3, 4), ran
