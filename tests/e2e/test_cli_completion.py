"""Shells ask the program for words; what it answers, by the protocol of their scripts."""

import os
import shutil
import subprocess
import sys

import pytest
from cli_process import SECONDS, environment, snnquant
from click.shell_completion import get_completion_class

from snnquant.cli import VERBS
from snnquant.cli.main import cli


def answers(*words, cwd, shell="bash"):
    """Return what a shell is told that the last word, which is not finished, could become."""
    number = words[-1] if shell == "fish" else str(len(words))
    ran = snnquant(
        cwd=cwd,
        _SNNQUANT_COMPLETE=f"{shell}_complete",
        COMP_WORDS=" ".join(("snnquant", *words)),
        COMP_CWORD=number,
    )
    assert (ran.code, ran.err) == (0, ""), ran
    return ran.out.splitlines()


def completions(*words):
    """Return what the last word could become, without a process."""
    asked = get_completion_class("bash")(cli, {}, "snnquant", "_SNNQUANT_COMPLETE")
    found = asked.get_completions(list(words[:-1]), words[-1])
    return {(item.type, item.value) for item in found}


CASES = {
    "a verb": (("c",), {"calibrate", "convert", "config", "completion"}),
    "an option of the program": (("--no",), {"--no-config"}),
    "an option": (("convert", "--weight"), {"--weight-bits"}),
    "a switch": (("convert", "--per"), {"--per-channel", "--per-tensor"}),
    "a choice": (("convert", "--readout-as", ""), {"float", "int"}),
    "a target": (("convert", "--target", "t"), {"tianjic"}),
    "a preset": (("--preset", "i"), {"int4"}),
    "a shell": (("completion", "z"), {"zsh"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_word_is_completed(case):
    words, wanted = CASES[case]
    assert {("plain", word) for word in wanted} == completions(*words)


def test_files_are_left_to_the_shell():
    for words in (["ne"], ["--calibration", "c"], ["--target", "own"], ["-o", "d/x"]):
        assert completions("convert", *words) == {("file", words[-1])}


def test_a_shell_gets_the_options_of_a_verb(tmp_path):
    assert answers("convert", "--weight", cwd=tmp_path) == ["plain,--weight-bits"]
    assert answers("convert", "ne", cwd=tmp_path) == ["file,ne"]


def test_verbs_come_with_what_they_do(tmp_path):
    (tmp_path / "snnquant.toml").write_text("][")  # no time to complain
    shown = answers("", cwd=tmp_path, shell="zsh")
    for verb in VERBS:
        place = shown.index(verb.name)
        assert shown[place - 1 : place + 2] == ["plain", verb.name, verb.summary]
    assert answers("insp", cwd=tmp_path, shell="fish") == [
        "plain,inspect\tList layers, neurons, steps, and what stays float."
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_the_shell(shell, tmp_path):
    ran = snnquant("completion", shell, cwd=tmp_path)
    assert ran.code == 0, ran
    assert f"_SNNQUANT_COMPLETE={shell}_complete" in ran.out
    if shutil.which(shell):
        checked = subprocess.run(
            [shell, "-n"], input=ran.out.encode(), capture_output=True, timeout=60, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_bash_completes_with_the_script(tmp_path):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    script = snnquant("completion", "bash", cwd=tmp_path).out
    (tmp_path / "snnquant").write_text('#!/bin/sh\nexec "$PYTHON" -m snnquant "$@"\n')
    (tmp_path / "snnquant").chmod(0o755)
    asks = (
        f"{script}\nCOMP_WORDS=(snnquant convert --mode s)\nCOMP_CWORD=3\n"
        "_snnquant_completion snnquant s --mode\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "--norc"],
        input=asks.encode(),
        cwd=tmp_path,
        env=environment(PATH=path, PYTHON=sys.executable),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.stdout.decode().split() == ["sequence", "step"], ran


def test_no_other_shell(tmp_path):
    ran = snnquant("completion", "csh", cwd=tmp_path)
    assert ran.code == 2
    assert "'bash', 'zsh', 'fish'" in ran.err


def test_a_shell_must_be_named(tmp_path):
    ran = snnquant("completion", cwd=tmp_path)
    assert ran.code == 2
    assert ran.err.endswith("bash, zsh, fish. See 'snnquant completion --help'.\n")
