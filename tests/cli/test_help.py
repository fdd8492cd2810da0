"""Help of every verb: examples that parse, lines that fit, and what comes of mistyped words."""

import shlex

import click
import pytest

from snnquant.cli import VERBS
from snnquant.cli.group import VerbCommand, load_command
from snnquant.cli.main import cli, run

WIDTH = 80
NAMES = [verb.name for verb in VERBS]


def examples(command):
    lines = [line.strip() for line in command.help.splitlines()]
    return [line for line in lines if line.startswith("snnquant ")]


def parse(example):
    """Parse an example as the program does, without running it; fails as the program does."""
    words = shlex.split(example.split(">")[0])
    place = next(index for index, word in enumerate(words) if word in NAMES)
    with cli.make_context("snnquant", [*words[1:place], words[place]]):
        pass
    command = load_command(VERBS[NAMES.index(words[place])])
    with command.make_context(words[place], words[place + 1 :]) as context:
        return words[place], context.params


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_a_verb_has_examples_that_parse(verb):
    found = examples(load_command(verb))
    assert found
    for example in found:
        assert parse(example)[0] == verb.name


def test_the_program_has_examples_that_parse():
    assert [parse(example)[0] for example in examples(cli)] == ["calibrate", "convert", "eval"]


def test_a_wrong_example_would_be_found():
    with pytest.raises(click.UsageError):
        parse("snnquant eval net.int.onnx --data test.npz --min-acuracy 1")


@pytest.mark.parametrize("words", [[], *([name] for name in NAMES)], ids=["", *NAMES])
def test_help_fits_a_terminal_of_any_encoding(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= WIDTH
    usage, _, rest = text.partition("\n")
    assert usage.startswith(f"Usage: snnquant {''.join(words)}")
    assert "\n  snnquant " in rest


def test_help_has_the_options_under_headings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["eval", "--help"]) == 0
    parts = capsys.readouterr().out.split("\n\n")
    headed = {part.splitlines()[0]: part for part in parts}
    assert "  --max-drop" in headed["Gates and their reports:"]
    assert "  --dt" in headed["Options of the float model:"]
    assert "  --encode" in headed["Options of the data:"]
    assert "  --readout" in headed["Options:"]
    shown = sum(line.startswith(("  --", "  -")) for part in parts for line in part.splitlines())
    command = load_command(VERBS[NAMES.index("eval")])
    assert isinstance(command, VerbCommand)
    context = click.Context(command)
    assert shown == sum(isinstance(p, click.Option) for p in command.get_params(context))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evla"], "There is no verb 'evla'; did you mean 'eval'?"),
        (["calibrat", "net.onnx"], "did you mean 'calibrate'?"),
        (["xyzzy"], "There is no verb 'xyzzy'; 'snnquant --help' lists all."),
        (["eval", "--min-acuracy", "1"], "Did you mean '--min-accuracy'? See"),
        (["--presets", "ci", "eval"], "--preset"),
        (["eval", "--max-drp", "1"], "'--max-rate-drift'?) See"),
        (["completion", "bsh"], "'bash'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistyped_word_is_answered_by_the_right_one(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1
