"""Spikes summed inside a graph: as numpy sums them, whatever the rank, the batch and the names."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph

from snnquant.instrument import Runner
from snnquant.model_file import neuron_nodes
from snnquant.passes import canonicalise
from snnquant.spike_sums import with_spike_sums

T = 4


def network(shape, batch="B"):
    g = Graph()
    x = g.input("x", [T, batch, *shape])
    y = g.neuron(x, name="first", alpha=0.9, v_threshold=0.3)[0]
    g.output(g.neuron(y, name="last", alpha=0.9, v_threshold=0.3)[0], 2 + len(shape))
    return ir.to_proto(canonicalise(g.model()))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize(("batch", "samples"), [("B", 1), ("B", 7), (8, 5)])
def test_sums_are_those_of_numpy(shape, batch, samples):
    model = network(shape, batch)
    spikes = [node.output[0] for node in neuron_nodes(model)]
    counting, sums = with_spike_sums(model, spikes)
    names = [name for found in sums.values() for name in found.names]
    runner = Runner(counting, [*names, *spikes], custom_ops=False, threads=1)
    x = np.random.default_rng(1).normal(size=(samples, T, *shape)).astype(np.float32)
    values = runner.run({"x": x})
    for name in spikes:
        wanted = values[name][:, :samples]
        assert wanted.any()
        assert sums[name].read(values, samples) == (wanted.sum(), wanted.size, T)


def test_a_row_larger_than_any_count_in_float32_could_step_over_is_exact():
    # 2**17 + 1 neurons, all of which fire: an odd number that sums of halves would have to keep.
    size = 2**17 + 1
    model = network((size,))
    counting, sums = with_spike_sums(model, [neuron_nodes(model)[0].output[0]])
    (found,) = sums.values()
    values = Runner(counting, found.names, custom_ops=False, threads=1).run(
        {"x": np.ones((1, T, size), np.float32)}
    )
    assert found.read(values, 1) == (T * size, T * size, T)


def test_names_that_the_graph_has_already_are_left_alone():
    model = network((3,))
    name = neuron_nodes(model)[0].output[0]
    taken = f"{name}.sums"
    model.graph.node.add(op_type="Identity", input=[name], output=[taken])
    model.graph.output.add(name=taken)
    counting, sums = with_spike_sums(model, [name])
    assert sums[name].sums != taken
    runner = Runner(counting, sums[name].names, custom_ops=False, threads=1)
    values = runner.run({"x": np.ones((2, T, 3), np.float32)})
    assert values[taken].shape == (T, 2, 3)
    assert values[sums[name].sums].shape == (T * 2,)
