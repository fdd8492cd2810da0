"""``tune`` as its users meet it: what it writes, what convert makes of it, how it goes on."""

import json
import shutil
import signal
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from cli_process import SECONDS, environment, forked, refuses
from schema_checks import check_schema, problems

SCHEMA = "snnquant.tune/1"
DATA = "labelled.npz"
NET = ("digits_mlp.onnx", "--calibration", "digits_mlp.json")
FEW = ("--rounding-samples", "24", "--samples", "40", "--widths", "2,4,8", "--points", "3")
TUNE = ("tune", *NET, "--data", DATA, *FEW)


@pytest.fixture
def data(folder):
    """A folder with a calibrated model and 64 labelled samples."""
    with np.load(folder / "digits_test.npz") as held:
        np.savez(folder / DATA, x=held["x"][:64], y=held["y"][:64])
        np.savez(folder / "plain.npz", x=held["x"][:64])
    return folder


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """What an uninterrupted run writes, and the folder of it."""
    place = tmp_path_factory.mktemp("tuned") / "work"
    place.mkdir()
    for name in ("digits_mlp.onnx", "digits_mlp.json", "digits_mlp.samples.npz"):
        shutil.copy(made / name, place)
    with np.load(made / "digits_test.npz") as held:
        np.savez(place / DATA, x=held["x"][:64], y=held["y"][:64])
    shutil.copy(made / "digits_test.npz", place)
    ran = forked(*TUNE, "--budget", "3.5bits", cwd=place)
    assert ran.code == 0, ran
    return place, ran


def files(folder):
    return {end: (folder / f"tune{end}").read_bytes() for end in (".json", ".svg")}


