"""What is wrong in a configuration file is said in one line, with the place and the remedy."""

import os
import sys

import pytest

from snnquant.cli.configuration import files
from snnquant.cli.configuration.files import find_files
from snnquant.cli.main import run

WRONG = {
    "unknown key": (
        "wieght-bits = 4",
        "no verb has a key 'wieght-bits'; did you mean 'weight-bits'?",
    ),
    "nothing like it": (
        "zzzzzz = 4",
        "no verb has a key 'zzzzzz'; 'snnquant config --schema' lists",
    ),
    "unknown table": ("[convrt]\na = 1", "no verb for the table [convrt]; did you mean 'convert'?"),
    "unknown in a table": (
        "[convert]\nweight_bit = 3",
        "[convert] has no key 'weight-bit'; did you mean 'weight-bits'?",
    ),
    "of another verb": (
        "[convert]\nmax-drop = 1",
        "has no key 'max-drop'; it belongs in [quantize] or [eval]",
    ),
    "a negative flag": ("[convert]\nno-fuse = true", "has no key 'no-fuse'; write fuse = false"),
    "a negative flag for all": ("per_tensor = true", "key 'per-tensor'; write per-channel = false"),
    "a text for a number": (
        "[convert]\nweight-bits = 'four'",
        "[convert] weight-bits is 'four'; give an integer, at least 2, at most 8",
    ),
    "a flag for a number": (
        "[convert]\nweight-bits = true",
        "weight-bits is true; give an integer",
    ),
    "out of range": ("[convert]\nweight-bits = 9", "weight-bits is 9; give an integer, at least 2"),
    "not at least": ("[export]\nstep = 0", "[export] step is 0; give a number, above 0"),
    "no choice": ("readout = 'su'", "readout is 'su'; give one of auto, sum, mean, max, last"),
    "no list": ("[calibrate]\ninput = 'a'", "[calibrate] input is 'a'; give a list, each a text"),
    "in a list": ("[calibrate]\ninput = ['a=1', 3]", "[calibrate] input.1 is 3; give a text"),
    "a date": ("[convert]\ngolden = 2020-01-01", "golden is 2020-01-01; give an integer"),
    "no table": ("convert = 4", "[convert] is 4; give a table"),
    "a table": ("[factory]\nx = 1", "factory is a table; give a text"),
    "twice": (
        "[eval]\nmax-drop = 1\nmax_drop = 1",
        "[eval]: 'max_drop' and 'max-drop' are one key; keep one",
    ),
    "no TOML": ("[eval]\nsamples = \n", "is no TOML: Invalid value (at line 2, column 11)"),
    "twice in TOML": ("a = 1\na = 2\n", "at line 2, column"),
    "deep": ("x = " + "[" * 100_000, "is nested too deeply"),
    "many digits": ("samples = " + "9" * 5000, "is no TOML: "),
    "no number": ("tolerance = nan", "snnquant.toml: tolerance is nan; give"),
    "no limit": ("tolerance = inf", "snnquant.toml: tolerance is inf; give"),
    "many hex digits": ("samples = 0x" + "f" * 5000, "an integer has more than 64 bits"),
    "not UTF-8": (b"a = 1\nb = '\xff'", "line 2: not in UTF-8; save it as UTF-8"),
    "a NUL": ("a = '\0'", "is no TOML: "),
    "large": ("#" * (files._MAX_BYTES + 1), "is larger than 1048576 bytes"),
    "no preset": ("preset = 'nope'", "snnquant.toml: unknown preset 'nope'; use one of ci, int4, "),
    "preset of presets": ("preset = 'own.toml'", "preset own.toml: a preset names no other"),
    "an escape": ('"\\u001b[31mx" = 1', "no verb has a key"),
    # Left to click, as no schema can say it; the place is said all the same.
    "not finite": (
        "[eval]\nmax-drop = nan",
        "snnquant.toml: [eval] max-drop is nan; give a finite number",
    ),
    "no size": (
        "sensor = '1'",
        "'1' is no size; give HEIGHT,WIDTH such as 128,128. It is from snn",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_line_with_the_place(case, tmp_path, monkeypatch, capsys):
    text, says = WRONG[case]
    (tmp_path / "own.toml").write_text("preset = 'ci'")
    (tmp_path / "snnquant.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    monkeypatch.chdir(tmp_path)
    assert run(["eval", "none.onnx", "--data", "none.npz"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.startswith("error: ")
    assert said.err[:-1].isprintable()
    assert case == "preset of presets" or "snnquant.toml" in said.err


def test_help_and_other_answers_come_in_spite_of_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "snnquant.toml").write_text("][")
    monkeypatch.chdir(tmp_path)
    for words in (["--help"], ["eval", "--help"], ["completion", "bash"], ["config", "--schema"]):
        assert run(words) == 0
    assert run(["--no-config", "eval", "x.onnx", "--data", "y.npz"]) == 3
    assert run(["config"]) == 2
    assert "is no TOML" in capsys.readouterr().err


def test_only_one_of_the_words_about_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["--config", "a.toml", "--no-config", "doctor"]) == 2
    assert "contradict" in capsys.readouterr().err
    assert run(["--config", "a.toml", "doctor"]) == 2
    assert "there is no configuration file a.toml" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert run(["--config", "pyproject.toml", "doctor"]) == 2
    assert "has no table [tool.snnquant]" in capsys.readouterr().err


def test_files_are_the_nearest_of_each_name(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "snnquant.toml").touch()
    (tmp_path / "pyproject.toml").write_text("[tool.snnquant]\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nname = 'snnquant'\n")
    (inner / "snnquant.toml").mkdir()  # no file
    up = os.path.join("..", "..")
    assert [str(path) for path in find_files(inner)] == [
        os.path.join(up, "pyproject.toml"),
        os.path.join(up, "snnquant.toml"),
    ]
    (tmp_path / "a" / "snnquant.toml").touch()
    assert str(find_files(inner)[1]) == os.path.join("..", "snnquant.toml")
    assert [str(path) for path in find_files(tmp_path)] == ["pyproject.toml", "snnquant.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="files of Windows have no such owner")
def test_a_file_of_somebody_else_above_is_not_taken(tmp_path, monkeypatch):
    inner = tmp_path / "work"
    inner.mkdir()
    (tmp_path / "snnquant.toml").touch()
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert find_files(inner)  # of the owner of the folder, as in a container
    stranger = os.stat_result((0o100644, 1, 1, 1, me + 7, 0, 0, 0, 0, 0))
    stat = files.Path.stat

    def look(path, **options):
        return stranger if path.name == "snnquant.toml" else stat(path, **options)

    monkeypatch.setattr(files.Path, "stat", look)
    with pytest.raises(files.UsageError, match="belongs to another user; if you trust it, name"):
        find_files(inner)
    assert find_files(tmp_path)  # in the folder itself it is the user's own business
