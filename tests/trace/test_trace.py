"""Traces: what is read back from their files is what the reference computes, exactly."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from hand_made import B, Net, T, one_layer

from snnquant.convert import as_steps
from snnquant.data import Batch
from snnquant.errors import DataError, ModelError, UsageError
from snnquant.fusion import fuse_model
from snnquant.instrument import Runner
from snnquant.reference import Reference
from snnquant.trace import read_hex, trace_model, write_trace

MODEL = {"path": "net.int.onnx", "sha256": "0" * 64}


def quantized(op: str, *, conv: bool, static: bool = False):
    result, batch = one_layer(op, conv=conv, static=static)
    return result, Batch({name: array[:2] for name, array in batch.inputs.items()}, None, 0)


def arrays_of(folder):
    """Return all arrays of a folder of hex files, by layer and what they are."""
    document = json.loads((folder / "trace.json").read_text())
    return {
        entry["what"]: read_hex(
            folder / entry["file"],
            entry["bits"],
            signed=entry["signed"],
            shape=tuple(entry["shape"]),
        )
        for entry in document["arrays"]
    }


@pytest.mark.parametrize("form", ["unfused", "fused", "step"])
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
@pytest.mark.parametrize("op", ["LIF", "CubaLIF", "ExtendedLIF", "LI"])
def test_hex_files_hold_the_integers_of_the_reference(tmp_path, op, conv, form):
    result, samples = quantized(op, conv=conv)
    plain = model = result.model
    if form == "fused":
        model = fuse_model(model).model
    elif form == "step":
        model = as_steps(result).model
    node = next(n for n in plain.graph.node if n.op_type == f"Q{op}")
    names = [node.input[0], node.output[0]]
    runner = Runner(plain)
    expected = Reference(plain, names).run(runner.feeds(samples.inputs))
    trace = trace_model(model, samples)
    assert [layer.name for layer in trace.layers] == [node.name]
    write_trace(trace, tmp_path / "t", "hex", MODEL)
    found = arrays_of(tmp_path / "t")
    current, given = (np.moveaxis(expected[name], 1, 0) for name in names)
    np.testing.assert_array_equal(found["current"], current)
    np.testing.assert_array_equal(found["membrane" if op == "LI" else "spikes"], given)
    assert found["current"].shape[:2] == (2, T)
    assert {"weight", "bias", "input", "alpha"} <= found.keys()
    if op == "LIF":
        above = found["fire_above"].reshape(-1, *[1] * (found["membrane"].ndim - 3))
        np.testing.assert_array_equal(found["membrane"] > above, found["spikes"] > 0)


def test_currents_follow_from_what_is_written(tmp_path):
    result, samples = quantized("LIF", conv=False)
    trace = trace_model(result.model, samples)
    write_trace(trace, tmp_path / "t", "hex", MODEL)
    found = arrays_of(tmp_path / "t")
    layer = json.loads((tmp_path / "t" / "trace.json").read_text())["layers"][0]
    attributes = layer["attributes"]
    summed = (found["input"] - attributes["zero_point"]) @ found["weight"].T
    np.testing.assert_array_equal(
        found["current"], summed * 2 ** attributes["gain_shift"] + found["bias"]
    )


@pytest.mark.parametrize("rows", [(), (2,)], ids=["features", "rows"])
def test_a_synapse_behind_a_mean_over_time_has_one_step(rows):
    net = Net((*rows, 6), steps="T")
    mean = net.g.op("ReduceMean", net.neuron(net.x), axes=[0], keepdims=0)
    weight = net.g.const(np.random.default_rng(3).normal(size=(6, 4)))
    head = net.g.op("MatMul", mean, weight, name="head")
    result = net.quantized(head, 2 + len(rows), readout_as="int")
    samples = Batch({"x": np.moveaxis(net.feeds()["x"], 1, 0)}, None, 0)
    model = fuse_model(result.model).model
    assert "QLinear" in {node.op_type for node in model.graph.node}
    expected = Runner(model).run(samples.inputs)[model.graph.output[0].name]
    for form in (result.model, model):
        layer = next(e for e in trace_model(form, samples).layers if e.name == "head")
        assert layer.signals["input"].shape == (B, 1, 6, *rows)
        current = layer.signals["current"]
        assert current.shape == (B, 1, 4, *rows)
        np.testing.assert_array_equal(np.moveaxis(current[:, 0], 1, -1), expected)


def test_npz_holds_the_same_and_the_same_bytes(tmp_path):
    result, samples = quantized("LIF", conv=True)
    trace = trace_model(result.model, samples)
    for name, form in (("hex", "hex"), ("a", "npz"), ("b", "npz")):
        write_trace(trace, tmp_path / name, form, MODEL)
    hexes = arrays_of(tmp_path / "hex")
    with np.load(tmp_path / "a" / "trace.npz", allow_pickle=False) as file:
        arrays = dict(file)
    for key, array in arrays.items():
        if not key.startswith("output/"):
            np.testing.assert_array_equal(array, hexes[key.split("/")[1]])
    for name in ("trace.npz", "trace.json", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_readme_names_every_file(tmp_path):
    result, samples = quantized("LIF", conv=True)
    files = write_trace(trace_model(result.model, samples), tmp_path / "t", "hex", MODEL)
    text = (tmp_path / "t" / "README.md").read_text()
    for name in files:
        assert name in text or name == "README.md"
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == files
    in_example = re.findall(r'\$readmemh\("(.+?)"', text)
    assert len(in_example) == 2
    assert set(in_example) <= set(files)
    assert MODEL["sha256"] in text


def test_hex_is_twos_complement_of_fixed_width(tmp_path):
    path = tmp_path / "x.hex"
    path.write_text("ff\n80\n7f\n00\n")
    signed = read_hex(path, 8, signed=True, shape=(2, 2))
    assert signed.tolist() == [[-1, -128], [127, 0]]
    assert read_hex(path, 8, signed=False, shape=(4,)).tolist() == [255, 128, 127, 0]
    for bits, shape in ((4, (4,)), (8, (5,))):
        with pytest.raises(DataError, match="trace again"):
            read_hex(path, bits, signed=True, shape=shape)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    result, samples = quantized("LIF", conv=False)
    trace = trace_model(result.model, samples)
    (tmp_path / "t").mkdir()
    write_trace(trace, tmp_path / "t", "npz", MODEL)
    before = sorted((tmp_path / "t").iterdir())
    with pytest.raises(UsageError, match="no empty folder"):
        write_trace(trace, tmp_path / "t", "npz", MODEL)
    with pytest.raises(UsageError, match="choose another -o"):
        write_trace(trace, tmp_path / "no" / "such", "npz", MODEL)
    assert sorted((tmp_path / "t").iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_float_model_has_no_integers():
    result, samples = quantized("LIF", conv=False)
    bare = type(result.model)()
    bare.CopyFrom(result.model)
    del bare.graph.node[:]
    with pytest.raises(ModelError, match="no integer neurons"):
        trace_model(bare, samples)
