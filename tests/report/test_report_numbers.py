"""What a report shows, worked out by hand on tiny networks."""

import base64
import json

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of, quantize

from snnquant.data import Batch, open_data
from snnquant.errors import DataError
from snnquant.evaluate import Judged
from snnquant.fusion import fuse_model
from snnquant.passes import canonicalise
from snnquant.report import read_speed
from snnquant.report.histogram import Histogram, histogram_for
from snnquant.report.membranes import membrane_histograms
from snnquant.report.raster import MAX_NEURONS, MAX_STEPS, spike_raster
from snnquant.report.rates import rate_histogram
from snnquant.report.samples import KeptSample, SampleKeeper
from snnquant.report.weights import weight_layers
from snnquant.spike_counter import LayerCounter
from snnquant.stepping import step_model

NAMES = ("integer", "float")


def network(weight, *, alpha=0.0, threshold=0.5, neuron=None):
    """One linear layer of neurons over [T, B, inputs]; with a read-out where asked for."""
    g = Graph()
    y = g.op("MatMul", g.input("x", ["T", "B", len(weight)]), g.const(weight), name="fc")
    spikes = g.neuron(y, name="lif", alpha=alpha, v_threshold=threshold)[0]
    if neuron:
        size = np.shape(weight)[1]
        y = g.op("MatMul", spikes, g.const(np.eye(size)), name="fc2")
        spikes = g.neuron(y, neuron, name="li")[0]
    g.output(spikes, 3)
    return canonicalise(g.model())


def kept(*samples):
    return [
        KeptSample(k, {"x": np.asarray(x, np.float32)[None]}, None, 0, None)
        for k, x in enumerate(samples)
    ]


def entries_of(layer, sample):
    """Return the two-bit entries of a sample, [step, neuron]."""
    data = np.frombuffer(base64.b64decode(layer.cells[sample]), np.uint8)
    two = np.stack([data >> 2 * k & 3 for k in range(4)], axis=1).reshape(-1)
    return two[: layer.shown_steps * len(layer.shown)].reshape(layer.shown_steps, -1)


def test_bins_hold_their_values_and_the_rest_is_counted():
    histogram = Histogram(0.0, 2.0, 2)
    histogram.add("a", np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, 3.0]]))
    histogram.add("a", np.array([0.1]))
    counts = histogram.counts["a"]
    assert (counts.below, counts.bins.tolist(), counts.above) == (1, [3, 2], 1)
    assert counts.total == 7
    assert counts.shares().tolist() == [3 / 7, 2 / 7]


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [-1.0, 5.0], [np.nan, np.inf, 1.0]])
def test_ends_hold_what_they_must(values):
    found = histogram_for(np.array(values), 10, include=(0.0, 1.0))
    assert found.low < 0
    assert found.high > 1
    finite = [v for v in values if np.isfinite(v)]
    assert all(found.low < v < found.high for v in finite)


def test_samples_that_differ_are_kept_beside_the_first():
    keeper = SampleKeeper(4)
    predicted_float = np.zeros(10, np.int64)
    predicted = np.array([0, 0, 0, 0, 0, 1, 0, 2, 3, 0])
    x = np.arange(10.0)[:, None]
    for start in (0, 5):
        cut = slice(start, start + 5)
        batch = Batch({"x": x[cut]}, np.full(5, 7), start)
        keeper.observe(Judged(batch, predicted[cut], predicted_float[cut]))
    samples = keeper.samples()
    assert [s.index for s in samples] == [0, 1, 5, 7]
    assert [s.differs for s in samples] == [False, False, True, True]
    assert samples[2].inputs["x"].tolist() == [[5.0]]
    assert (samples[2].label, samples[2].predicted, samples[2].predicted_float) == (7, 1, 0)


def test_without_a_reference_wrong_predictions_are_kept():
    keeper = SampleKeeper(2)
    batch = Batch({"x": np.zeros((4, 1))}, np.array([0, 0, 0, 1]), 0)
    keeper.observe(Judged(batch, np.zeros(4, np.int64), None))
    assert [s.index for s in keeper.samples()] == [0, 3]


