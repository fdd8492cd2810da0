"""What widths cost: measured once per layer, less with more bits, and as a search finds it."""

import numpy as np
import pytest
from graphs import Graph, calibrated, options_of

from snnquant.data import open_data
from snnquant.lowering.plan import make_plan
from snnquant.rounding import WITH_SAMPLES
from snnquant.search import run, search_model
from snnquant.search.run import Search
from snnquant.search.widths import layer_sizes, width_errors

F, C, STEPS = 6, 5, 4
WIDTHS = (2, 3, 4, 6, 8)


@pytest.fixture
def known(tmp_path):
    """Two synapses and recurrent weights into one neuron, another one behind; and spikes."""
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [STEPS, "B", F])
    a = g.op("MatMul", x, g.const(rng.uniform(-1, 1, (F, C))), name="a")
    b = g.op("MatMul", x, g.const(rng.uniform(-1, 1, (F, C)) / 8), name="b")
    recurrent = rng.uniform(-1, 1, (C, C))
    y = g.neuron(g.op("Add", a, b), "LIFRecurrent", name="lif", weight=recurrent, alpha=0.5)[0]
    c = g.op("MatMul", y, g.const(rng.uniform(-1, 1, (C, 3))), name="c")
    g.output(g.neuron(c, name="end", alpha=0.9)[0], 3)
    np.savez(tmp_path / "x.npz", x=(rng.random((40, STEPS, F)) < 0.4).astype(np.float32))
    options = options_of(weight_bits=8, rounding=WITH_SAMPLES)
    model, scales = calibrated(g.model(), options, spikes=["x"])
    return model, scales, options, {"lif": 0.3, "end": 0.3}, open_data(tmp_path / "x.npz")


def test_more_bits_cost_less_and_every_layer_is_measured_once(known, monkeypatch):
    measured = []
    original = Search.measured

    def counted(self, layer):
        measured.append(layer.name)
        return original(self, layer)

    monkeypatch.setattr(Search, "measured", counted)
    found = width_errors(*known, WIDTHS, threads=1)
    assert measured == ["lif", "end"]
    assert [(e.name, e.recurrent, e.weights) for e in found] == [
        *(("a", False, F * C), ("b", False, F * C), ("lif", True, C * C), ("c", False, 3 * C)),
    ]
    for entry in found:
        errors = [entry.errors[bits] for bits in WIDTHS]
        assert errors == sorted(errors, reverse=True), entry
        assert 0 <= errors[-1] < 0.01 * errors[0] < 1
    # Weights of an eighth add an eighth to the current, and to its error.
    shares = {e.name: e.errors[3] for e in found}
    assert shares["b"] < shares["a"] / 16
    sizes = layer_sizes(known[0], make_plan(known[0], known[2].target))
    assert sizes == {e.name: e.weights for e in found}


def test_the_last_layer_costs_what_a_search_says(known):
    """It is alone in its group, so that its grid is the one that the search chooses."""
    (cost,) = (e for e in width_errors(*known, (8,), threads=1) if e.name == "c")
    (told,) = (e for e in search_model(*known, threads=1).layers if e["name"] == "end")
    assert cost.errors[8] == pytest.approx(told["error"], rel=1e-9)


def test_inputs_that_are_too_many_to_measure_are_expected_to_be_like_any(known, monkeypatch):
    monkeypatch.setattr(run, "_MOST_INPUTS", 0)
    for entry in width_errors(*known, WIDTHS, threads=1):
        errors = [entry.errors[bits] for bits in WIDTHS]
        assert errors == sorted(errors, reverse=True)
        assert 0 < errors[-1] < 0.01 * errors[0] < 1
