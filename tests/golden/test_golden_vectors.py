"""Golden vectors of every neuron: recorded, stored, replayed, and what a change does to them."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from hand_made import Net, T, one_layer

from snnquant.convert import as_steps
from snnquant.data import Batch, open_data
from snnquant.errors import DataError, ModelError, SelfCheckError
from snnquant.fusion import fuse_model
from snnquant.golden import (
    checked_golden,
    load_golden,
    record_golden,
    replay,
    serialize_golden,
    verify_model,
)
from snnquant.golden.engines import ENGINES, Engine
from snnquant.instrument import Runner
from snnquant.reference import Reference
from snnquant.stepping import check_steps
from snnquant.stepping.cut import stateful_model

HASH = "0" * 64


@pytest.mark.parametrize("form", ["unfused", "fused", "step"])
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
@pytest.mark.parametrize("op", ["LIF", "CubaLIF", "ExtendedLIF", "LI"])
def test_every_neuron_is_replayed_in_every_form(tmp_path, op, conv, form):
    result, samples = one_layer(op, conv=conv)
    model = result.model
    if form == "fused":
        model = fuse_model(model).model
    elif form == "step":
        model = as_steps(result).model
    golden = checked_golden(model, HASH, samples, 2)
    data = serialize_golden(golden)
    assert data == serialize_golden(checked_golden(model, HASH, samples, 2))
    path = tmp_path / "x.golden.npz"
    path.write_bytes(data)
    read = load_golden(path)
    assert read.axes == golden.axes
    assert (read.model_sha256, read.samples) == (HASH, 2)
    with np.load(io.BytesIO(data), allow_pickle=False) as plain:  # no pickle in it
        assert set(plain.files) == {*golden.arrays, "meta"}
    done = replay(model, read)
    assert not done.mismatches
    assert min(done.compared.values()) > 0
    for name, array in golden.arrays.items():
        where = golden.axes[name]
        assert where["batch"] is None or array.shape[where["batch"]] == 2
        if name.startswith("layer/"):
            assert array.shape[where["time"]] == T
    assert any(name.startswith("state/") for name in golden.arrays)


@pytest.mark.parametrize("op", ["LIF", "CubaLIF", "ExtendedLIF", "LI"])
def test_final_states_are_those_of_the_stateful_model(op):
    result, samples = one_layer(op, conv=True)
    opened, states = stateful_model(result.model)
    runner = Runner(opened)
    feeds = runner.feeds(samples.inputs)
    types = {entry.name: entry.dtype for entry in runner.layout.inputs}
    count = len(samples)
    begun = {name: state.start(count, types[name]) for name, state in states.items()}
    ended = runner.call(feeds | begun)
    for model in (result.model, fuse_model(result.model).model):
        golden = record_golden(model, HASH, samples, count)
        for name, state in states.items():
            got = golden.arrays[f"state/{name}"]
            if golden.axes[f"state/{name}"]["channels_last"]:
                got = np.moveaxis(got, -1, 1)
            np.testing.assert_array_equal(got, ended[state.next])


@pytest.mark.parametrize("form", ["unfused", "fused"])
def test_a_changed_spike_is_found_by_its_place(form):
    result, samples = one_layer("LIF", conv=True)
    model = result.model if form == "unfused" else fuse_model(result.model).model
    golden = record_golden(model, HASH, samples, 2)
    key = next(name for name in golden.arrays if name.startswith("layer/"))
    array = golden.arrays[key].copy()
    channels_third = array if form == "unfused" else np.moveaxis(array, -1, 2)
    channels_third[3, 1, 4, 2, 1] ^= 1
    changed = replace(golden, arrays={**golden.arrays, key: array})
    wrong = replay(model, changed).mismatches
    assert [m.engine for m in wrong] == ["library", "functions", "reference"]
    for found in wrong:
        place = (found.kind, found.name, found.sample, found.step, found.neuron, found.count)
        assert place == ("layer", key.split("/", 1)[1], 1, 3, (4, 2, 1), 1)
        assert {found.expected, found.found} == {0, 1}
    assert "sample 1, step 3, neuron [4, 2, 1]: expected" in str(wrong[0])


def test_a_layer_that_differs_comes_before_what_it_feeds():
    result, samples = one_layer("LIF")
    golden = record_golden(result.model, HASH, samples, 2)
    arrays = {name: array.copy() for name, array in golden.arrays.items()}
    for name, array in arrays.items():
        if not name.startswith("input/"):
            array[..., 0] += 1
    wrong = replay(result.model, replace(golden, arrays=arrays)).mismatches
    assert [m.kind for m in wrong[:3]] == ["layer"] * 3
    assert wrong[-1].kind == "output"


def test_ways_that_disagree_are_a_failed_self_check(monkeypatch):
    result, samples = one_layer("LIF")
    run = Engine.run

    def other(self, stored):
        found = run(self, stored)
        if self._reference is not None:
            for name in found[0][1]:
                found[0][1][name] = found[0][1][name] + 1
        return found

    monkeypatch.setattr(Engine, "run", other)
    with pytest.raises(SelfCheckError, match=r"nothing was written"):
        checked_golden(result.model, HASH, samples, 2)


def test_vectors_of_another_model_are_refused(tmp_path):
    (lif, samples), (other, _) = one_layer("LIF"), one_layer("LIF", conv=True)
    golden = record_golden(lif.model, HASH, samples, 2)
    with pytest.raises(DataError, match="convert again with --golden"):
        replay(other.model, golden)
    with pytest.raises(DataError, match="of a model of mode sequence"):
        replay(as_steps(lif).model, golden)
    step = as_steps(lif)
    check_steps(lif.model, step.model, samples)
    for name in golden.arrays:
        if name.startswith("layer/"):
            less = {k: v for k, v in golden.arrays.items() if k != name}
            with pytest.raises(DataError, match="have no layer"):
                replay(lif.model, replace(golden, arrays=less))


@pytest.mark.parametrize("how", ["cut", "no meta", "another schema", "an axis too far"])
def test_damaged_files_are_refused(tmp_path, how):
    result, samples = one_layer("LIF")
    golden = record_golden(result.model, HASH, samples, 2)
    data = serialize_golden(golden)
    path = tmp_path / "x.golden.npz"
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "no meta":
        np.savez(path, x=np.zeros(3))
    elif how == "another schema":
        path.write_bytes(data)
        with np.load(path) as file:
            arrays = dict(file)
        text = arrays["meta"].tobytes().replace(b"golden/1", b"golden/9")
        np.savez(path, **{**arrays, "meta": np.frombuffer(text, np.uint8)})
    else:
        axes = {name: {**where, "batch": 9} for name, where in golden.axes.items()}
        path.write_bytes(serialize_golden(replace(golden, axes=axes)))
    with pytest.raises(DataError, match=r"convert again with --golden$"):
        load_golden(path)
    with pytest.raises(DataError, match="there are no golden vectors"):
        load_golden(tmp_path / "none.npz")


def test_a_model_without_integer_neurons_has_none():
    net = Net((6,))
    current, _ = net.linear(net.x, 6, 5)
    result = net.quantized(net.neuron(current, "LIF"), 3)
    bare = type(result.model)()
    bare.CopyFrom(result.model)
    del bare.graph.node[:]
    with pytest.raises(ModelError, match="drop --golden"):
        checked_golden(bare, HASH, Batch({"x": np.zeros((1, 1))}, None, 0), 1)


def test_every_engine_opens_once_and_runs_a_batch_once(tmp_path, monkeypatch):
    """However many batches there are; what the first gives for a batch is what is expected."""
    opened, ran = [], []

    class Counted(Engine):
        def __init__(self, model, how, threads=None):
            opened.append(how)
            super().__init__(model, how, threads)

        def run(self, stored):
            ran.append(self.how)
            return super().run(stored)

    monkeypatch.setattr("snnquant.golden.engines.Engine", Counted)
    result, samples = one_layer("LIF", conv=False)
    (tmp_path / "m.onnx").write_bytes(result.model.SerializeToString())
    (name, array), *_ = samples.inputs.items()
    np.savez(tmp_path / "d.npz", **{name: np.concatenate([array] * 20)})
    dataset = open_data(tmp_path / "d.npz")
    manifest = tmp_path / "m.manifest.json"
    found = verify_model(tmp_path / "m.onnx", manifest=manifest, dataset=dataset, samples=40)
    assert (found.data.samples, found.failures) == (40, [])
    assert opened == list(ENGINES)
    assert ran == list(ENGINES) * 3


@pytest.mark.parametrize("held", [np.uint8, np.int8])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_the_reference_rounds_huge_values_as_onnx_runtime(held, axis):
    limits = np.iinfo(held)
    powers = 2.0 ** np.arange(20, 128, 9, dtype=np.float64)
    x = np.concatenate([[0.5, 1.5, -0.5, 200.4, np.inf], powers]).astype(np.float32)
    x = np.stack([x, -x, x / 3])
    count = 1 if axis is None else x.shape[axis]
    scale = np.linspace(0.5, 2, count).astype(np.float32)
    zero = np.linspace(limits.min, limits.max, count).astype(held)
    constants = [scale, zero] if axis is not None else [scale.reshape(()), zero.reshape(())]
    node = helper.make_node(
        "QuantizeLinear", ["x", "scale", "zero"], ["y"], **({} if axis is None else {"axis": axis})
    )
    graph = helper.make_graph(
        [node],
        "rounding",
        [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(zero.dtype), x.shape)],
        [numpy_helper.from_array(c, n) for c, n in zip(constants, ("scale", "zero"), strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(Reference(model).run({"x": x})["y"], expected)
