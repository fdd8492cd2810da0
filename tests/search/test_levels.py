"""Levels that move with a rounded leak: where samples agree, and where it matters."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of, run_everywhere

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.data import open_data
from snnquant.evaluate import evaluate_model
from snnquant.numerics import Rounding
from snnquant.passes import canonicalise
from snnquant.quantize import quantize_model
from snnquant.rounding import WITH_SAMPLES
from snnquant.search import run, search_model
from snnquant.target import load_target

COARSE = replace(load_target("generic"), state_bits=16, fraction_bits=0)
FLOOR = replace(COARSE, leak_rounding=Rounding.FLOOR)
SHIFT = replace(COARSE, leak_rounding=Rounding.CEIL, leak_form="shift")
T = 60


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Two layers that remember for long, on spikes, and samples for them."""
    rng = np.random.default_rng(0)
    g = Graph()
    x = g.input("x", [T, "B", 12])
    for k, (rows, columns) in enumerate(((12, 10), (10, 6))):
        weight = rng.normal(0.05, 0.2, (rows, columns))
        current = g.op("MatMul", x, g.const(weight), name=f"fc{k}")
        x = g.neuron(current, "LIF", name=f"n{k}", alpha=0.97, v_threshold=1.0)[0]
    g.output(x, 3)
    folder = tmp_path_factory.mktemp("leak")
    np.savez(folder / "x.npz", x=(rng.random((48, T, 12)) < 0.15).astype(np.float32))
    np.savez(folder / "t.npz", x=(rng.random((48, T, 12)) < 0.15).astype(np.float32))
    return canonicalise(g.model()), open_data(folder / "x.npz"), open_data(folder / "t.npz")


def searched(network, target):
    model, samples, _ = network
    known = calibrate_model(model, samples, CalibrationSettings(AUTO, 48, 8), threads=1)
    options = options_of(target, rounding=WITH_SAMPLES)
    scales, rates = known.input_scales(8, target.input_observer), known.firing_rates()
    found = search_model(model, scales, options, rates, samples, threads=1)
    return found, quantize_model(model, scales, options, rates=rates, decided=found.decided)


@pytest.mark.parametrize("target", [FLOOR, SHIFT], ids=["floor", "shift"])
def test_levels_move_and_unseen_spikes_come_closer(network, target, monkeypatch):
    found, made = searched(network, target)
    told = {layer["name"]: layer for layer in found.layers}
    assert max(layer.get("centred", 0) for layer in told.values()) > 0
    moving = [layer for layer in told.values() if "centred" in layer]
    assert all(layer["distance"] < layer["distance_before"] for layer in moving)
    levels = [e["integer"]["v_reset"]["min"] for e in made.layers if e["kind"] == "neuron"]
    moved = [layer.get("centred", 0) > 0 for layer in told.values()]
    down = target is FLOOR
    assert [(v < 0 if down else v > 0) for v in levels] == moved
    monkeypatch.setattr(run, "leak_matters", lambda *_: False)
    other, plain = searched(network, target)
    assert not any(layer.get("centred") for layer in other.layers)
    reference, test = ir.to_proto(network[0]), network[2]
    with_it, without = (
        evaluate_model(m.model, test, reference=reference).spike_agreement for m in (made, plain)
    )
    assert with_it > without
    rng = np.random.default_rng(3)
    run_everywhere(made.model, {"x": (rng.random((T, 2, 12)) < 0.3).astype(np.float32)})


@pytest.mark.parametrize(
    "target",
    [COARSE, replace(FLOOR, fraction_bits=12, state_bits=32), replace(FLOOR, weight_bits=3)],
    ids=["nearest", "fine states", "hardly any states"],
)
def test_nothing_is_tried_where_the_leak_errs_little_or_all_is_coarse(network, target, monkeypatch):
    def never(*_):
        raise AssertionError("it was tried")

    monkeypatch.setattr(run, "search_levels", never)
    found, _ = searched(network, target)
    assert not any(layer.get("centred") for layer in found.layers)


def test_worse_spikes_of_unseen_samples_move_nothing(network, monkeypatch):
    monkeypatch.setattr(run, "WORTH", 0.0)
    found, _ = searched(network, FLOOR)
    assert not any(layer.get("centred") for layer in found.layers)
    assert not any(known.centred for known in found.decided.values())


@pytest.mark.parametrize("target", [FLOOR, load_target("generic")], ids=["floor", "generic"])
def test_maps_whose_neurons_have_constants_of_their_own(tmp_path, target):
    """Scales are per channel, which is not the last axis of the neurons' constants."""
    rng = np.random.default_rng(1)
    steps, channels, length = 12, 3, 6
    g = Graph()
    x = g.input("x", [steps, "B", 2, length])
    for k, inputs in enumerate((2, channels)):
        weight = rng.normal(0.1, 0.3, (channels, inputs, 3))
        flat = g.reshape(x, [-1, inputs, length])
        current = g.op("Conv", flat, g.const(weight), name=f"conv{k}", pads=[1, 1])
        bias = rng.normal(0, 0.05, (channels, length)).astype(np.float32)
        rows = g.reshape(current, [steps, -1, channels, length])
        x = g.neuron(rows, name=f"n{k}", alpha=0.97, leak_bias=bias)[0]
    g.output(x, 4)
    data = (rng.random((40, steps, 2, length)) < 0.3).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=data)
    network = canonicalise(g.model()), open_data(tmp_path / "x.npz"), None
    found, made = searched(network, target)
    assert [layer["name"] for layer in found.layers] == ["n0", "n1"]
    run_everywhere(made.model, {"x": np.moveaxis(data[:2], 1, 0)})
