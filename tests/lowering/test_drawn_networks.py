"""Drawn networks at every width: library, function bodies and reference agree on every integer."""

import numpy as np
import pytest
from graphs import quantize, run_everywhere
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import GENERIC, PHASES, TARGETS, networks, quantized_networks

EXAMPLES = 40


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_all_agree_on_every_integer(target, data):
    assert len(TARGETS) == 3
    network, result = data.draw(quantized_networks(target))
    values, compared = run_everywhere(result.model, network.feeds)
    assert compared > 0
    for value in result.model.graph.output:
        kind = values[value.name].dtype.kind
        assert kind == ("i" if value.name in result.output_scales else "f")
        assert np.isfinite(values[value.name]).all()


@given(data=st.data())
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
def test_same_inputs_give_same_bytes(data):
    network = data.draw(networks(GENERIC))
    first, second = (
        quantize(network.model, spikes=network.spikes).model.SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second
