"""A torch module goes through every verb by the name of what builds it, with its checkpoint."""

import json

import numpy as np
import pytest
import torch
from cli_process import SAMPLES, forked, refuses, snnquant

MODULE = """
import torch
from snnquant import nn as snn

def build():
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 24), snn.Repeat(4), snn.LIF(alpha=0.9),
        snn.Folded(torch.nn.Linear(24, 10)), snn.LIF(alpha=0.9), snn.SumOverTime(),
    )

def silent():
    module = build()
    for parameter in module.parameters():
        parameter.data.zero_()
    return module
"""
MODEL = ("--model", "mynet:silent", "--input-shape", "1,1,8,8")
DATA = ("--data", str(SAMPLES / "digits_test.npz"), "--samples", "64", "-q")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the module, its weights, its calibration and its integer model."""
    folder = tmp_path_factory.mktemp("factory")
    (folder / "mynet.py").write_text(MODULE)
    scope = {}
    exec(MODULE, scope)
    torch.manual_seed(0)
    module = scope["build"]()
    for parameter in module.parameters():
        parameter.data.mul_(3)
    torch.save(module.state_dict(), folder / "w.pt")
    for arguments in (
        ("calibrate", *MODEL, "--checkpoint", "w.pt", *DATA, "-o", "c.json"),
        ("convert", "w.pt", *MODEL, "--calibration", "c.json", "-o", "i.onnx", "-q"),
        ("import", "w.pt", *MODEL, "-o", "canonical.onnx", "-q"),
    ):
        ran = snnquant(*arguments, cwd=folder)
        assert ran.code == 0, ran
    return folder


def test_quantize_in_one_go(trained, tmp_path):
    arguments = (*MODEL, *DATA, "--test", DATA[1], "--test-samples", "32", "--max-drop", "1")
    output = str(tmp_path / "q.onnx")
    ran = forked("quantize", "w.pt", *arguments, "-o", output, "--json", cwd=trained)
    assert ran.code == 0, ran
    document = json.loads(ran.out)
    assert document["inputs"]["model"]["options"]["factory"] == "mynet:silent"
    assert document["metrics"]["spike_agreement"] > 0.9


def test_the_reference_is_built_only_when_it_is_asked_for(trained):
    ran = forked("eval", "i.onnx", *DATA[:-1], cwd=trained)
    assert ran.code == 0, ran
    assert "give --model mynet:silent --checkpoint w.pt --input-shape 1,1,8,8\n" in ran.err
    assert "same prediction" not in ran.out
    ran = forked("eval", "i.onnx", *MODEL, "--checkpoint", "w.pt", *DATA, "--json", cwd=trained)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert found["warnings"] == []
    assert found["metrics"]["prediction_agreement"] > 0.9
    assert found["inputs"]["reference"]["options"] == {
        "factory": "mynet:silent",
        "checkpoint": "w.pt",
        "input_shape": [1, 1, 8, 8],
    }
    assert found["inputs"]["reference"]["path"] == "w.pt"


def test_the_checkpoint_is_loaded_and_hashed(trained):
    from snnquant.files import sha256_of

    manifest = json.loads((trained / "i.manifest.json").read_text())
    assert manifest["inputs"]["model"]["sha256"] == sha256_of(trained / "w.pt")
    assert json.loads((trained / "c.json").read_text())["source"]["model"] == "w.pt"
    from snnquant.runtime import load_session

    x = np.load(SAMPLES / "digits_test.npz")["x"][:16].astype(np.float32)
    session = load_session(str(trained / "canonical.onnx"), custom_ops=False)
    (scores,) = session.run(None, {session.get_inputs()[0].name: x})
    scope = {}
    exec(MODULE, scope)
    module = scope["build"]()
    module.load_state_dict(torch.load(trained / "w.pt", weights_only=True))
    with torch.no_grad():
        np.testing.assert_allclose(scores, module.eval()(torch.from_numpy(x)).numpy())
    assert scores.sum() > 0


def test_without_a_checkpoint_the_hash_is_the_graphs(trained):
    hashes = set()
    for name in ("silent", "silent"):
        arguments = ("--model", f"mynet:{name}", *MODEL[2:], "--json")
        ran = forked("inspect", *arguments, cwd=trained)
        assert ran.code == 0, ran
        hashes.add(json.loads(ran.out)["inputs"]["model"]["sha256"])
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("w.pt",), "--model package.module:factory"),
        (("w.pt", "--model", "mynet"), "mynet"),
        (("w.pt", "--model", "nothing:build"), "nothing"),
        (("w.pt", "--model", "mynet:none"), "none"),
        (("--model", "mynet:build"), "--input-shape"),
        (("--model", "mynet:build", "--input-shape", "1,1,8,8", "--dt", "1"), "--dt"),
    ],
)
def test_what_is_missing_is_named(trained, arguments, says):
    refuses(trained, 2, "inspect", *arguments, says=[says])


def test_source_options_of_an_integer_model_need_its_reference(trained):
    arguments = ("eval", "i.onnx", *DATA, "--timesteps", "4")
    refuses(trained, 2, *arguments, says=["--reference or --model"])
