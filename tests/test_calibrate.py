"""Calibration: statistics of the whole data, whatever the batches; bound to model and data."""

import json

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of, run_float

from snnquant.calibrate import (
    calibrate_model,
    calibration_points,
    same_elements,
)
from snnquant.calibration import CalibrationSettings, load_calibration
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.errors import CalibrationMismatchError, DataError, NumericalError, UsageError
from snnquant.instrument import Runner
from snnquant.model_file import last_layers
from snnquant.observers import TensorStatistics
from snnquant.passes import canonicalise

T, N = 3, 11


def network(batch="B", threshold=0.5, order="TB", scale=1.0, sine=False):
    """Encoder, leaky neurons, and a layer behind a Sin that stays float."""
    rng = np.random.default_rng(0)
    g = Graph()
    if order == "TB":
        y = g.input("x", [T, batch, 4])
    else:
        y = g.op("Transpose", g.input("x", [batch, T, 4]), perm=[1, 0, 2])
    y = g.op("MatMul", y, g.const(rng.normal(size=(4, 6)) * scale))
    y = g.neuron(y, name="first", alpha=0.9, v_threshold=threshold)[0]
    if sine:
        y = g.op("Sin", g.reshape(y, [-1, 6]), name="sine")
        y = g.op("Gemm", y, g.const(rng.normal(size=(6, 3))))
        y = g.reshape(y, [T, batch if batch != "B" else -1, 3])
    else:
        y = g.op("MatMul", y, g.const(rng.normal(size=(6, 3))))
    g.output(g.neuron(y, name="last", alpha=0.9, v_threshold=threshold)[0], 3)
    return g.model()


@pytest.fixture
def samples():
    return np.random.default_rng(5).normal(size=(N, T, 4)).astype(np.float32)


def data_of(tmp_path, samples, name="data.npz"):
    np.savez(tmp_path / name, x=samples)
    return open_data(tmp_path / name)


def settings_of(batch_size=4, samples=1000, method="minmax", **inputs):
    return CalibrationSettings(method, samples, batch_size, inputs)


def calibrate(model, dataset, **options):
    return calibrate_model(canonicalise(model), dataset, settings_of(**options), threads=1)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, N, 64])
