"""Drawn networks: the fused graph computes what the integer graph computes, value by value."""

from collections import Counter

import pytest
from fused_networks import fused_everywhere, fused_ops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import PHASES, TARGETS, quantized_networks

EXAMPLES = 40


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_fused_equals_unfused(target):
    seen = Counter()

    @given(data=st.data())
    @settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck))
    def run(data):
        network, result = data.draw(quantized_networks(target))
        fusion, _ = fused_everywhere(result.model, network.feeds)
        seen.update(fused_ops(fusion))

    run()
    assert sum(count for op, count in seen.items() if "Linear" in op or "Conv" in op) > EXAMPLES / 8
