"""The command line as its users meet it: another process, its two streams apart."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from snnquant.cli import VERBS

SAMPLES = Path(__file__).parents[2] / "samples"
#: The sample networks and the data that they take.
DATA = {"digits_mlp": "digits", "digits_conv": "digits", "events_edges": "events"}

#: Far beyond what any of these runs takes; a run that hangs must not hang the tests.
SECONDS = 120

# Bad input is tried some hundred times. Processes forked from one that has imported everything
# start ten times faster than new interpreters, and are processes all the same: own streams, own
# exit code. Where there is no fork server, each is a new interpreter.
_METHODS = multiprocessing.get_all_start_methods()
_processes = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
if "forkserver" in _METHODS:
    _processes.set_forkserver_preload(["cli_process", *(verb.module for verb in VERBS)])

#: What changes how the command line talks; a test sets what it wants of these.
_SPEECH = (
    *("CI", "NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "SNNQUANT_DEBUG"),
    "GITHUB_STEP_SUMMARY",
)


@dataclass(frozen=True)
class Ran:
    """How a run ended and what it said."""

    code: int
    out: str
    err: str


def environment(**changes):
    """Return this process's environment, without what changes the output, and with changes."""
    kept = {name: value for name, value in os.environ.items() if name not in _SPEECH}
    return {"PYTHONWARNINGS": "error"} | kept | changes


def snnquant(*arguments, cwd, **changes):
    """Run ``python -m snnquant`` in a folder, with changes to the environment."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def command(*arguments):
    """Return the words that start the command line in this Python."""
    return [sys.executable, "-m", "snnquant", *map(str, arguments)]


def forked(*arguments, cwd):
    """Do what :func:`snnquant` does, in a process that need not import first."""
    streams = [Path(cwd).parent / f"{Path(cwd).name}.{name}" for name in ("out", "err")]
    process = _processes.Process(target=_run, args=(list(map(str, arguments)), str(cwd), streams))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"snnquant {arguments} took more than {SECONDS} s")
    out, err = (stream.read_bytes().decode() for stream in streams)
    for stream in streams:
        stream.unlink()
    return Ran(process.exitcode, out, err)


def _run(arguments, cwd, streams):
    import warnings

    from snnquant.cli.main import main

    for number, stream in enumerate(streams, 1):
        opened = os.open(stream, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    for name in _SPEECH:
        os.environ.pop(name, None)
    warnings.simplefilter("error")
    main(arguments)


def contents(folder):
    """Return every path below a folder with its bytes, or None for what is no file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def refuses(folder, code, *arguments, says=()):
    """Check that a run is refused: this code, one line, every file as it was, none left behind."""
    before = contents(folder)
    ran = forked(*arguments, cwd=folder)
    assert ran.code == code, ran
    assert ran.out == ""
    assert ran.err.startswith("error: "), ran.err
    assert ran.err.endswith("\n")
    assert ran.err[:-1].isprintable(), ran.err  # neither a second line nor a terminal escape
    for words in says:
        assert words in ran.err
    assert contents(folder) == before
    return ran.err
