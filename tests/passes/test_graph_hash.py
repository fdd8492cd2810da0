"""The hash of a graph: what it computes, not what things are called."""

import numpy as np
import pytest
from graphs import Graph
from onnx import helper

from snnquant.model_file import graph_hash
from snnquant.passes import canonicalise


def network(
    prefix="", weight=1.0, threshold=1.0, alpha=0.5, reset=0, op="MatMul", steps=3, bias=0.0
):
    g = Graph()
    x = g.input(f"{prefix}x", [steps, "B", 2])
    y = g.op(op, x, g.const([[weight, 2.0], [3.0, 4.0]], name=f"{prefix}w"), name=f"{prefix}fc")
    y = g.op("Add", y, g.const([bias, 1.0]), name=f"{prefix}bias")
    spikes = g.neuron(
        y, name=f"{prefix}lif", v_threshold=threshold, alpha=alpha, choices={"reset": reset}
    )
    g.output(spikes[0], 3)
    return g.model()


def digest(model):
    return graph_hash(canonicalise(model))


def test_names_and_metadata_do_not_count():
    renamed = network("other.")
    renamed.doc_string = "documented"
    renamed.producer_name = "somebody"
    renamed.graph.name = "another"
    renamed.graph.node[0].doc_string = "a note"
    helper.set_model_props(renamed, {"author": "somebody"})
    assert digest(renamed) == digest(network())
    assert len(digest(network())) == 64


def test_the_order_of_initializers_does_not_count():
    model = network()
    tensors = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    assert digest(model) == digest(network())


CHANGES = [
    {"weight": float(np.nextafter(np.float32(1), np.float32(2)))},
    {"threshold": 2.0},
    {"alpha": 0.25},
    {"reset": 1},
    {"op": "Add"},
    {"bias": 0.5},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
def test_whatever_is_computed_counts(change):
    assert len(CHANGES) == 6
    assert digest(network(**change)) != digest(network())


def test_inputs_that_change_places_count():
    def difference(swapped):
        g = Graph()
        a, b = g.input("a", [3, "B", 2]), g.input("b", [3, "B", 2])
        g.output(g.neuron(g.op("Sub", *((b, a) if swapped else (a, b))))[0], 3)
        return g.model()

    assert digest(difference(True)) != digest(difference(False))


def test_shape_and_type_of_weights_count():
    def product(shape):
        g = Graph()
        x = g.input("x", [3, "B", 2])
        g.output(g.neuron(g.op("Add", x, g.const(np.ones(shape))))[0], 3)
        return g.model()

    assert digest(product((2,))) != digest(product((1, 2)))
