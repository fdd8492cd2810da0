"""A run that is stopped leaves what was there, and nothing half."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_process import SECONDS, command, contents, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

VERBS = {
    "calibrate": ("calibrate", "digits_mlp.onnx", "--samples", "1000000", "-o", "old.json"),
    "eval": ("eval", "digits_mlp.int.onnx"),
}


@pytest.fixture
def busy(folder):
    """A folder with data that takes far longer than a test waits."""
    rng = np.random.default_rng(0)
    np.save(folder / "many.npy", rng.integers(0, 16, (200_000, 1, 8, 8), np.uint8))
    return folder


def stopped(folder, arguments, wanted):
    """Start a run, stop it in the middle, and return (exit code, stderr)."""
    words = command(*arguments, "--data", "many.npy", "--batch-size", "1")
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        said = process.stderr.readline()  # the settings: everything is imported
        time.sleep(0.5)
        process.send_signal(wanted)
        out, err = process.communicate(timeout=SECONDS)
    assert out == b""
    return process.returncode, (said + err).decode()


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_exits_with_130_and_changes_nothing(busy, verb):
    before = contents(busy)
    code, said = stopped(busy, VERBS[verb], signal.SIGINT)
    assert code == 130, said
    words = [line.strip() for line in said.splitlines()[1:] if line]  # click ends the line of ^C
    assert words[-1] == "interrupted; outputs that existed are as they were"
    after = contents(busy)
    if after.pop("old.partial.json", None):  # a batch was done
        assert words[:-1] == ["progress is kept in old.partial.json; --resume goes on from there"]
    assert after == before


@pytest.mark.parametrize("wanted", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_killed_run_changes_nothing(busy, wanted):
    before = contents(busy)
    code, said = stopped(busy, VERBS["calibrate"], wanted)
    assert code == -wanted, said
    assert contents(busy) == before
