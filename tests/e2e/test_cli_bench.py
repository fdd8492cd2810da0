"""``snnquant bench`` as its users meet it."""

import json

import pytest
from cli_process import snnquant

MODELS = ("digits_mlp.int.onnx", "--reference", "digits_mlp.onnx", "--data", "digits_test.npz")


def test_json_holds_every_configuration(folder):
    ran = snnquant(
        "bench", *MODELS, "--batch", "1,4", "--threads", "1", "--seconds", "0", "--json", cwd=folder
    )
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["schema"] == "snnquant.bench/1"
    metrics = document["metrics"]
    assert [(c["batch"], c["threads"]) for c in metrics["configurations"]] == [(1, 1), (4, 1)]
    for each in metrics["configurations"]:
        ours = each["contenders"]["digits_mlp.int"]
        theirs = each["contenders"]["digits_mlp"]
        assert theirs["speed_up"] == pytest.approx(theirs["median"] / ours["median"])
        assert ours["samples_per_second"] == pytest.approx(each["batch"] / ours["median"])
    assert set(metrics["peak_memory"]) == {"digits_mlp.int", "digits_mlp"}
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert any(layer["macs"] for layer in layers.values())
    assert sum(layer["share"] for layer in layers.values()) == pytest.approx(1)


def test_tables_fit_a_terminal(folder):
    ran = snnquant("bench", *MODELS, "--seconds", "0", cwd=folder)
    assert ran.code == 0, ran
    assert "speed-up" in ran.out
    assert "of peak" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("digits_mlp.onnx", "--data", "digits_test.npz"), 2, "no integer neuron"),
        (("digits_mlp.int.onnx", "--data", "absent.npz"), 3, "absent.npz"),
        ((*MODELS, "--batch", "0"), 2, "list of positive numbers"),
        ((*MODELS, "--threads", "one"), 2, "list of positive numbers"),
        ((*MODELS, "--seconds", "nan", "--json"), 2, "'nan' is no finite number"),
        ((*MODELS, "--reference", "digits_mlp.onnx"), 2, "given twice"),
    ],
)
def test_nonsense_is_refused(folder, arguments, code, message):
    ran = snnquant("bench", *arguments, cwd=folder)
    assert ran.code == code, ran
    assert message in ran.err.replace("\n", " ")
    assert "Traceback" not in ran.err
