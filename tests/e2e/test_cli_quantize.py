"""``quantize``: what calibrate, convert and eval write, in one go."""

import json

import pytest
from cli_process import contents, forked, refuses, snnquant

ARGUMENTS = ("quantize", "digits_mlp.onnx", "--data", "train.npz", "-o", "q.onnx")
TEST = ("--test", "digits_test.npz")


@pytest.fixture
def place(folder, made):
    """A folder with calibration data too."""
    (folder / "train.npz").write_bytes((made / "digits_calibration.npz").read_bytes())
    return folder


def test_the_bytes_are_those_of_the_three_verbs(place):
    more = ("--weight-bits", "4", "--method", "mse", "--golden", "2")
    ran = snnquant(*ARGUMENTS, *TEST, *more[:2], *more[2:], "--report", "r.html", cwd=place)
    assert ran.code == 0, ran
    train = ("digits_mlp.onnx", "--data", "train.npz")
    verbs = (
        ("calibrate", *train, *more[2:4], "-o", "c.json"),
        ("convert", *train, "--calibration", "c.json", *more[:2], "-o", "c.onnx"),
    )
    for words in verbs:
        assert forked(*words, *(more[4:] if words[0] == "convert" else ()), cwd=place).code == 0
    assert (place / "q.calibration.samples.npz").read_bytes() == (
        place / "c.samples.npz"
    ).read_bytes()
    first, second = (json.loads((place / f"{n}.json").read_text()) for n in ("q.calibration", "c"))
    assert first["tensors"] == second["tensors"]
    graphs = [json.loads((place / f"{n}.manifest.json").read_text()) for n in ("q", "c")]
    assert graphs[0]["layers"] == graphs[1]["layers"]
    assert graphs[0]["search"] == graphs[1]["search"] != []
    assert graphs[0]["inputs"]["test"]["path"] == "digits_test.npz"
    assert graphs[0]["metrics"]["accuracy"] > 0.9
    assert forked("verify", "q.onnx", cwd=place).code == 0
    ran = forked("eval", "q.onnx", "--data", "digits_test.npz", "--json", cwd=place)
    assert json.loads(ran.out)["metrics"].items() <= graphs[0]["metrics"].items()
    assert (place / "r.html").read_text().startswith("<!doctype html>")


def test_without_test_data_nothing_is_evaluated(place):
    ran = forked(*ARGUMENTS, "--json", cwd=place)
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["schema"] == "snnquant.quantize/1"
    assert document["metrics"] == {}
    paths = [entry["path"] for entry in document["artifacts"]]
    assert paths == [
        *("q.calibration.json", "q.calibration.samples.npz", "q.onnx", "q.manifest.json"),
    ]
    assert all((place / path).is_file() for path in paths)


def test_a_failed_gate_leaves_all_files_and_marks_them(place):
    limits = ("--min-accuracy", "1", "--max-dead", "1", "--junit", "g.xml", "--json", "-q")
    ran = snnquant(*ARGUMENTS, *TEST, *limits, cwd=place)
    assert ran.code == 4
    assert "min-accuracy" in ran.err
    document = json.loads(ran.out)
    marked = json.loads((place / "q.manifest.json").read_text())["gates"]
    assert marked == document["gates"]
    assert {gate["id"]: gate["status"] for gate in marked} == {
        "min-accuracy": "failed",
        "max-dead": "passed",
    }
    assert {"q.onnx", "g.xml"} <= contents(place).keys()


@pytest.mark.parametrize(
    ("code", "more", "says"),
    [
        (2, ("--min-accuracy", "0.9"), "give --test"),
        (2, ("--report", "r.html"), "give --test"),
        (2, ("--junit", "g.xml"), "give --test"),
        (2, (*TEST, "--report", "train.npz"), "would replace"),
        (2, (*TEST, "--junit", "q.onnx"), "would replace"),
        (2, (*TEST, "--calibration", "train.npz"), "would replace"),
        (2, (*TEST, "--report", "q.calibration.samples.npz"), "would replace"),
        (2, (*TEST, "--report", "q.calibration.partial.json"), "would replace"),
        (2, ("--test", "t.samples.npz", "--calibration", "t.json"), "would replace the input t."),
        (2, ("--calibration", "q.onnx"), "two outputs"),
        (2, ("-o", "."), "it is a folder"),
        (2, ("-o", ""), "it is a folder"),
        (2, ("-o", "/"), "it is a folder"),
        (2, ("-o", "n" * 300), "cannot write"),
        (2, ("--calibration", "."), "it is a folder"),
        (2, ("--test", "train.npz", "-o", "train.npz"), "would replace"),
        (2, ("--weight-bits", "1"), "weight-bits"),
        (2, ("--golden", "0"), "golden"),
        (3, ("--test", "no.npz"), "no.npz"),
        (3, ("--test", "old.onnx"), "old.onnx"),
        (3, (*TEST, "--baseline", "old.json"), "old.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_eval_would_refuse_is_refused_before_anything_runs(place, code, more, says):
    refuses(place, code, *ARGUMENTS, "-q", *more, says=[says])


def test_labels_are_asked_for_before_anything_runs(place):
    import numpy as np

    np.save(place / "bare.npy", np.load(place / "digits_test.npz")["x"])
    arguments = ("--test", "bare.npy", "--min-accuracy", "0.5", "-q")
    refuses(place, 2, *ARGUMENTS, *arguments, says=["labels"])


@pytest.mark.parametrize("name", ["q", "q.bin"])
def test_outputs_of_any_suffix(place, name):
    ran = forked(*ARGUMENTS[:-1], name, *TEST, "--json", cwd=place)
    assert ran.code == 0, ran
    of_quantize = json.loads(ran.out)["metrics"]
    ran = forked("eval", name, "--data", "digits_test.npz", "--json", cwd=place)
    assert ran.code == 0, ran
    assert json.loads(ran.out)["metrics"] == of_quantize
    assert of_quantize["spike_agreement"] > 0.9


@pytest.mark.parametrize("more", [("--mode", "step"), ("--no-fuse", "--readout-as", "int")])
def test_other_forms_of_the_model(place, more):
    ran = forked(*ARGUMENTS, *TEST, *more, "--json", "--samples", "64", cwd=place)
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["metrics"]["drop"] < 0.02
    assert document["metrics"]["spike_agreement"] > 0.9
