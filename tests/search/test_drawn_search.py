"""A search over drawn networks: it chooses integers that every way to run them agrees on."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from graphs import options_of, run_everywhere
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from networks import PHASES, TARGETS, networks

from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.data import open_data
from snnquant.errors import ModelError, NumericalError
from snnquant.instrument import Runner
from snnquant.lowering.layer_options import LayerOptions, weighted_layers
from snnquant.ops.schema import DOMAIN
from snnquant.passes import canonicalise
from snnquant.quantize import quantize_model
from snnquant.quantize_options import plan_model
from snnquant.rounding import WITH_SAMPLES
from snnquant.search import search_model


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=10, phases=PHASES, suppress_health_check=list(HealthCheck), deadline=None)
def test_searched_integers_agree_everywhere(tmp_path_factory, target, data):
    network = data.draw(networks(target))
    model = canonicalise(network.model)
    try:
        layout = Runner(ir.to_proto(model), custom_ops=False, threads=1).layout
    except ModelError:  # as many steps as samples, both fixed
        reject()
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    arrays = {}
    for entry in layout.inputs:
        fed = network.feeds[entry.name]
        first = np.moveaxis(fed, entry.batch_axis, 0)
        shape = (3 * len(first), *first.shape[1:])
        arrays[entry.name] = rng.choice(fed.reshape(-1), shape)
    folder = tmp_path_factory.mktemp("drawn")
    np.savez(folder / "x.npz", **arrays)
    dataset = open_data(folder / "x.npz")
    inputs = {name: "spikes" for name in network.spikes}
    try:
        known = calibrate_model(model, dataset, CalibrationSettings(AUTO, 64, 4, inputs), threads=1)
    except NumericalError:  # it never fires
        reject()
    options = options_of(
        target,
        data.draw(st.sampled_from(target.weight_bits_allowed)),
        8,
        data.draw(st.booleans()),
        "float",
        rounding=WITH_SAMPLES,
    )
    scales = known.input_scales(8, target.input_observer)
    rates = known.firing_rates()
    named = weighted_layers(plan_model(model, scales, options))
    widths = st.none() | st.sampled_from(target.weight_bits_allowed)
    layers = {name: LayerOptions(data.draw(widths)) for name in named}
    options = replace(options, layers=layers)
    found = search_model(model, scales, options, rates, dataset, threads=1)
    result = quantize_model(model, scales, options, rates=rates, decided=found.decided)
    synapses = [layer for layer in result.layers if layer["kind"] != "neuron"]
    assert bool(found.layers) == bool(synapses)
    told = [v for layer in found.layers for v in layer.values() if isinstance(v, float)]
    assert np.isfinite(told).all()
    again = search_model(model, scales, options, rates, dataset, threads=1)
    repeated = quantize_model(model, scales, options, rates=rates, decided=again.decided)
    assert repeated.model.SerializeToString(deterministic=True) == result.model.SerializeToString(
        deterministic=True
    )
    _, compared = run_everywhere(result.model, network.feeds)
    assert compared > 0
    assert any(node.domain == DOMAIN for node in result.model.graph.node)
