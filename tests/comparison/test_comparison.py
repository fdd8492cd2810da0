"""What a comparison of two models finds: each difference that was made on purpose, and no other."""

import numpy as np
import onnx
import pytest
from graphs import Graph, options_of, quantize

from snnquant.comparison import compare_files
from snnquant.comparison.change import compare_arrays
from snnquant.errors import DataError, ModelError, UsageError

rng = np.random.default_rng(7)
WEIGHTS = [rng.uniform(-1, 1, (6, 4)).astype(np.float32), rng.uniform(-1, 1, (4, 3))]


def network(names=("fc1", "lif1", "fc2", "lif2"), weights=WEIGHTS, choices=None, alpha=0.5):
    g = Graph()
    x = g.input("x", ["T", "B", 6])
    current = g.op("MatMul", x, g.const(weights[0]), name=names[0])
    (spikes,) = g.neuron(current, name=names[1], alpha=alpha, choices=choices or {})
    current = g.op("MatMul", spikes, g.const(weights[1]), name=names[2])
    (spikes,) = g.neuron(current, name=names[3], alpha=0.5)
    g.output(spikes, 3)
    return g.model()


def compared(tmp_path, before, after):
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path, model in zip(paths, (before, after), strict=True):
        onnx.save(model, str(path))
    return compare_files(*paths)


def told(found):
    """Return (layer, what) of every difference."""
    changes = [("", change.what) for change in found.changes]
    return changes + [(layer.name, c.what) for layer in found.layers for c in layer.changes]


def test_nothing_differs(tmp_path):
    found = compared(tmp_path, network(), network())
    assert told(found) == []
    assert found.equal
    assert [layer.kind for layer in found.layers].count("neuron") == 2


def test_weights_that_differ_are_counted_and_placed(tmp_path):
    first = WEIGHTS[0].copy()
    first[2, 3] += 0.5
    first[5, 1] -= 0.25
    found = compared(tmp_path, network(), network(weights=[first, WEIGHTS[1]]))
    assert told(found) == [("fc1", "weights")]
    (layer,) = (layer for layer in found.layers if layer.changes)
    values = layer.changes[0].values
    assert (values.changed, values.total) == (2, 24)
    assert values.largest == pytest.approx(0.5)
    assert values.at == (3, 2)  # [out, in]
    assert values.before == WEIGHTS[0][2, 3]


def test_constants_and_the_kind_of_reset(tmp_path):
    found = compared(tmp_path, network(choices={"reset": 1}), network(alpha=np.full(4, 0.75)))
    assert told(found) == [("lif1", "reset"), ("lif1", "alpha")]
    (layer,) = (layer for layer in found.layers if layer.changes)
    reset, alpha = layer.changes
    assert (reset.before, reset.after) == ("soft", "hard")
    assert (alpha.before, alpha.after, alpha.values.changed) == (0.5, 0.75, 4)


def test_names_alone(tmp_path):
    found = compared(tmp_path, network(), network(("a", "b", "c", "d")))
    assert {change.id for change in found.all_changes} == {"renamed", "output"}
    assert [layer.before for layer in found.layers if layer.changes] == [
        "fc1",
        "lif1",
        "fc2",
        "lif2",
    ]
    assert found.equal
    assert told(found.without_names()) == []


def test_a_name_counts_before_the_place(tmp_path):
    """Layers that changed places are followed by name; what they take from is told."""
    swapped = network(("fc2", "lif1", "fc1", "lif2"), [WEIGHTS[0][:4].repeat(2, 0)[:6], WEIGHTS[1]])
    found = compared(tmp_path, network(), swapped)
    assert ("fc1", "weights shape") in told(found)
    assert ("fc2", "takes from") in told(found)
    assert not any(change.id == "renamed" for change in found.all_changes)


def test_layers_that_come_and_go(tmp_path):
    g = Graph()
    x = g.input("x", ["T", "B", 6])
    current = g.op("MatMul", x, g.const(WEIGHTS[0]), name="fc1")
    (spikes,) = g.neuron(current, name="lif1", alpha=0.5)
    g.output(spikes, 3)
    short = g.model()
    found = compared(tmp_path, network(), short)
    status = {layer.name: layer.status for layer in found.layers}
    assert (status["fc2"], status["lif2"], status["fc1"]) == ("removed", "removed", "equal")
    found = compared(tmp_path, short, network())
    status = {layer.name: layer.status for layer in found.layers}
    assert (status["fc2"], status["lif2"], status["lif1"]) == ("added", "added", "equal")


def test_metadata_opset_and_producer(tmp_path):
    after = network()
    onnx.helper.set_model_props(after, {"author": "me"})
    after.producer_name = "elsewhere"
    found = compared(tmp_path, network(), after)
    assert {what for _, what in told(found)} == {"author", "producer"}
    assert found.equal
    newer = network()
    newer.opset_import[0].version += 1
    found = compared(tmp_path, network(), newer)
    assert told(found) == [("", "opset ai.onnx")]
    assert not found.equal


def test_integers_of_other_bits(tmp_path):
    models = [quantize(network(), options_of(weight_bits=bits)).model for bits in (8, 4)]
    found = compared(tmp_path, *models)
    whats = set(told(found))
    assert {("fc1", "bits"), ("fc1", "weights"), ("fc1", "scale"), ("lif1", "fire_above")} <= whats
    (layer,) = (layer for layer in found.layers if layer.name == "fc1")
    weights = next(change for change in layer.changes if change.id == "weights")
    assert isinstance(weights.values.largest, int)
    assert weights.values.largest > 7


def test_external_weights_are_read(tmp_path):
    folder = tmp_path / "external"
    folder.mkdir()
    first = WEIGHTS[0] + 1
    onnx.save(
        network(weights=[first, WEIGHTS[1]]),
        str(folder / "b.onnx"),
        save_as_external_data=True,
        location="b.bin",
        size_threshold=0,
    )
    onnx.save(network(), str(folder / "a.onnx"))
    found = compare_files(folder / "a.onnx", folder / "b.onnx")
    assert told(found) == [("fc1", "weights")]


def test_arrays_are_compared_in_pieces(monkeypatch):
    monkeypatch.setattr("snnquant.comparison.change._CHUNK", 5)
    one = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4)
    other = one.copy()
    other[1, 0, 2], other[1, 2, 3], other[0, 0, 0] = 127, -128, -11
    (change,) = compare_arrays("weights", "weights", one, other)
    values = change.values
    assert (values.changed, values.total, values.largest) == (3, 24, 139)
    assert (values.at, values.before, values.after) == ((1, 2, 3), 11, -128)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float32([2]), np.float32([2, 2, 2])),
        (np.int32([1, 2]), np.int32([[1], [2]])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.float32([1, 2]), np.int32([1, 2])),
    ],
    ids=["one-for-all", "axes-of-1", "empty", "types"],
)
def test_arrays_that_say_the_same(one, other):
    assert compare_arrays("constant", "alpha", one, other) == []
    assert compare_arrays("constant", "alpha", other, one) == []


def test_other_files_are_refused(tmp_path):
    onnx.save(network(), str(tmp_path / "a.onnx"))
    text = tmp_path / "c.json"
    text.write_text("\ufeff  {}", encoding="utf-8")
    with pytest.raises(UsageError, match="two models or two"):
        compare_files(tmp_path / "a.onnx", text)
    with pytest.raises(DataError, match="cannot be read"):
        compare_files(text, text)
    with pytest.raises(ModelError, match="there is no file"):
        compare_files(tmp_path / "a.onnx", tmp_path / "no.onnx")
