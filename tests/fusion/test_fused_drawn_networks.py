"""Drawn networks: the fused graph computes what the integer graph computes, value by value."""

from collections import Counter

import pytest
from fused_networks import fused_everywhere, fused_ops
from graphs import options_of, quantize
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from networks import TARGETS, networks

EXAMPLES = 40
#: Drawn networks have hundreds of choices; shrinking them takes minutes. Their log tells enough.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_fused_equals_unfused(target):
    seen = Counter()

    @given(data=st.data())
    @settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck))
    def run(data):
        network = data.draw(networks(target))
        options = options_of(
            target,
            data.draw(st.sampled_from(target.weight_bits_allowed)),
            data.draw(st.integers(2, 8)),
            data.draw(st.booleans()),
            data.draw(st.sampled_from(["float", "int"])),
        )
        result = quantize(network.model, options, spikes=network.spikes)
        fusion, _ = fused_everywhere(result.model, network.feeds)
        seen.update(fused_ops(fusion))

    run()
    assert sum(count for op, count in seen.items() if "Linear" in op or "Conv" in op) > EXAMPLES / 8
