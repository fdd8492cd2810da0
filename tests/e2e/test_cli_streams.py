"""What goes to which stream, to files, to terminals, and to places that take nothing."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from cli_process import SECONDS, command, environment, forked, snnquant

from snnquant.cli import VERBS

ESCAPE = "\x1b"
MODEL = "digits_mlp.int.onnx"
EVAL = ("eval", MODEL, "--data", "digits_test.npz")
CONVERT = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json")


def plain(text):
    """Return a terminal's text without its escape sequences."""
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)", "", text)


def in_terminal(arguments, cwd, columns, interrupt_at=None, **changes):
    """Run in a pseudo-terminal and return (exit code, all that it shows)."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    size = np.array([24, columns, 0, 0], np.uint16).tobytes()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    process = subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=environment(**{"TERM": "xterm-256color"} | changes),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux's end of a pseudo-terminal
                break
            if not piece:
                break
            shown += piece
            if interrupt_at is not None and interrupt_at in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = None
        return process.wait(SECONDS), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_data_on_stdout_the_rest_on_stderr(folder):
    ran = snnquant(*EVAL, "--json", cwd=folder)
    assert ran.code == 0, ran
    assert json.loads(ran.out)["metrics"]["samples"] == 719
    assert ran.err.startswith("snnquant eval: model digits_mlp.int.onnx, data digits_test.npz,")
    assert ran.err.count("\n") == 1  # the settings, on one line
    assert ESCAPE not in ran.out + ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        (*EVAL, "-q"),
        (*EVAL, "--json", "--quiet"),
        ("inspect", MODEL, "-q"),
        ("calibrate", "digits_mlp.onnx", "--data", "digits_test.npz", "-q"),
        ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "-o", "x.onnx", "-q"),
        ("demo", "-q"),
    ],
    ids=lambda arguments: " ".join((arguments[0], *arguments[-2:])),
)
def test_quiet_says_only_results(folder, arguments):
    ran = forked(*arguments, cwd=folder)
    assert ran.code == 0, ran
    assert ran.err == ""
    assert ran.out
    assert ESCAPE not in ran.out


def test_no_line_of_a_table_ends_in_spaces_or_is_wider_than_a_log(folder):
    for arguments in (EVAL, ("inspect", MODEL), ("inspect", "digits_mlp.onnx")):
        ran = forked(*arguments, cwd=folder)
        assert ran.code == 0, ran
        lines = ran.out.splitlines()
        assert len(lines) > 5
        assert all(line == line.rstrip() and len(line) <= 100 for line in lines)


def test_colour_variables_start_no_animation_in_a_pipe(folder):
    ran = snnquant(*EVAL, cwd=folder, FORCE_COLOR="1", TERM="xterm-256color")
    assert ran.code == 0, ran
    assert ESCAPE not in ran.out + ran.err


@pytest.mark.parametrize("columns", [80, 132])
def test_a_terminal_gets_a_bar_and_whole_tables(folder, columns):
    code, shown = in_terminal(EVAL, folder, columns)
    assert code == 0, shown
    assert "evaluating" in shown
    assert "719/719" in plain(shown)
    assert shown.rindex(f"{ESCAPE}[?25h") > shown.rindex(f"{ESCAPE}[?25l")  # the cursor is back
    table = plain(shown[shown.rindex(f"{ESCAPE}[2K") :])
    lines = table.replace("\r", "").splitlines()
    assert all(len(line) <= columns for line in lines)
    rows = [line.split() for line in lines if line.startswith("lif")]
    assert [row[0] for row in rows] == ["lif1", "lif2", "lif3"]
    assert all(len(row) == 11 for row in rows)  # 8 columns, 3 of them "12.3 %"


def test_a_terminal_wraps_messages_between_words(folder):
    words = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json", "-o", "new.onnx")
    code, shown = in_terminal(words, folder, 80)
    assert code == 0, shown
    lines = plain(shown).replace("\r", "").splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("snnquant convert: model digits_mlp.onnx, ")
    assert lines[1].startswith("  ")
    echo = " ".join(" ".join(lines[:3]).split())
    assert "weight bits 8, input bits 8, per channel yes, readout as float, fuse yes" in echo
    # A log keeps the same on one line.
    assert snnquant(*words, cwd=folder).err.splitlines()[0].startswith(echo[:200])


def test_the_demo_fits_a_terminal(tmp_path):
    code, shown = in_terminal(("demo",), tmp_path, 80)
    assert code == 0, shown
    lines = plain(shown[shown.rindex(f"{ESCAPE}[2K") :]).replace("\r", "").splitlines()
    assert any("times as fast" in line for line in lines)
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_few_characters_gets_no_others(folder, encoding):
    code, shown = in_terminal(EVAL, folder, 80, PYTHONIOENCODING=encoding)
    assert code == 0, shown
    assert plain(shown).isascii()
    assert "719/719" in plain(shown)
    assert "-+-" in shown


def test_a_narrow_terminal_loses_no_word(folder):
    code, shown = in_terminal(("inspect", "digits_mlp.onnx"), folder, 60)
    assert code == 0, shown
    lines = plain(shown).replace("\r", "").splitlines()
    assert all(len(line) <= 60 for line in lines[2:])
    for word in ("v_threshold=1", "v_reset=0", "h[t] > 1", "64 x 64", "Gemm"):
        assert word in plain(shown)


@pytest.mark.parametrize(
    ("changes", "forbidden"),
    [
        ({"TERM": "dumb"}, ESCAPE),
        ({"CI": "true"}, f"{ESCAPE}[?25l"),
        ({"NO_COLOR": "1"}, f"{ESCAPE}[3"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_wishes_of_the_environment_hold_on_a_terminal(folder, changes, forbidden):
    code, shown = in_terminal(EVAL, folder, 80, **changes)
    assert code == 0, shown
    assert "97." in shown
    assert forbidden not in shown


def test_an_interrupted_bar_gives_the_cursor_back(folder):
    samples = np.random.default_rng(0).integers(0, 16, (50_000, 1, 8, 8), np.uint8)
    np.save(folder / "many.npy", samples)
    arguments = ("eval", MODEL, "--data", "many.npy", "--batch-size", "1")
    code, shown = in_terminal(arguments, folder, 80, interrupt_at=b"evaluating")
    assert code == 130, shown
    assert shown.rindex(f"{ESCAPE}[?25h") > shown.rindex(f"{ESCAPE}[?25l")
    assert plain(shown).rstrip().endswith("interrupted; outputs that existed are as they were")
    assert "Traceback" not in shown


def test_help_of_every_verb_names_its_options():
    wanted = {
        "demo": ["--folder", "--weight-bits", "--json"],
        "inspect": ["MODEL", "--json", "--strict"],
        "calibrate": ["MODEL", "--data", "--method", "--samples", "--input", "-o"],
        "convert": ["MODEL", "--calibration", "--target", "--weight-bits", "--readout-as", "-o"],
        "eval": ["MODEL", "--data", "--reference", "--readout", "--json", "--without-library"],
    }
    assert {verb.name for verb in VERBS} >= set(wanted)
    for verb in VERBS:
        for flag in ("-h", "--help"):
            ran = forked(verb.name, flag, cwd=os.getcwd())
            assert ran.code == 0, ran
            assert ran.err == ""
            assert "\\b" not in ran.out
            assert "-q, --quiet" in ran.out
            for option in wanted.get(verb.name, ()):
                assert option in ran.out


def test_help_and_version_of_the_program(tmp_path):
    for flag in ("-h", "--help"):
        ran = snnquant(flag, cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert all(verb.name in ran.out and verb.summary[:20] in ran.out for verb in VERBS)
        assert "  snnquant calibrate net.onnx --data train.npz -o calibration.json\n" in ran.out
    ran = snnquant("--version", cwd=tmp_path)
    assert re.fullmatch(r"snnquant, version \d+\.\d+\.\d+\S*\n", ran.out)
    ran = snnquant(cwd=tmp_path)  # nothing asked: the help, but as an error
    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_the_installed_script_is_the_module():
    script = os.path.join(os.path.dirname(sys.executable), "snnquant")
    if not os.path.exists(script):
        pytest.skip("not installed, run from the source tree")
    ran = subprocess.run([script, "--version"], capture_output=True, check=True, timeout=SECONDS)
    assert ran.stdout.startswith(b"snnquant, version ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_results_that_cannot_be_written_are_an_error(folder):
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            command("inspect", MODEL, "--json", "-q"),
            cwd=folder,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"error: cannot write to stdout: ")
    assert ran.stderr.count(b"\n") == 1


def test_a_reader_that_goes_away_is_no_error(folder):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ran = subprocess.run(
            command("inspect", MODEL, "-q"),
            cwd=folder,
            env=environment(),
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(theirs)
    assert (ran.returncode, ran.stderr) == (0, b"")


def started_in_shell(folder, words, *arguments):
    """Run the command line with redirections, which a shell makes."""
    line = f"{shlex.join(command(*arguments))} {words}"
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=environment(), timeout=SECONDS, check=False
    ).returncode


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("words", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code_and_no_file(folder, words):
    evaluate = (*EVAL, "--summary", "s.md", "--report", "r.html")
    assert started_in_shell(folder, words, *evaluate) == 0
    assert (folder / "s.md").read_text().startswith("### snnquant eval")
    assert (folder / "r.html").read_text().startswith("<!doctype html>")
    assert started_in_shell(folder, words, *EVAL, "--reference", "none.onnx", "-q") == 3


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
@pytest.mark.parametrize("words", ["> out.txt", "| cat > out.txt", ">> out.txt"])
def test_reports_can_go_to_stdout(folder, words):
    started_in_shell(folder, words, *EVAL, "-q", "--summary", "/dev/stdout")
    text = (folder / "out.txt").read_text()
    assert text.startswith("### snnquant eval")
    assert "accuracy (719 samples)" in text
    wrong = started_in_shell(folder, "> q", *CONVERT, "-o", "/dev/stdout", "-q")
    assert (wrong, (folder / "q").read_text()) == (2, "")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_files_without_an_end_are_not_read_to_it(folder):
    ran = snnquant(*EVAL, "--baseline", "/dev/zero", "-q", cwd=folder)
    assert (ran.code, ran.out) == (3, "")
    assert "too large for such a document" in ran.err


def test_a_terminal_without_unicode_gets_ascii(folder):
    ran = snnquant(*EVAL, cwd=folder, PYTHONIOENCODING="ascii")
    assert ran.code == 0, ran
    assert (ran.out + ran.err).isascii()
    assert "-+-" in ran.out


def test_text_is_utf8_whatever_the_locale(folder):
    name = "gemeßen.json"
    ran = snnquant(
        *("calibrate", "digits_mlp.onnx", "--data", "digits_test.npz", "-o", name),
        cwd=folder,
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert ran.code == 0, ran
    json.loads((folder / name).read_text(encoding="utf-8"))