@pytest.mark.parametrize("order", ["TB", "BT"])
@pytest.mark.parametrize("sine", [False, True])
def test_statistics_are_those_of_the_whole_data(tmp_path, samples, batch_size, order, sine):
    model = network(order=order, sine=sine)
    found = calibrate(model, data_of(tmp_path, samples), batch_size=batch_size)
    assert found.timesteps == T
    assert found.settings.samples == N
    seen = found.tensors["x" if order == "TB" else next(iter(found.tensors))]
    assert (seen.count, seen.zeros, seen.all_integer) == (samples.size, 0, False)
    assert (seen.minimum, seen.maximum) == (float(samples.min()), float(samples.max()))
    assert seen.batches == -(-N // batch_size)
    fed = {"x": np.moveaxis(samples, 0, 1) if order == "TB" else samples}
    (spikes,) = run_float(model, fed)
    assert found.neurons["last"]["firing_rate"] == spikes.mean(dtype=np.float64)
    if sine:
        inner = found.tensors["sine.y"]
        assert inner.count == N * T * 6
        assert inner.minimum == 0
        assert inner.maximum == pytest.approx(0.8414709848078965, rel=1e-6)


@pytest.mark.parametrize("order", ["TB", "BT"])
@pytest.mark.parametrize("fixed", [2, 5, 16])
def test_a_fixed_batch_counts_every_sample_once(tmp_path, samples, fixed, order):
    dataset = data_of(tmp_path, samples)
    free = calibrate(network(sine=True, order=order), dataset, batch_size=fixed)
    bound = calibrate(network(batch=fixed, sine=True, order=order), dataset, batch_size=64)
    assert bound.settings.batch_size == fixed
    assert len(free.tensors) == len(bound.tensors) == (2 if order == "TB" else 3)
    for one, other in zip(free.tensors.values(), bound.tensors.values(), strict=True):
        assert one.to_json() == other.to_json()
    assert free.neurons == bound.neurons


@pytest.mark.parametrize("order", ["TB", "BT"])
def test_values_with_the_same_elements_are_looked_at_once(tmp_path, samples, order):
    g = Graph()
    x = g.input("x", [T, "B", 4] if order == "TB" else ["B", T, 4])
    y = x if order == "TB" else g.op("Transpose", x, perm=[1, 0, 2])
    rows = g.op("Identity", g.reshape(g.op("Unsqueeze", y, g.const([3], np.int64)), [-1, 4]))
    y = g.reshape(g.op("MatMul", rows, g.const(np.ones((4, 6)))), [T, -1, 6])
    other = g.op("Slice", x, *(g.const([k], np.int64) for k in (0, 3, 2)))
    other = g.op("MatMul", other, g.const(np.ones((3, 6))))
    if order == "BT":
        other = g.op("Transpose", other, perm=[1, 0, 2])
    g.output(g.neuron(g.op("Add", y, other), name="first", alpha=0.9)[0], 3)
    model = canonicalise(g.model())
    points = calibration_points(model)
    same = same_elements(model, points)
    assert set(same) == set(points)
    assert len(points) > len(set(same.values()))
    assert "x" in same.values()
    dataset = data_of(tmp_path, samples)
    found = calibrate_model(model, dataset, settings_of(batch_size=5), threads=1)
    runner = Runner(ir.to_proto(model), points, custom_ops=False, threads=1)
    seen = {point: TensorStatistics(point) for point in points}
    for batch in dataset.batches(5):
        values = runner.run(batch.inputs)
        for point, statistics in seen.items():
            statistics.update(values[point])
    assert found.tensors.keys() == seen.keys()
    for point, statistics in seen.items():
        assert found.tensors[point].to_json() == statistics.to_json()
        assert found.tensors[point].name == point


def test_states_start_anew_with_every_sample(tmp_path, samples):
    rates = [
        calibrate(network(), data_of(tmp_path, data, f"{k}.npz"), batch_size=size).neurons
        for k, (data, size) in enumerate([(samples, 1), (samples, N), (samples[::-1], 4)])
    ]
    assert rates[0] == rates[1] == rates[2]
    alone = [calibrate(network(threshold=0.1), data_of(tmp_path, s[None], "one.npz")).neurons
             for s in samples]  # fmt: skip
    together = calibrate(network(threshold=0.1), data_of(tmp_path, samples)).neurons
    mean = np.mean([a["last"]["firing_rate"] for a in alone])
    assert together["last"]["firing_rate"] == pytest.approx(mean)


def test_only_the_wanted_samples_are_read(tmp_path, samples):
    told = []
    found = calibrate_model(
        canonicalise(network()),
        data_of(tmp_path, samples),
        settings_of(batch_size=4, samples=6),
        threads=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found.settings.samples == 6
    assert found.tensors["x"].count == 6 * T * 4
    assert found.tensors["x"].maximum == float(samples[:6].max())
    assert told == [(0, 6), (4, 6), (6, 6)]


def test_a_silent_network_is_refused(tmp_path, samples):
    with pytest.raises(NumericalError, match="is silent: neuron 'last' never fires on these"):
        calibrate(network(threshold=1e6), data_of(tmp_path, samples))


def test_a_silent_hidden_layer_shows_in_the_rates(tmp_path, samples):
    g = Graph()
    x = g.input("x", [T, "B", 4])
    quiet = g.neuron(x, name="quiet", v_threshold=1e6)[0]
    g.output(g.neuron(g.op("Add", x, quiet), name="loud", v_threshold=0.1)[0], 3)
    rates = calibrate(g.model(), data_of(tmp_path, samples)).firing_rates()
    assert rates["quiet"] == 0
    assert rates["loud"] > 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_refused(tmp_path, samples, value):
    samples[N - 1, 0, 0] = value
    with pytest.raises(NumericalError, match="hold NaN"):
        calibrate(network(), data_of(tmp_path, samples))


def test_values_that_overflow_inside_are_refused(tmp_path, samples):
    g = Graph()
    y = g.op("Exp", g.op("Mul", g.input("x", [T, "B", 4]), g.const(1e4)), name="exp")
    y = g.op("MatMul", y, g.const(np.eye(4)))
    g.output(g.neuron(y, name="last")[0], 3)
    with pytest.raises(NumericalError, match=r"tensor 'exp\.y' holds NaN or infinite values"):
        calibrate(g.model(), data_of(tmp_path, samples))


def test_forced_inputs(tmp_path):
    spikes = np.random.default_rng(0).integers(0, 2, (N, T, 4)).astype(np.float32)
    dataset = data_of(tmp_path, spikes)

    def entry(**inputs):
        return calibrate(network(), dataset, **inputs).input_scale("x", 8, "minmax")

    assert (entry().scale, entry().low, entry().high) == (1.0, -128, 127)
    assert entry(x="analog").scale == float(np.float32(1 / 127))
    assert (entry(x="0.5").scale, entry(x="0.5").high) == (0.5, 127)
    np.savez(tmp_path / "analog.npz", x=spikes * 1.5)
    with pytest.raises(UsageError, match=r"--input x=spikes: the values go from 0 to 1.5 and are"):
        calibrate(network(), open_data(tmp_path / "analog.npz"), x="spikes")
    np.savez(tmp_path / "counts.npz", x=spikes * 200)
    counts = calibrate(network(), open_data(tmp_path / "counts.npz"), x="spikes")
    entry = counts.input_scale("x", 8, "minmax")
    assert (entry.scale, entry.low, entry.high, entry.spikes) == (1.0, 0, 255, True)
    with pytest.raises(UsageError, match="--input y: no such analog input; the model has x"):
        calibrate(network(), dataset, y="spikes")


def test_a_wrong_number_of_steps_is_refused(tmp_path, samples):
    canonical, dataset = canonicalise(network()), data_of(tmp_path, samples)
    with pytest.raises(DataError, match=r"give T = \[3\] steps, not the 4 that were asked for"):
        calibrate_model(canonical, dataset, settings_of(), timesteps=4, threads=1)
    assert calibrate_model(canonical, dataset, settings_of(), timesteps=3, threads=1).timesteps == 3


# -- the file --------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path, samples):
    found = calibrate(network(sine=True), data_of(tmp_path, samples), x="analog")
    path = tmp_path / "calibration.json"
    path.write_text(found.dumps(8, "mse"))
    return path, found


def test_the_file_holds_everything(written):
    path, found = written
    loaded = load_calibration(path)
    assert loaded.dumps(8, "mse") == path.read_text()
    assert loaded.settings == found.settings
    assert loaded.input_scales(8, "mse") == found.input_scales(8, "mse")
    assert loaded.neurons == found.neurons
    assert found.dumps(8, "mse") == found.dumps(8, "mse")


TAMPERED = [
    ("settings", {"method": "mse", "samples": N, "batch_size": 4, "inputs": {}}),
    ("model_sha256", "0" * 64),
    ("data_sha256", "0" * 64),
    ("timesteps", 7),
    ("binding_sha256", "0" * 64),
]


@pytest.mark.parametrize(("key", "value"), TAMPERED)
def test_a_changed_file_is_refused(written, key, value):
    assert len(TAMPERED) == 5
    path, _ = written
    stored = json.loads(path.read_text())
    assert stored[key] != value
    path.write_text(json.dumps(stored | {key: value}))
    with pytest.raises(CalibrationMismatchError, match=r"changed|binding"):
        load_calibration(path)


DAMAGE = [
    lambda text: "",
    lambda text: text[: len(text) // 2],
    lambda text: "[]",
    lambda text: "{}",
    lambda text: text.replace('"snnquant.calibration/1"', '"snnquant.calibration/9"'),
    lambda text: text.replace('"count": ', '"count": -'),
    lambda text: text.replace('"method": "minmax"', '"method": "guess"'),
    lambda text: text.replace('"neurons"', '"neurones"'),
    lambda text: "[" * 100_000,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(written, damage):
    assert len(DAMAGE) == 9
    path, _ = written
    path.write_text(damage(path.read_text()))
    with pytest.raises((DataError, CalibrationMismatchError), match=r"calibration.*(again|read)"):
        load_calibration(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no calibration file"):
        load_calibration(tmp_path / "nothing.json")


def test_a_calibration_of_another_model_is_refused(written):
    path, _ = written
    calibration = load_calibration(path)
    digests = {"source_sha256": "", "calibration_sha256": ""}
    other = canonicalise(network(sine=True, scale=2.0))
    with pytest.raises(CalibrationMismatchError, match="the calibration is of another model"):
        convert_model(other, calibration, options_of(), **digests)
    result = convert_model(canonicalise(network(sine=True)), calibration, options_of(), **digests)
    assert [layer["kind"] for layer in result.layers].count("neuron") == 2


def test_last_layers_are_those_that_outputs_see():
    g = Graph()
    x = g.input("x", [T, "B", 4])
    first = g.neuron(x, name="first")[0]
    g.output(g.op("Add", g.neuron(first, name="a")[0], g.neuron(x, name="b")[0]), 3)
    assert last_layers(g.model(), ["first", "a", "b"]) == ["a", "b"]
    assert last_layers(g.model(), ["first"]) == ["first"]
