"""Nets of real frameworks, exported on the fly: recognised with the right numbers, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from zoo.base import ZooNet, firing_rates
from zoo.compare import differing_outputs, differing_parameters
from zoo.export import export, quiet
from zoo.registry import FRAMEWORKS, nets
from zoo.variants import variants

from snnquant.errors import ModelError
from snnquant.frontends import read_source

#: (net, exporter): what differs most in how it is written, small enough to be exported in a test.
RECOGNISED = [
    ("snntorch/leaky_subtract_BT_8", "legacy_dyn"),
    ("snntorch/leaky_zero_TB_4", "dynamo_dyn"),
    ("snntorch/leaky_learned_vectors", "legacy_dyn"),
    ("snntorch/synaptic_zero_static", "legacy_fixed"),
    ("snntorch/rleaky_all_subtract", "legacy_dyn"),
    ("snntorch/lapicque_rc_zero", "legacy_dyn"),
    ("snntorch/conv_pool_before", "legacy_dyn"),
    ("snntorch/init_hidden_membrane", "legacy_dyn"),
    ("snntorch/integrator_softmax", "legacy_dyn"),
    ("spikingjelly/lif_plain_hard_low_s", "dynamo_fixed"),
    ("spikingjelly/if_soft_m", "dynamo_dyn"),
    ("spikingjelly/simple_lif_rest_s", "legacy_dyn"),
    ("spikingjelly/cuba_soft_s", "legacy_dyn"),
    ("spikingjelly/sew_iand_if_m", "dynamo_dyn"),
    ("norse/lif_time_leak", "legacy_dyn"),
    ("norse/lifbox_leak_and_reset", "legacy_fixed"),
    ("norse/lifbox_subtract_leak", "legacy_dyn"),
    ("sinabs/lif_multi_subtract", "legacy_dyn"),
    ("sinabs/lif_floor_single_reset", "legacy_dyn"),
    ("sinabs/lif_single_reset_0.2", "legacy_dyn"),
    ("sinabs/alif_subtract", "legacy_dyn"),
    ("sinabs/squeeze_conv", "legacy_dyn"),
    ("sinabs/expleak_max", "legacy_dyn"),
    ("handwritten/cell_where_reset", "legacy_dyn"),
    ("handwritten/cell_masked_fill", "dynamo_dyn"),
    ("handwritten/cell_millivolts", "legacy_dyn"),
    ("handwritten/cell_delayed_by_another_amount", "legacy_dyn"),
    ("handwritten/cell_fires_straight_through", "legacy_dyn"),
    ("handwritten/cell_initial_membrane", "legacy_dyn"),
    ("handwritten/cell_adaptive_soft", "legacy_dyn"),
    ("handwritten/concatenated", "legacy_dyn"),
    ("handwritten/two_inputs", "legacy_dyn"),
    ("handwritten/two_outputs", "legacy_fixed"),
    ("handwritten/merged_time_major_TB", "legacy_fixed"),
    ("handwritten/shared_weights", "legacy_dyn"),
]
REFUSED = [
    ("snntorch/alpha_subtract", "legacy_dyn"),
    ("snntorch/leaky_inhibition", "legacy_fixed"),
    ("snntorch/slstm", "legacy_dyn"),
    ("spikingjelly/qif_s", "dynamo_fixed"),
    ("spikingjelly/ternary_s", "legacy_fixed"),
    ("spikingjelly/psn_m", "legacy_dyn"),
    ("norse/lif_ex", "legacy_dyn"),
    ("norse/lif_refrac", "legacy_dyn"),
    ("sinabs/alif_synapse", "legacy_dyn"),
    ("handwritten/cell_gated_leak", "legacy_dyn"),
    ("handwritten/cell_second_order", "legacy_dyn"),
    ("handwritten/cell_leak_of_time", "legacy_dyn"),
    ("handwritten/cell_bounded_above", "legacy_dyn"),
]
VARIANTS_REFUSED = [
    ("naive/held", "legacy_dyn"),
    ("naive/held_stale", "legacy_dyn"),
    ("naive/snntorch_hidden", "dynamo_dyn"),
    ("naive/snntorch_hidden_stale", "legacy_fixed"),
    ("naive/norse_once", "legacy_dyn"),
    ("wrong/training_dropout", "legacy_dyn"),
    ("wrong/training_norm", "legacy_dyn"),
    ("wrong/baked_state", "legacy_dyn"),
]
VARIANTS_RECOGNISED = [("loop/scripted", "legacy_dyn"), ("loop/scan", "dynamo_dyn")]
BY_NAME = {net.name: net for net in nets()}
VARIANT_BY_NAME = {variant.name: variant for variant in variants()}


def written(net: ZooNet, exporter: str, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(export(net, exporter).SerializeToString())
    return path


def alternatives(expected):
    listed = [list(e) if isinstance(e, tuple) else [e] for e in expected]
    return json.loads(json.dumps(listed))


@pytest.mark.parametrize(("name", "exporter"), RECOGNISED)
def test_nets_are_recognised(tmp_path, name, exporter):
    net = BY_NAME[name]
    path = written(net, exporter, tmp_path)
    reading = read_source(path)
    assert differing_outputs(path, reading) == ""
    assert differing_parameters(reading.model, alternatives(net.expected)) == ""


@pytest.mark.parametrize(("name", "exporter"), REFUSED)
def test_what_no_neuron_expresses_is_refused(tmp_path, name, exporter):
    assert BY_NAME[name].refused
    with pytest.raises(ModelError) as refusal:
        read_source(written(BY_NAME[name], exporter, tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "exporter"), VARIANTS_RECOGNISED)
def test_loops_are_recognised(tmp_path, name, exporter):
    variant = VARIANT_BY_NAME[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(variant.export(exporter).SerializeToString())
    reading = read_source(path)
    assert differing_outputs(path, reading) == ""
    assert differing_parameters(reading.model, alternatives(variant.expected)) == ""


@pytest.mark.parametrize(("name", "exporter"), VARIANTS_REFUSED)
def test_exports_that_lost_something_are_refused(tmp_path, name, exporter):
    assert VARIANT_BY_NAME[name].refused
    path = tmp_path / "net.onnx"
    path.write_bytes(VARIANT_BY_NAME[name].export(exporter).SerializeToString())
    with pytest.raises(ModelError) as refusal:
        read_source(path)
    assert "\n" not in str(refusal.value)


def test_the_zoo_is_full():
    assert len(BY_NAME) == len(nets()) > 300
    for framework in FRAMEWORKS:
        assert sum(net.framework == framework for net in BY_NAME.values()) > 40


@pytest.mark.parametrize("name", sorted({name for name, _ in RECOGNISED}))
def test_layers_fire_now_and_then(name):
    """A net that is silent, or always fires, would tell nothing of its neurons."""
    with quiet():
        rates = firing_rates(BY_NAME[name])
    assert rates
    assert all(0.02 < rate < 0.85 for rate in rates.values()), rates