def test_every_entry_of_the_raster_by_hand():
    model = ir.to_proto(network(np.eye(3)))
    other = ir.to_proto(network(np.diag([1.0, 0.1, 1.0])))
    x = [[1, 1, 0], [0, 0.6, 1]]
    found = spike_raster(model, other, kept(x, np.zeros((2, 3))), custom_ops=False)
    (layer,) = found.layers
    assert found.compared
    assert not found.graded
    assert (layer.neurons, layer.steps, layer.shown) == (3, 2, (0, 1, 2))
    assert entries_of(layer, 0).tolist() == [[3, 1, 0], [0, 1, 3]]
    assert entries_of(layer, 1).tolist() == [[0, 0, 0], [0, 0, 0]]
    swapped = spike_raster(other, model, kept(x), custom_ops=False).layers[0]
    assert entries_of(swapped, 0).tolist() == [[3, 2, 0], [0, 2, 3]]
    counts = layer.counts[0]
    assert (counts.spikes, counts.spikes_float, counts.entries) == (4, 2, 6)
    assert (counts.equal, counts.more, counts.fewer) == (2, 2, 0)


def test_a_large_raster_is_cut_and_says_so():
    model = ir.to_proto(network(np.eye(1000)))
    x = np.zeros((MAX_STEPS + 100, 1000), np.float32)
    x[:, 999] = 1
    (layer,) = spike_raster(model, None, kept(x), custom_ops=False).layers
    assert (layer.neurons, layer.steps) == (1000, MAX_STEPS + 100)
    assert len(layer.shown) == MAX_NEURONS
    assert (layer.shown[0], layer.shown[-1]) == (0, 999)
    assert entries_of(layer, 0).sum(axis=1).tolist() == [3] * MAX_STEPS
    assert layer.counts[0].spikes == MAX_STEPS + 100
    assert layer.counts[0].spikes_float is None


def test_of_a_large_raster_those_neurons_are_shown_that_differ():
    weight = np.eye(1000)
    x = np.ones((2, 1000), np.float32)
    x[1, 700:] = 0
    model = ir.to_proto(network(weight))
    for several in (False, True):
        weight[501, 501] = 0
        if several:
            weight[:600] = 0
        other = ir.to_proto(network(weight))
        (layer,) = spike_raster(model, other, kept(x), custom_ops=False).layers
        assert len(set(layer.shown)) == MAX_NEURONS
        assert list(layer.shown) == sorted(layer.shown)
        assert (layer.differing, 501 in layer.shown) == (600 if several else 1, not several)
        differ = np.count_nonzero((entries_of(layer, 0) == 1).any(axis=0))
        if several:  # half the room, and what is evenly spaced among the others
            assert MAX_NEURONS // 2 <= differ < MAX_NEURONS
            assert sum(n >= 600 for n in layer.shown) > MAX_NEURONS // 6
        else:
            assert differ == 1


def data_of(x, folder):
    np.savez(folder / "data.npz", x=np.asarray(x, np.float32))
    return open_data(folder / "data.npz")


def histograms(model, reference, dataset, **changes):
    given = {"names": NAMES, "samples": 9, "entries": 1, "scales": {}, "custom_ops": False}
    return membrane_histograms(model, reference, dataset, **(given | changes))


def test_membranes_are_in_thresholds(tmp_path):
    model = ir.to_proto(network(np.eye(2), threshold=2.0))
    found = histograms(model, None, data_of([[[1, 3], [2, 3]]], tmp_path))
    (layer,) = found.layers
    assert (found.samples, layer.unit, layer.thresholds) == (1, "thresholds", (2.0, 2.0))
    histogram = layer.histogram
    centres = (histogram.edges[1:] + histogram.edges[:-1]) / 2
    bins = histogram.counts["integer"].bins
    width = centres[1] - centres[0]
    seen = np.repeat(centres, bins)
    assert np.allclose(np.sort(seen), [0.5, 1.0, 1.5, 1.5], atol=width)


