"""A calibration that was broken off goes on, and its files have the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from cli_process import SECONDS, command, environment, refuses, snnquant

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

#: Keeps the progress after every batch, and ends the process after a number of them: with the
#: interrupt of a terminal, or killed, which no code can notice.
BREAK_OFF = """
import os, signal, sys
from snnquant import partial
from snnquant.cli.main import main
partial._SECONDS_BETWEEN = 0.0
batch_done, seen = partial.PartialFile.batch_done, 0
def counted(self, collected):
    global seen
    batch_done(self, collected)
    seen += 1
    if seen == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[2]))
partial.PartialFile.batch_done = counted
main(sys.argv[3:])
"""
MODEL, DATA = "digits_mlp.onnx", "train.npz"


@pytest.fixture
def train(folder):
    """A folder with 203 samples of the digits."""
    rng = np.random.default_rng(1)
    np.savez(folder / DATA, x=rng.integers(0, 17, (203, 1, 8, 8)).astype(np.float32) / 16)
    return folder


def calibrate(*more, output="c.json"):
    return ("calibrate", MODEL, "--data", DATA, "--batch-size", "16", "-o", output, *more)


def broken_off(folder, batches, how, *more, script=BREAK_OFF):
    ran = subprocess.run(
        [sys.executable, "-c", script, str(batches), str(int(how)), *calibrate(*more)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == (130 if how == signal.SIGINT else -how), ran
    assert (b"--resume goes on from there" in ran.stderr) == (how == signal.SIGINT)
    return ran


def made(folder, stem="c"):
    return {end: (folder / f"{stem}{end}").read_bytes() for end in (".json", ".samples.npz")}


@pytest.fixture
def whole(train):
    """What an uninterrupted run writes."""
    ran = snnquant(*calibrate(), cwd=train)
    assert ran.code == 0, ran
    files = made(train)
    for path in train.glob("c.*"):
        path.unlink()
    return files


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_the_bytes_are_those_of_an_uninterrupted_run(train, whole, how):
    for batches in (1, 5, 7):  # of those that are left, each time
        broken_off(train, batches, how, *(["--resume"] if batches > 1 else []))
        assert not (train / "c.json").exists()
    done = json.loads((train / "c.partial.json").read_text())["progress"]["done"]
    assert done == 203
    ran = snnquant(*calibrate("--resume"), cwd=train)
    assert ran.code == 0, ran
    assert "went on from 203 samples in c.partial.json" in ran.err
    assert made(train) == whole
    assert not (train / "c.partial.json").exists()


#: The same in the middle of counting a batch.
TEAR = """
import os, signal, sys
from snnquant import collected
from snnquant.cli.main import main
count, seen = collected.Collected.count_spikes, 0
def counted(self, *values):
    global seen
    seen += 1
    if seen == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[2]))
    count(self, *values)
collected.Collected.count_spikes = counted
main(sys.argv[3:])
"""


@pytest.mark.parametrize("layer", [1, 2, 20])
def test_an_interruption_while_a_batch_is_counted_keeps_the_progress(train, whole, layer):
    broken_off(train, layer, signal.SIGINT, script=TEAR)
    assert json.loads((train / "c.partial.json").read_text())["progress"]["done"] % 16 == 0
    ran = snnquant(*calibrate("--resume"), cwd=train)
    assert ran.code == 0, ran
    assert made(train) == whole


def test_resume_without_progress_starts_anew(train, whole):
    ran = snnquant(*calibrate("--resume"), cwd=train)
    assert ran.code == 0, ran
    assert "nothing to go on from" in ran.err
    assert made(train) == whole


def test_without_resume_the_progress_is_not_used(train, whole):
    broken_off(train, 5, signal.SIGKILL)
    ran = snnquant(*calibrate(), cwd=train)
    assert ran.code == 0, ran
    assert made(train) == whole
    assert not (train / "c.partial.json").exists()


def test_progress_of_another_run_is_refused(train):
    broken_off(train, 5, signal.SIGKILL)
    for more in (["--method", "minmax"], ["--samples", "100"], ["--input", "x=spikes"]):
        refuses(train, 6 if "--input" not in more else 2, *calibrate("--resume", "-q", *more))
    os.utime(train / DATA)
    data = dict(np.load(train / DATA))
    data["x"][-1] = 0
    np.savez(train / DATA, **data)
    said = refuses(train, 6, *calibrate("--resume", "-q"))
    assert "other data" in said
    assert "drop --resume" in said
    shutil.copy(train / "old.onnx", train / MODEL)
    refuses(train, 3, *calibrate("--resume", "-q"))


@pytest.mark.parametrize(
    "damage", ["empty", "half", "hand", "schema", "list", "deep", "folder"], ids=str
)
def test_damaged_progress_is_refused(train, damage):
    broken_off(train, 5, signal.SIGKILL)
    path = train / "c.partial.json"
    text = path.read_text()
    if damage == "folder":
        path.unlink()
        path.mkdir()
        refuses(train, 2, *calibrate("--resume", "-q"))
        return
    path.write_text(
        {
            "empty": "",
            "half": text[: len(text) // 2],
            "hand": text.replace('"done": 80', '"done": 96'),
            "schema": text.replace("calibration-partial/1", "calibration-partial/2"),
            "list": "[1]",
            "deep": "[" * 100_000,
        }[damage]
    )
    said = refuses(train, 6 if damage == "hand" else 3, *calibrate("--resume", "-q"))
    assert "c.partial.json" in said


def test_a_kill_at_any_moment_leaves_files_that_belong_together(train):
    """Outputs are replaced by those of other settings while a kill comes at a random moment."""
    chance = random.Random(0)
    assert snnquant(*calibrate(), cwd=train).code == 0
    assert snnquant(*calibrate(output="d.json"), cwd=train).code == 0
    convert = ("convert", MODEL, "--golden", "2", "--calibration")
    assert snnquant(*convert, "c.json", "-o", "c.onnx", cwd=train).code == 0
    for number in range(8):
        method = ("minmax", "mse")[number % 2]
        words = calibrate("--method", method, output="d.json")
        if number > 3:
            words = (*convert, "c.json", "--weight-bits", str(number), "-o", "c.onnx")
        with subprocess.Popen(
            command(*words),
            cwd=train,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()  # the settings: everything is imported
            try:
                process.wait(chance.uniform(0.05, 0.6))
            except subprocess.TimeoutExpired:
                process.kill()
    # Else the code is 6, and 4.
    assert snnquant(*convert, "d.json", "-o", "d.onnx", cwd=train).code == 0
    ran = snnquant("verify", "c.onnx", cwd=train)
    assert ran.code == 0, ran
