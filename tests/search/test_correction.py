"""Thresholds and biases that move: back to where they were, and only if unseen samples agree."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graphs import Graph, quantize, run_float

from snnquant.ops.schema import DOMAIN
from snnquant.passes import canonicalise
from snnquant.search.correction import NeuronTrials, correct

T, B, BATCHES = 6, 8, 8


def layer(shape, spiking=("LIF", {})):
    """Return a float layer of neurons over currents, its integers, and what both give."""
    op, choices = spiking
    g = Graph()
    x = g.input("x", [T, "B", *shape])
    weight = np.eye(shape[0]) if len(shape) == 1 else np.eye(shape[0])[:, :, None, None]
    if len(shape) == 1:
        current = g.op("MatMul", x, g.const(weight))
    else:
        merged = g.reshape(x, [-1, *shape])
        current = g.reshape(g.op("Conv", merged, g.const(weight)), [T, -1, *shape])
    spikes = g.neuron(current, op, name="n", alpha=0.9, v_threshold=1.0, **choices)[0]
    g.output(spikes, 2 + len(shape))
    model = canonicalise(g.model())
    return ir.to_proto(model), quantize(model).model


def trials(float_model, integer_model, shape, held_out=2, change=lambda wanted, index: wanted):
    node = next(n for n in integer_model.graph.node if n.domain == DOMAIN)
    rng = np.random.default_rng(0)
    batches, wanted = [], []
    peek = onnx.ModelProto()
    peek.CopyFrom(integer_model)
    peek.graph.output.append(onnx.ValueInfoProto(name=node.input[0]))
    for index in range(BATCHES):
        x = rng.normal(0.3, 0.5, size=(T, B, *shape)).astype(np.float32)
        _, current = run_float(peek, {"x": x})
        batches.append({node.input[0]: current})
        wanted.append(change(run_float(float_model, {"x": x})[0], index))
    return NeuronTrials(integer_model, node.name, batches, wanted, (0.9,), held_out)


def with_thresholds(model, factor):
    """Multiply the integer thresholds of the neuron, per channel."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node = next(n for n in changed.graph.node if n.domain == DOMAIN)
    name = next(name for name in node.input if "fire_above" in name)
    tensor = next(t for t in changed.graph.initializer if t.name == name)
    held = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.rint(held * factor).astype(np.int32), name))
    return changed


@pytest.mark.parametrize("shape", [(4,), (3, 2, 2)])
def test_moved_thresholds_are_found_again(shape):
    real, integers = layer(shape)
    off = np.linspace(0.9, 1.1, shape[0])
    tried = trials(real, with_thresholds(integers, off), shape)
    found = correct(tried)
    assert found.moves
    assert found.beats(tried.as_it_is())
    assert found.distance < 0.5 * tried.as_it_is().distance
    assert found.threshold_factor.shape == found.current_shift.shape == (shape[0],)
    assert found.threshold_factor[0] > 1 > found.threshold_factor[-1]


def test_what_is_right_already_stays():
    real, integers = layer((4,))
    tried = trials(real, integers, (4,))
    found = correct(tried)
    assert found.distance < tried.as_it_is().distance or not found.moves


def test_a_gain_that_unseen_samples_deny_is_not_taken():
    real, integers = layer((4,))
    off = with_thresholds(integers, np.full(4, 1.12))

    def other(wanted, index):
        # The samples that are held out want fewer spikes, not more.
        return wanted if index < BATCHES - 2 else 0 * wanted

    assert correct(trials(real, off, (4,))).moves
    assert not correct(trials(real, off, (4,), change=other)).moves


def test_distances_are_those_of_filtered_trains():
    real, integers = layer((2,))
    made = trials(real, integers, (2,), held_out=1, change=lambda wanted, index: wanted * 0)
    threshold = np.broadcast_to(made.fire_above, (2,)).astype(np.int64)
    high = np.full(2, 2**30)
    searched, held = made.distances(high, np.zeros(2, np.int64))
    assert searched.tolist() == held.tolist() == [0, 0]
    searched, held = made.distances(threshold, np.zeros(2, np.int64))
    assert (searched > held).all()  # seven batches against one
    as_it_is = made.as_it_is()
    assert as_it_is.searched * T * B * 2 * (BATCHES - 1) == pytest.approx(searched.sum())
    assert as_it_is.distance * T * B * 2 == pytest.approx(held.sum())