@pytest.mark.parametrize("form", ["plain", "fused", "step"])
def test_integer_membranes_match_the_float_ones(tmp_path, form):
    rng = np.random.default_rng(1)
    model = network(rng.normal(size=(6, 5)), alpha=0.5, threshold=1.0, neuron="LI")
    result = quantize(model, spikes=["x"])
    made = result.model
    if form == "fused":
        made = fuse_model(made).model
    elif form == "step":
        made = step_model(made, result.state_scales)
    dataset = data_of(rng.integers(0, 2, (4, 7, 6)), tmp_path)
    scales = {"li": result.state_scales["li.v"]}
    found = histograms(made, ir.to_proto(model), dataset, scales=scales)
    spiking, readout = found.layers
    assert (spiking.unit, readout.unit) == ("thresholds", "real")
    for layer in found.layers:
        own, other = (layer.histogram.counts[name] for name in NAMES)
        assert own.total == other.total == 4 * 7 * 5
        # 8-bit weights move a membrane by far less than a bin, and it may cross an edge.
        assert np.abs(np.cumsum(own.bins) - np.cumsum(other.bins)).max() <= 8
    (_, unknown) = histograms(made, ir.to_proto(model), dataset).layers
    assert (unknown.unit, list(unknown.histogram.counts)) == ("steps", ["integer"])


@pytest.mark.parametrize("fused", [False, True])
def test_weights_on_their_grid(fused):
    weight = np.array([[-8, 7, 1], [3, 0, 0], [4, -4, 2]]) / 16
    model = network(weight)
    made = quantize(model, options_of(weight_bits=4), spikes=["x"]).model
    made = fuse_model(made).model if fused else made
    (layer,) = weight_layers(made, ir.to_proto(model), {"fc": 4}, NAMES)
    assert (layer.name, layer.bits, layer.size) == ("fc", 4, 9)
    assert layer.histogram.size == 16
    assert layer.histogram.counts["integer"].total == 9
    assert layer.zero == 2 / 9
    assert layer.snr is None or layer.snr > 20
    # A width that cannot hold the weights is not believed.
    (other,) = weight_layers(made, None, {"fc": 2}, NAMES)
    assert other.bits in (4, 8)
    assert other.reference is None


def test_real_weights_have_no_grid():
    (layer,) = weight_layers(ir.to_proto(network(np.eye(3))), None, {}, NAMES)
    assert (layer.bits, layer.used, layer.size, layer.zero) == (None, None, 9, 6 / 9)


def test_weights_of_another_shape_are_not_compared():
    made = quantize(network(np.eye(3)), spikes=["x"]).model
    (layer,) = weight_layers(made, ir.to_proto(network(np.ones((3, 4)))), {}, NAMES)
    assert layer.reference is None


def test_neurons_by_firing_rate():
    counter = LayerCounter("lif")
    spikes = np.array([[[0, 1, 1]], [[0, 0, 1]]])
    counter.add(spikes, np.zeros_like(spikes))
    found = rate_histogram(counter, NAMES)
    assert (found.low, found.high) == (0.0, 1.0)
    own = found.counts["integer"].bins
    assert (own[0], own[len(own) // 2], own[-1], own.sum()) == (1, 1, 1, 3)
    assert found.counts["float"].bins[0] == 3
    assert rate_histogram(LayerCounter("silent"), NAMES) is None


def test_a_benchmark_must_be_of_this_model(tmp_path):
    time = {"median": 2e-3, "low": 1e-3, "high": 3e-3, "samples_per_second": 500.0, "speed_up": 1}
    document = {
        "schema": "snnquant.bench/1",
        "inputs": {"model": {"sha256": "a" * 64}},
        "metrics": {
            "model": "m",
            "configurations": [{"batch": 1, "threads": 2, "contenders": {"m": time}}],
            "peak_memory": {"m": 10, "n": None},
        },
    }
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(document))
    found = read_speed(path, "a" * 64)
    assert (found.times[0].batch, found.times[0].threads, found.times[0].median) == (1, 2, 2e-3)
    assert found.memory == {"m": 10}
    with pytest.raises(DataError, match="is of another model"):
        read_speed(path, "b" * 64)
    for broken in (0, -1.0, float("nan"), "x", None, [1]):
        path.write_text(json.dumps(document).replace("0.002", json.dumps(broken)))
        with pytest.raises(DataError, match="is damaged"):
            read_speed(path, "a" * 64)
    path.write_text(json.dumps(document | {"schema": "snnquant.eval/1"}))
    with pytest.raises(DataError, match="has schema"):
        read_speed(path, "a" * 64)
