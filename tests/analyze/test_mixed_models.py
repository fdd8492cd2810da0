"""A layer that is quantized by itself has the integers that it has in the integer model."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from graphs import calibrated, options_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import PHASES, TARGETS, networks

from snnquant.analyze.layers import find_layers, prepared
from snnquant.analyze.mixed import float_model, local_model, mixed_model
from snnquant.frontends import load_canonical
from snnquant.instrument import with_outputs
from snnquant.model_file import neuron_nodes
from snnquant.ops import attach_functions
from snnquant.passes import canonicalise
from snnquant.quantize import quantize_model
from snnquant.runtime import load_session

SAMPLES = Path(__file__).parents[2] / "samples"


def run(model, names, feeds, custom_ops=True):
    """Return the named values."""
    wide = with_outputs(model, names).SerializeToString()
    session = load_session(wide, custom_ops=custom_ops, threads=1)
    return dict(zip(names, session.run(list(names), dict(feeds)), strict=True))


def spikes_by_neuron(model, feeds):
    """Return what every integer neuron of a model gives out."""
    outputs = {node.name: node.output[0] for node in neuron_nodes(model, integer=True)}
    values = run(model, list(dict.fromkeys(outputs.values())), feeds)
    return {name: values[output] for name, output in outputs.items()}


def check_layers(canonical, scales, options, feeds):
    """Compare mixed models with the integer and the float one; return the number of layers."""
    whole = quantize_model(canonical, scales, options).model
    wanted = spikes_by_neuron(whole, feeds)
    model = prepared(canonical)
    layers = find_layers(model, scales, options, {})
    real = float_model(model, layers)
    originals = run(real.model, real.names, feeds, custom_ops=False)
    outputs = [value.name for value in canonical.graph.outputs]
    plain = ir.to_proto(canonical)
    attach_functions(plain)
    first = run(plain, outputs, feeds, custom_ops=False)
    beside = local_model(model, layers, scales, options, {})
    inside = run(beside.model, [*beside.names, *outputs], feeds)
    for name in outputs:
        np.testing.assert_array_equal(inside[name], first[name], err_msg=name)
    for count, layer in enumerate(layers, 1):
        up_to = layers[:count]
        mixed = mixed_model(model, layers, up_to, scales, options, {}, show=up_to)
        found = spikes_by_neuron(mixed.model, feeds)
        assert found.keys() == {name for part in up_to for name in part.neurons}
        for name, values in found.items():
            np.testing.assert_array_equal(values, wanted[name], err_msg=f"{name} of {count}")
        alone = mixed_model(model, layers, [layer], scales, options, {}, show=[layer])
        values = run(alone.model, alone.names, feeds)
        for key, watch in alone.watches.items():
            # Nothing in front of the layer is quantized: it sees what the float layer sees.
            got = watch.real(values)
            np.testing.assert_array_equal(got, beside.watches[key].real(inside), err_msg=str(key))
            assert got.shape == real.watches[key].real(originals).shape
    return len(layers)


@pytest.mark.parametrize("name", ["digits_conv", "digits_mlp", "events_edges"])
def test_samples(name):
    options = options_of("generic", 4)
    canonical = load_canonical(SAMPLES / f"{name}.onnx")
    spikes = ["input"] if name.startswith("events") else []
    canonical, scales = calibrated(canonical, options, {"input": 1 / 127}, spikes)
    data = np.load(SAMPLES / f"{name.split('_')[0]}_test.npz")["x"][:16].astype(np.float32)
    feeds = {"input": np.moveaxis(data, 0, 1) if spikes else data}
    assert check_layers(canonical, scales, options, feeds) == (4 if spikes else 3)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=5, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_drawn_networks(target, data):
    network = data.draw(networks(target))
    options = options_of(
        target,
        data.draw(st.sampled_from(target.weight_bits_allowed)),
        data.draw(st.integers(2, 8)),
        data.draw(st.booleans()),
    )
    canonical, scales = calibrated(canonicalise(network.model), options, None, network.spikes)
    assert check_layers(canonical, scales, options, network.feeds) > 0
