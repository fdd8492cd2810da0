"""The canonical graph of a canonical graph is itself: what is imported twice is the same file."""

import onnx_ir as ir
from hypothesis import given, settings
from networks import Network, networks

from snnquant.model_file import graph_hash
from snnquant.passes import canonicalise
from snnquant.target import load_target


@settings(max_examples=25, deadline=None)
@given(networks(load_target("generic")))
def test_canonical_graphs_stay_as_they_are(network: Network):
    once = canonicalise(network.model)
    written = ir.to_proto(once)
    twice = canonicalise(written)
    assert graph_hash(once) == graph_hash(twice)
    bytes_of = [m.SerializeToString(deterministic=True) for m in (written, ir.to_proto(twice))]
    assert bytes_of[0] == bytes_of[1]
    for kind in ("input", "output"):
        named = [[v.name for v in getattr(m.graph, kind)] for m in (network.model, written)]
        assert named[0] == named[1]
