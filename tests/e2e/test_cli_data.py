"""Public formats of data go through calibrate and eval as a user gives them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_process import refuses, snnquant

sys.path.append(str(Path(__file__).parents[1] / "data"))
from event_files import write_mnist, write_nmnist

MODULE = """
import torch
from snnquant import nn as snn

def events():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        snn.Folded(torch.nn.Sequential(torch.nn.AvgPool2d(17), torch.nn.Flatten(),
                                       torch.nn.Linear(8, 10))),
        snn.LIF(alpha=0.9), snn.SumOverTime(),
    )
    for parameter in net.parameters():
        parameter.data.abs_().mul_(20)
    return net

def images():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        snn.Folded(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))),
        snn.LIF(alpha=0.9), snn.SumOverTime(),
    )
    for parameter in net.parameters():
        parameter.data.abs_().mul_(3)
    return net

def batches():
    print("a line that is no result")
    yield torch.ones(3, 4, 1, 8, 8), torch.arange(3)
    yield torch.zeros(2, 4, 1, 8, 8), torch.arange(2)
"""
TIMED = ("--time-axis", "0")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with two networks as canonical ONNX, an IDX file and an N-MNIST folder."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "nets.py").write_text(MODULE)
    for name, shape in (("images", "4,1,1,8,8"), ("events", "4,1,2,34,34")):
        ran = snnquant(
            *("import", "--model", f"nets:{name}", "--input-shape", shape, *TIMED),
            *("-o", f"{name}.onnx", "-q"),
            cwd=folder,
        )
        assert ran.code == 0, ran
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (20, 8, 8), np.uint8)
    write_mnist(folder, images, np.arange(20, dtype=np.uint8) % 10, zipped=True)
    write_nmnist(folder / "nmnist", per_class=2)
    return folder


@pytest.mark.parametrize(
    ("net", "data", "options", "recorded"),
    [
        (
            "images",
            "t10k-images-idx3-ubyte.gz",
            ("--normalize", "0..1", "--encode", "poisson", "--timesteps", "4", "--seed", "5"),
            {"normalize": "0..1", "encode": "poisson", "timesteps": 4, "seed": 5},
        ),
        (
            "events",
            "nmnist",
            ("--timesteps", "4", "--bin", "count"),
            {"timesteps": 4, "bin": "count"},
        ),
    ],
)
def test_calibrate_convert_eval(prepared, tmp_path, net, data, options, recorded):
    def run(*arguments):
        ran = snnquant(*arguments, cwd=tmp_path)
        assert ran.code == 0, ran
        return ran.out

    model, path = prepared / f"{net}.onnx", prepared / data
    run("calibrate", model, "--data", path, *options, "--batch-size", "3")
    first = (tmp_path / "calibration.json").read_bytes()
    assert json.loads(first)["settings"]["data"] == recorded
    assert json.loads(first)["settings"]["samples"] == 20
    run("calibrate", model, "--data", path, *options, "--batch-size", "3", "-q")
    assert (tmp_path / "calibration.json").read_bytes() == first
    run("convert", model, "-o", "net.int.onnx")
    document = json.loads(
        run("eval", "net.int.onnx", "--data", path, *options, "--reference", model, "--json")
    )
    assert document["metrics"]["samples"] == 20
    assert document["metrics"]["accuracy"] is not None
    assert document["inputs"]["data"]["sha256"] == json.loads(first)["data_sha256"]
    assert document["config"]["timesteps"] == 4
    run("inspect", model, "--data", path, *options)
    run("bench", "net.int.onnx", "--data", path, *options, "--seconds", "0.1")


def test_what_is_not_declared_is_a_usage_error(prepared, tmp_path):
    (tmp_path / "work").mkdir()

    def refused(net, data, *options, says):
        arguments = (prepared / f"{net}.onnx", "--data", prepared / data, *options, "-q")
        refuses(tmp_path / "work", 2, "calibrate", *arguments, says=[says])

    refused("events", "nmnist", says="--timesteps N and --bin time|count")
    refused("images", "t10k-images-idx3-ubyte.gz", says="--normalize 0..1, none or MEAN,STD")
    refused("events", "nmnist", "--bin", "time", says="give --timesteps N too")


def test_damaged_data_exits_with_3(prepared, tmp_path):
    (tmp_path / "work" / "d" / "0").mkdir(parents=True)
    (tmp_path / "work" / "d" / "0" / "a.bin").write_bytes(b"1234")
    options = ("--timesteps", "4", "--bin", "time", "-q")
    arguments = ("calibrate", prepared / "events.onnx", "--data", "d", *options)
    refuses(tmp_path / "work", 3, *arguments, says=["truncated"])


def test_code_of_the_user_gives_batches(prepared, tmp_path):
    ran = snnquant(
        *("calibrate", "images.onnx", "--data", "nets:batches", "-o", tmp_path / "c.json"),
        cwd=prepared,
    )
    assert ran.code == 0, ran
    assert "no result" not in ran.out
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["settings"]["samples"] == 5
    assert document["source"]["data"] == "nets:batches"
