"""Public formats of data go through calibrate and eval as a user gives them."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from cli_process import forked, refuses, snnquant
from graphs import Graph

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


LOOP = """
<ir_version: 9, opset_import: ["": 18]>
events (float[T, B, 2, 34, 34] x) => (float[B, 10] total)
<int64 zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] ten = {10}, bool yes = {1},
 float decay = {0.5}, float threshold = {1.0}>
{
    shape = Shape(x)
    steps = Gather<axis = 0>(shape, zero)
    batch = Slice(shape, one, two)
    states = Concat<axis = 0>(batch, ten)
    start = ConstantOfShape(states)
    last, total = Loop(steps, yes, start, start) <body = body
        (int64 i, bool c, float[B, 10] v, float[B, 10] counted)
        => (bool c_out, float[B, 10] v_out, float[B, 10] counted_out)
    {
        now = Gather<axis = 0>(x, i)
        rows = Flatten<axis = 1>(now)
        current = MatMul(rows, weight)
        kept = Mul(v, decay)
        h = Add(kept, current)
        fired = Greater(h, threshold)
        s = Cast<to = 1>(fired)
        taken = Mul(s, threshold)
        v_out = Sub(h, taken)
        counted_out = Add(counted, s)
        c_out = Identity(c)
    }>
}
"""


def of_any_length(form):
    """Return a network for N-MNIST whose T is that of its input: a loop, or a neuron node."""
    weight = np.abs(np.random.default_rng(0).normal(size=(2 * 34 * 34, 10)).astype(np.float32))
    if form == "loop":
        model = onnx.parser.parse_model(LOOP)
        model.graph.initializer.append(onnx.numpy_helper.from_array(2 * weight, "weight"))
        return model
    g = Graph(18)
    flat = g.reshape(g.input("x", ["T", "B", 2, 34, 34]), (0, 0, 2 * 34 * 34))
    (spikes,) = g.neuron(g.op("MatMul", flat, g.const(2 * weight)), name="lif", alpha=0.5)
    g.output(g.op("ReduceSum", spikes, g.const([0], np.int64), keepdims=0), 2)
    return g.model()


@pytest.mark.parametrize("form", ["loop", "node"])
def test_events_through_a_network_of_any_length(prepared, tmp_path, form):
    onnx.save(of_any_length(form), str(tmp_path / "net.onnx"))
    data = ("--data", prepared / "nmnist", "--timesteps", "3", "--bin", "count")

    def run(*arguments):
        ran = forked(*arguments, cwd=tmp_path)
        assert ran.code == 0, ran
        return ran.out

    run("calibrate", "net.onnx", *data)
    run("convert", "net.onnx", "--timesteps", "3", "--golden", "2", "-o", "net.int.onnx")
    for reference in ((), ("--reference", "net.onnx")):
        found = json.loads(run("eval", "net.int.onnx", *data, *reference, "--json"))
        assert (found["metrics"]["samples"], found["config"]["timesteps"]) == (20, 3)
    assert found["metrics"]["spike_agreement"] > 0.9
    counted = json.loads(run("inspect", "net.onnx", *data, "--json"))
    assert any("firing_rate" in layer for layer in counted["layers"])
    verified = json.loads(run("verify", "net.int.onnx", *data, "--samples", "4", "--json"))
    assert verified["metrics"]["data_samples"] == 4
    assert verified["config"]["bin"] == "count"
    traced = json.loads(run("trace", "net.int.onnx", *data, "-o", "traced", "--json"))
    assert traced["layers"][0]["signals"]["current"][1] == 3
    run("bench", "net.int.onnx", *data, "--seconds", "0.1")


def test_steps_that_a_graph_does_not_run_are_refused(prepared, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    model = of_any_length("node")
    onnx.helper.set_model_props(model, {"snnquant.timesteps": "4"})
    onnx.save(model, str(work / "net.onnx"))
    data = ("--data", prepared / "nmnist")
    steps = ("--timesteps", "3", "--bin", "count", "-q")
    said = "--timesteps is 3, but the graph runs 4 steps"
    refuses(work, 2, "calibrate", "net.onnx", *data, *steps, says=[said])
    refuses(work, 2, "verify", "net.onnx", *steps, says=["give --data"])