def test_what_is_written_follows_its_schema(whole):
    place, ran = whole
    check_schema(SCHEMA)
    told = json.loads((place / "tune.json").read_text())
    assert problems(told, SCHEMA) == []
    assert [layer["name"] for layer in told["layers"]] == ["fc1", "fc2.0", "fc3.0"]
    assert told["metrics"]["searched_samples"] == 24
    assert told["metrics"]["samples"] == 40
    assert told["metrics"]["models"] == len(told["points"])
    for layer in told["layers"]:
        errors = [entry["error"] for entry in layer["errors"]]
        assert errors == sorted(errors, reverse=True), layer
    count = told["metrics"]["weights"]
    own = [layer["weights"] for layer in told["layers"]]
    for point in told["points"]:
        bits = np.dot(own, point["widths"])
        assert point["mean_bits"] == bits / count
        assert point["bytes"] == -(-bits // 8)
        assert point["uniform"] == (len(set(point["widths"])) == 1)
        assert point["test"] is None
        assert told["metrics"]["float_accuracy"] - point["accuracy"] == pytest.approx(point["drop"])
    (chosen,) = (point for point in told["points"] if point["chosen"])
    assert chosen["mean_bits"] <= 3.5
    assert chosen["widths"] == [layer["weight_bits"] for layer in told["layers"]]
    fitting = [p["error"] for p in told["points"] if p["mean_bits"] <= 3.5]
    assert chosen["error"] == min(fitting)
    assert {(2, 2, 2), (4, 4, 4), (8, 8, 8)} <= {tuple(p["widths"]) for p in told["points"]}
    assert "wrote tune.json, tune.svg\n" in ran.out
    assert not (place / "tune.partial.json").exists()


def test_the_table_shows_the_front_and_one_width(whole):
    place, ran = whole
    told = json.loads((place / "tune.json").read_text())
    for point in told["points"]:
        row = " ".join(map(str, point["widths"])) + "  "
        shown = [line for line in ran.out.splitlines() if line.startswith(row)]
        assert len(shown) == (point["on_front"] or point["uniform"] or point["chosen"])
        if shown:
            assert ("chosen" in shown[0]) == point["chosen"]
            assert ("one width" in shown[0]) == point["uniform"]
            assert ("beaten" in shown[0]) != point["on_front"]
            assert f"{100 * point['error']:.2f} %" in shown[0]
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_picture_needs_no_other_file(whole):
    text = (whole[0] / "tune.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    for words in ("href", "url(", "@import", "<script"):
        assert words not in text
    told = json.loads((whole[0] / "tune.json").read_text())
    dots = [e for e in root.iter() if e.get("class") in ("dot", "beaten")]
    assert len(dots) == len(told["points"]) + 2  # and the key


def test_convert_takes_the_answer_and_eval_measures_what_was_measured(whole):
    place, ran = whole
    assert "convert --layers tune.json --rounding-samples 24,\nwith the same --data" in ran.out
    words = ("--data", DATA, "--layers", "tune.json", "--rounding-samples", "24", "-o", "m.onnx")
    made = forked("convert", *NET, *words, cwd=place)
    assert made.code == 0, made
    told = json.loads((place / "tune.json").read_text())
    wanted = {layer["name"]: layer["weight_bits"] for layer in told["layers"]}
    held = json.loads((place / "m.manifest.json").read_text())["layers"]
    assert {e["name"]: e["weight_bits"] for e in held if "weight_bits" in e} == wanted
    with np.load(place / DATA) as held_out:
        np.savez(place / "behind.npz", x=held_out["x"][24:], y=held_out["y"][24:])
    found = forked("eval", "m.onnx", "--data", "behind.npz", "--json", cwd=place)
    measured = json.loads(found.out)["metrics"]
    (chosen,) = (point for point in told["points"] if point["chosen"])
    for name in ("accuracy", "spike_agreement", "prediction_agreement", "rate_emd", "drop"):
        assert chosen[name] == measured[name], name


#: Ends the process after a number of models: with the interrupt of a terminal, or killed.
BREAK_OFF = """
import os, signal, sys
from snnquant.cli.main import main
from snnquant.tune.kept import KeptMeasures
save, seen = KeptMeasures._save, 0
def counted(self):
    global seen
    save(self)
    seen += 1
    if seen == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[2]))
KeptMeasures._save = counted
main(sys.argv[3:])
"""


def broken_off(folder, models, how, *more):
    ran = subprocess.run(
        [sys.executable, "-c", BREAK_OFF, str(models), str(int(how)), *TUNE, *more],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == (130 if how == signal.SIGINT else -how), ran
    assert (b"--resume goes on from there" in ran.stderr) == (how == signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_that_was_broken_off_goes_on_to_the_same_bytes(data, whole):
    budget = ("--budget", "3.5bits")
    for models, how in ((1, signal.SIGKILL), (3, signal.SIGINT)):
        broken_off(data, models, how, "--resume", *budget)
        assert not (data / "tune.json").exists()
    ran = forked(*TUNE, *budget, "--resume", cwd=data)
    assert ran.code == 0, ran
    assert "went on from 3 models in tune.partial.json" in ran.err
    assert files(data) == files(whole[0])
    assert not (data / "tune.partial.json").exists()


def test_other_progress_is_refused(data):
    content = {"schema": "snnquant.tune-partial/1", "run": {}, "errors": [], "models": []}
    (data / "tune.partial.json").write_text(json.dumps(content))
    refuses(data, 6, *TUNE, "-q", "--resume", says=["changed by hand", "drop --resume"])
    (data / "tune.partial.json").write_text("{}")
    refuses(data, 3, *TUNE, "-q", "--resume", says=["no progress of tune", "drop --resume"])


def test_a_drop_chooses_the_smallest_and_test_data_only_reports(data, whole):
    words = ("--max-drop", "0.1", "--layer", "fc1=8", "--widths", "2,8", "--json")
    ran = forked(*TUNE, *words, cwd=data)
    assert ran.code == 0, ran
    told = json.loads(ran.out)
    assert problems(told, SCHEMA) == []
    assert told["config"]["layer"] == "fc1=8"
    assert {point["widths"][0] for point in told["points"]} == {8}
    fitting = [p["mean_bits"] for p in told["points"] if p["drop"] <= 0.1]
    (chosen,) = (point for point in told["points"] if point["chosen"])
    assert chosen["mean_bits"] == min(fitting)
    (gate,) = told["gates"]
    assert (gate["id"], gate["status"], gate["value"]) == ("max-drop", "passed", chosen["drop"])
    assert [e["path"] for e in told["artifacts"]] == ["tune.json", "tune.svg"]
    tested = forked(*TUNE, *words, "--test", "digits_test.npz", cwd=data)
    assert tested.code == 0, tested
    other = json.loads(tested.out)
    assert all(point.pop("test")["accuracy"] > 0.3 for point in other["points"])
    assert not any(point.pop("test") for point in told["points"])
    assert other["points"] == told["points"]
    assert other["layers"] == told["layers"]


def test_states_have_widths_too_and_count(data):
    words = ("--widths", "2,8", "--state-widths", "6,16", "--layer", "lif3=state:12")
    few = ("--points", "2", "--budget", "7bits", "--json")
    ran = forked(*TUNE[:-4], *words, *few, cwd=data)
    assert ran.code == 0, ran
    told = json.loads(ran.out)
    assert problems(told, SCHEMA) == []
    states = [layer for layer in told["layers"] if layer["kind"] == "neuron"]
    assert [(layer["name"], layer["states"]) for layer in states] == [
        *(("lif1", 64), ("lif2", 64), ("lif3", 10)),
    ]
    assert states[0]["costs"][0]["error"] >= states[0]["costs"][1]["error"] == 0
    assert [entry["bits"] for entry in states[2]["costs"]] == [12]
    counts = [layer.get("weights", layer.get("states")) for layer in told["layers"]]
    for point in told["points"]:
        assert point["mean_bits"] == np.dot(counts, point["widths"]) / sum(counts)
        assert point["widths"][-1] == 12
    (chosen,) = (point for point in told["points"] if point["chosen"])
    assert chosen["mean_bits"] <= 7
    convert = ("--data", DATA, "--rounding-samples", "24", "--layers", "tune.json", "-o", "m.onnx")
    made = forked("convert", *NET, *convert, cwd=data)
    assert made.code == 0, made
    held = json.loads((data / "m.manifest.json").read_text())["layers"]
    bits = {e["name"]: e["state_bits"] for e in held if e["kind"] == "neuron"}
    assert bits == {layer["name"]: layer["state_bits"] for layer in states}


def test_a_drop_that_no_model_meets_is_told_after_all_was_written(data):
    narrow = ("--widths", "2,3", "--layer", "lif1=state:3", "--layer", "lif2=state:3")
    ran = forked(*TUNE[:-4], "--points", "2", *narrow, "--max-drop", "0.01", cwd=data)
    assert ran.code == 4, ran
    assert "error: gate failed: max-drop" in ran.err
    assert "to have the chosen one" not in ran.out
    told = json.loads((data / "tune.json").read_text())
    assert problems(told, SCHEMA) == []
    assert min(point["drop"] for point in told["points"]) == told["gates"][0]["value"] > 0.01
    assert not any(point["chosen"] for point in told["points"])
    assert {layer["weight_bits"] for layer in told["layers"]} == {None}
    assert not (data / "tune.partial.json").exists()
    words = ("--layers", "tune.json", "-o", "m.onnx")
    refuses(data, 2, "convert", *NET, *words, "-q", says=["tune.json", "chose no"])


@pytest.mark.parametrize(
    ("code", "words", "says"),
    [
        (2, ("--budget", "3"), ["'3' is no size", "3.5bits"]),
        (2, ("--budget", "0bits"), ["is no size"]),
        (2, ("--budget", "-1kB"), ["is no size"]),
        (2, ("--budget", "12apples"), ["is no size"]),
        (2, ("--budget", "1.9bits"), ["below the narrowest widths, which take 2 bits in the mean"]),
        (2, ("--budget", "1kB"), ["2208 bytes; raise --budget"]),
        (2, ("--widths", "8"), ["no layer has a width to choose"]),
        (2, ("--state-widths", "8,33"), ["are no widths"]),
        (2, ("--state-widths", "8,30", "--target", "tianjic"), ["target tianjic has"]),
        (2, ("--max-drop", "nan"), ["--max-drop"]),
        (2, ("--widths", "1,8"), ["are no widths"]),
        (2, ("--widths", "2,,8"), ["are no widths"]),
        (2, ("--target", "tianjic", "--widths", "4"), ["no 4-bit weights"]),
        (2, ("--layer", "fc9=4"), ["no layer 'fc9'", "did you mean"]),
        (2, ("--data", "plain.npz", "--max-drop", "0.1"), ["--max-drop needs labels"]),
        (2, ("-o", DATA), ["would replace the input"]),
        (3, ("--data", "three.npz"), ["holds 3 samples"]),
        (6, ("--calibration", "other.json"), ["calibration"]),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_measured(data, code, words, says):
    with np.load(data / DATA) as held:
        np.savez(data / "three.npz", x=held["x"][:3])
    other = json.loads((data / "digits_mlp.json").read_text())
    other["graph_sha256"] = "0" * 64
    (data / "other.json").write_text(json.dumps(other))
    refuses(data, code, *TUNE, "-q", *words, says=says)
