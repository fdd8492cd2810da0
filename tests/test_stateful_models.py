"""The stages on models with states as inputs, and on loops over time that were written out."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of

from snnquant.calibrate import calibrate_model, calibration_points
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import first_samples, open_data
from snnquant.errors import DataError, NumericalError
from snnquant.evaluate import evaluate_model
from snnquant.frontends import reading_of
from snnquant.inspection import inspect_model
from snnquant.instrument import Runner
from snnquant.model_file import scale_of
from snnquant.passes import canonicalise
from snnquant.self_check import self_check

T, F, C, SAMPLES = 3, 6, 4, 12
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (F, C))


def step():
    """One step: ``x [B, F]`` and the states of one neuron in, spikes and states out."""
    g = Graph()
    x, v, r = g.input("x", ["B", F]), g.input("v0", ["B", C]), g.input("r0", ["B", C])
    current = g.op("Unsqueeze", g.op("MatMul", x, g.const(WEIGHT)), g.const([0], np.int64))
    out = g.neuron(current, "LIFState", name="lif", states=[v, r], alpha=0.5, v_threshold=0.5)
    for value, rank in zip(out, (3, 2, 2), strict=True):
        g.output(value, rank)
    return g.model()


def loop(rolled=False):
    """A loop over ``x [T, B, F]``, rolled up or written out."""
    g = Graph()
    x = g.input("x", [T, "B", F])
    weight = g.const(WEIGHT)
    real = {"alpha": 0.5, "v_threshold": 0.5}
    if rolled:
        g.output(g.neuron(g.op("MatMul", x, weight), name="lif", **real)[0], 3)
        return g.model()
    shape = g.op("Concat", g.op("Shape", x, start=1, end=2), g.const([C], np.int64), axis=0)
    states = [g.op("ConstantOfShape", shape)] * 2
    outputs = []
    for t in range(T):
        one = g.op("Gather", x, g.const(t, np.int64), axis=0)
        current = g.op("Unsqueeze", g.op("MatMul", one, weight), g.const([0], np.int64))
        out, *states = g.neuron(current, "LIFState", name=f"lif{t}", states=states, **real)
        outputs.append(out)
    g.output(g.op("Concat", *outputs, axis=0, name="all"), 3)
    g.output(states[0], 2)
    return g.model()


@pytest.fixture
def samples():
    rng = np.random.default_rng(1)
    return {
        "x": rng.uniform(-1, 1, (SAMPLES, F)).astype(np.float32),
        "v0": rng.uniform(-1, 1, (SAMPLES, C)).astype(np.float32),
        "r0": np.zeros((SAMPLES, C), np.float32),
        "y": rng.integers(0, C, SAMPLES),
    }


def convert(path, model, arrays):
    """Calibrate and convert; return the data set, the graph, and what both stages gave."""
    np.savez(path / "data.npz", **arrays)
    dataset = open_data(path / "data.npz")
    graph = canonicalise(model)
    calibration = calibrate_model(graph, dataset, CalibrationSettings(AUTO, 100, 5))
    result = convert_model(
        graph, calibration, options_of(), source_sha256="0", calibration_sha256="0"
    )
    return dataset, graph, calibration, result


@pytest.mark.parametrize("with_states", [False, True], ids=["from_zero", "from_data"])
def test_a_step_goes_through_all_stages(tmp_path, samples, with_states):
    if not with_states:
        del samples["v0"], samples["r0"]
    dataset, graph, calibration, result = convert(tmp_path, step(), samples)
    assert list(calibration.tensors) == ["x"]
    assert calibration.timesteps == 1
    assert 0 < calibration.firing_rates()["lif"] < 1
    assert not result.left
    check = self_check(result.model, first_samples(dataset))
    assert check.integers > 0
    report = evaluate_model(result.model, dataset, reference=ir.to_proto(graph))
    assert report.spike_agreement > 0.9
    assert report.accuracy is not None
    for model in (step(), result.model):
        found = inspect_model(reading_of(model))
        assert [entry["name"] for entry in found["inputs"]] == ["x", "v0", "r0"]
        assert found["input_kind"] == "one step, with the states that the last step gave"
        assert not found["stays_float"]


def test_states_in_the_data_are_real_numbers_for_integer_models_too(tmp_path, samples):
    _, _, _, result = convert(tmp_path, step(), samples)
    scale = scale_of(result.model, "v0")
    assert scale.shape == (C,)
    feeds = Runner(result.model).feeds(samples)
    assert feeds["v0"].dtype == np.int32
    np.testing.assert_array_equal(feeds["v0"], np.rint(samples["v0"].astype(np.float64) / scale))
    samples["v0"][0, 0], samples["v0"][0, 1] = 1e30, -1e30
    assert Runner(result.model).feeds(samples)["v0"][0, :2].tolist() == [2**31 - 1, -(2**31)]
    samples["v0"][0, 0] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        Runner(result.model).feeds(samples)


def test_states_alone_are_no_samples(samples):
    del samples["x"]
    with pytest.raises(DataError, match="no array 'x'"):
        Runner(ir.to_proto(canonicalise(step())), custom_ops=False).run(samples)
    with pytest.raises(DataError, match=r"do not fit input 'v0' of shape \(N, 4\)"):
        Runner(ir.to_proto(canonicalise(step())), custom_ops=False).run(
            {"x": np.zeros((2, F)), "v0": np.zeros((2, 3))}
        )


def test_a_loop_goes_through_all_stages_as_the_rolled_model_does(tmp_path):
    rng = np.random.default_rng(2)
    arrays = {
        "x": rng.uniform(-1, 1, (SAMPLES, T, F)).astype(np.float32),
        "y": rng.integers(0, C, SAMPLES),
    }
    assert calibration_points(canonicalise(loop())) == ["x"]
    dataset, graph, calibration, result = convert(tmp_path, loop(), arrays)
    whole = convert(tmp_path, loop(rolled=True), arrays)
    assert calibration.timesteps == whole[2].timesteps == T
    assert calibration.tensors["x"].to_json() == whole[2].tensors["x"].to_json()
    assert json.loads(calibration.dumps(8, "minmax"))["timesteps"] == T
    assert self_check(result.model, first_samples(dataset)).integers > 0
    reports = [
        evaluate_model(r.model, dataset, reference=ir.to_proto(g))
        for g, r in ((graph, result), (whole[1], whole[3]))
    ]
    assert [r.accuracy for r in reports] == [reports[0].accuracy] * 2
    assert [layer.name for layer in reports[0].layers] == ["lif0", "lif1", "lif2"]
    values = [Runner(r.model).run({"x": arrays["x"]}) for r in (result, whole[3])]
    np.testing.assert_array_equal(values[0]["all.y"], values[1]["lif.spikes"])
    assert 0 < values[0]["all.y"].mean() < 1
    found = inspect_model(reading_of(result.model))
    assert (found["timesteps"], found["input_kind"]) == (T, "sequence")
    assert found["inputs"][0]["time_axis"] == 0
