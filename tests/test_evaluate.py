"""Evaluation: every number worked out by hand on tiny arrays."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, quantize

from snnquant.data import open_data
from snnquant.errors import DataError, NumericalError, UsageError
from snnquant.evaluate import READOUTS, evaluate_model, read_out
from snnquant.instrument import Layout
from snnquant.passes import canonicalise

FLOAT32 = np.dtype(np.float32)
#: [T, B, classes]: sample 0 sums to 3, 2; sample 1 to 1, 5.
OUTPUT = np.array([[[3, 0], [0, 5]], [[0, 0], [1, 0]], [[0, 2], [0, 0]]], np.float32)
TIMED = Layout("y", (3, 2, 2), FLOAT32, 1, 0)


@pytest.mark.parametrize(
    ("readout", "expected"),
    [
        ("auto", [[3, 2], [1, 5]]),
        ("sum", [[3, 2], [1, 5]]),
        ("mean", [[1, 2 / 3], [1 / 3, 5 / 3]]),
        ("max", [[3, 2], [1, 5]]),
        ("last", [[0, 2], [0, 0]]),
    ],
)
def test_read_outs(readout, expected):
    assert len(READOUTS) == 5
    np.testing.assert_array_equal(read_out(OUTPUT, TIMED, readout), expected)
    batch_first = Layout("y", (2, 3, 2), FLOAT32, 0, 1)
    np.testing.assert_array_equal(read_out(OUTPUT.swapaxes(0, 1), batch_first, readout), expected)


def test_static_outputs_are_taken_as_they_are():
    layout = Layout("y", (2, 2, 1), FLOAT32, 0, None)
    assert read_out(OUTPUT[0][:, :, None], layout, "auto").tolist() == [[3, 0], [0, 5]]
    with pytest.raises(UsageError, match="--readout last: output 'y' carries no time; use auto"):
        read_out(OUTPUT[0], layout, "last")
    with pytest.raises(UsageError, match="output 'y' has no batch axis"):
        read_out(OUTPUT[0], Layout("y", (2,), FLOAT32, None, None), "auto")


def identity(threshold, name="lif"):
    """Spikes where the input exceeds the threshold, step by step."""
    g = Graph()
    y = g.op("MatMul", g.input("x", ["T", "B", 2]), g.const(np.eye(2)))
    spikes = g.neuron(y, name=name, alpha=0.0, v_threshold=threshold)[0]
    g.output(spikes, 3)
    return g.model()


@pytest.fixture
def dataset(tmp_path):
    """Two steps, three samples, two neurons."""
    x = np.array(
        [
            [[0.9, 0.1], [0.9, 0.9]],
            [[0.1, 0.1], [0.9, 0.1]],
            [[0.6, 0.1], [0.6, 0.6]],
        ],
        np.float32,
    )
    np.savez(tmp_path / "data.npz", x=x, y=np.array([0, 1, 1]))
    return open_data(tmp_path / "data.npz")


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_every_number_by_hand(dataset, batch_size):
    """At 0.5 the spikes are [1,0][1,1], [0,0][1,0], [1,0][1,1]; at 0.8 the last are all 0."""
    found = evaluate_model(
        ir.to_proto(canonicalise(identity(0.8))),
        dataset,
        reference=ir.to_proto(canonicalise(identity(0.5))),
        batch_size=batch_size,
        custom_ops=False,
        threads=1,
    )
    # Sums: [2,1] [1,0] [0,0] against [2,1] [1,0] [2,1]; a tie is the first class.
    assert found.samples == 3
    assert found.accuracy == 1 / 3
    assert found.float_accuracy == 1 / 3
    assert found.drop == 0
    assert found.prediction_agreement == 1
    (layer,) = found.layers
    assert (layer.name, layer.neurons) == ("lif", 2)
    assert layer.firing_rate == 4 / 12
    assert layer.firing_rate_float == 7 / 12
    assert layer.agreement == found.spike_agreement == 9 / 12
    assert layer.spike_f1 == 2 * 4 / (4 + 7)
    assert (layer.dead, layer.saturated) == (0, 0)
    assert found.metrics()["accuracy"] == 1 / 3
    assert "layers" not in found.metrics()


@pytest.mark.parametrize(("threshold", "dead", "saturated"), [(-1, 0, 1), (0.85, 0, 0), (5, 1, 0)])
def test_dead_and_saturated_neurons(dataset, threshold, dead, saturated):
    found = evaluate_model(identity_canonical(threshold), dataset, custom_ops=False, threads=1)
    (layer,) = found.layers
    assert (layer.dead, layer.saturated) == (dead, saturated)
    assert (layer.firing_rate_float, layer.agreement, layer.spike_f1) == (None, None, None)
    assert (found.float_accuracy, found.drop, found.spike_agreement) == (None, None, None)


def identity_canonical(threshold, name="lif"):
    return ir.to_proto(canonicalise(identity(threshold, name)))


def test_half_of_the_neurons(tmp_path):
    x = np.zeros((2, 2, 2), np.float32)
    x[..., 0] = 1
    np.savez(tmp_path / "half.npz", x=x)
    data = open_data(tmp_path / "half.npz")
    found = evaluate_model(identity_canonical(0.5), data, custom_ops=False, threads=1)
    assert (found.layers[0].dead, found.layers[0].saturated) == (0.5, 0.5)
    assert found.accuracy is None


def test_no_spikes_at_all_agree(dataset):
    found = evaluate_model(
        identity_canonical(5),
        dataset,
        reference=identity_canonical(6),
        custom_ops=False,
        threads=1,
    )
    assert (found.layers[0].agreement, found.layers[0].spike_f1) == (1, 1)


def test_layers_are_compared_by_name(dataset):
    found = evaluate_model(
        identity_canonical(0.5),
        dataset,
        reference=identity_canonical(0.5, "another"),
        custom_ops=False,
        threads=1,
    )
    assert found.layers[0].agreement is None
    assert found.prediction_agreement == 1


@pytest.mark.parametrize("custom_ops", [False, True])
def test_an_integer_model_beside_its_origin(dataset, custom_ops):
    """Thresholds between 0.6 and 0.9 survive 8 bits."""
    canonical = canonicalise(identity(0.75))
    result = quantize(canonical, scales={"x": 1 / 128})
    found = evaluate_model(
        result.model,
        dataset,
        reference=ir.to_proto(canonical),
        samples=2,
        custom_ops=custom_ops,
        threads=1,
    )
    assert found.samples == 2
    assert found.spike_agreement == 1
    assert found.layers[0].spike_f1 == 1
    assert found.layers[0].firing_rate == 4 / 8


def test_labels_that_are_no_class_are_refused(tmp_path):
    for label in (2, -1):
        np.savez(tmp_path / "bad.npz", x=np.zeros((1, 2, 2)), y=np.array([label]))
        with pytest.raises(DataError, match=f"label {label} is no class: the output has 2"):
            evaluate_model(
                identity_canonical(0.5),
                open_data(tmp_path / "bad.npz"),
                custom_ops=False,
                threads=1,
            )


def test_an_unknown_output_is_refused(dataset):
    with pytest.raises(UsageError, match="--output z: the model has no such output, it has lif"):
        evaluate_model(identity_canonical(0.5), dataset, output="z", custom_ops=False, threads=1)


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_scores_that_predict_nothing_are_refused(score):
    output = OUTPUT.copy()
    output[1, 1, 0] = score
    with pytest.raises(NumericalError, match="output 'y' is NaN or infinite on these samples"):
        read_out(output, TIMED, "auto")
    output[1, 1, 0] = -np.inf  # a class that is ruled out
    assert read_out(output, TIMED, "auto").argmax(axis=1).tolist() == [0, 1]
