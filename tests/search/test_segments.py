"""Running a model piece by piece: every value as in one run, each node once."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graphs import Graph, all_values

from snnquant.instrument import Runner
from snnquant.passes import canonicalise
from snnquant.search.segments import Segments, needed_nodes

T = 3


def network(last=1.0):
    """Two layers and a shortcut around the second."""
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [T, "B", 4])
    a = g.neuron(g.op("MatMul", x, g.const(rng.normal(size=(4, 6)))), name="a", alpha=0.9)[0]
    y = g.op("MatMul", a, g.const(rng.normal(size=(6, 6))))
    b = g.neuron(y, name="b", alpha=0.5, v_threshold=0.3)[0]
    both = g.op("Add", g.op("Mul", b, g.const(np.array(last))), a)
    g.output(both, 3)
    return ir.to_proto(canonicalise(g.model()))


def feeds(count=3):
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(T, size, 4)).astype(np.float32)} for size in range(1, count + 1)]


def test_values_are_those_of_a_whole_run():
    model, batches = network(), feeds()
    names = all_values(model)
    segments = Segments(batches, custom_ops=False, threads=1)
    for name in names:
        segments.advance(model, [name])
        runner = Runner(model, [name], custom_ops=False, threads=1)
        for batch, found in zip(batches, segments.values(name), strict=True):
            wanted = runner.call(batch)[name]
            assert found.dtype == wanted.dtype
            assert np.array_equal(found, wanted)


def test_what_nothing_needs_is_dropped_and_the_rest_is_kept():
    model = network()
    spikes = {n.name: n.output[0] for n in model.graph.node if n.name in ("a", "b")}
    segments = Segments(feeds(), custom_ops=False, threads=1)
    segments.advance(model, [spikes["a"]])
    assert segments.known() == {spikes["a"]}
    segments.advance(model, [spikes["b"]])
    assert segments.known() == {spikes["a"], spikes["b"]}


def test_nodes_behind_may_change():
    first, second = network(1.0), network(2.0)
    spikes = next(n.output[0] for n in first.graph.node if n.name == "b")
    segments = Segments(feeds(), custom_ops=False, threads=1)
    segments.advance(first, [spikes])
    name = second.graph.output[0].name
    found = [values[name] for values in segments.peek(second, [name])]
    runner = Runner(second, custom_ops=False, threads=1)
    for values, batch in zip(found, feeds(), strict=True):
        assert np.array_equal(values, runner.call(batch)[name])
    assert name not in segments.known()


@pytest.mark.parametrize("batches", [None, 1, 2])
def test_peeking_yields_known_values_too(batches):
    model = network()
    spikes = next(n.output[0] for n in model.graph.node if n.name == "a")
    segments = Segments(feeds(), custom_ops=False, threads=1)
    segments.advance(model, [spikes])
    seen = list(segments.peek(model, [spikes], batches))
    assert len(seen) == (batches or 3)
    for values, kept in zip(seen, segments.values(spikes), strict=False):
        assert np.array_equal(values[spikes], kept)


def test_needed_nodes_stop_at_what_is_known():
    model = network()
    everything = needed_nodes(model, {"x"}, [model.graph.output[0].name])
    assert all(isinstance(node, onnx.NodeProto) for node in everything)
    spikes = next(n.output[0] for n in model.graph.node if n.name == "b")
    rest = needed_nodes(model, {"x", spikes}, [model.graph.output[0].name])
    assert 0 < len(rest) < len(everything)
    assert needed_nodes(model, {spikes}, [spikes]) == []
