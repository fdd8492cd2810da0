"""Any network gives a whole report: several inputs, static ones, T = 1, recurrent, fixed batch."""

import numpy as np
import onnx_ir as ir
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import GENERIC, quantized_networks

from snnquant.data import open_data
from snnquant.errors import ModelError
from snnquant.evaluate import evaluate_model
from snnquant.fusion import fuse_model
from snnquant.instrument import Runner
from snnquant.passes import canonicalise
from snnquant.report import SampleKeeper, Subject, collect_report, render_report

DOCUMENT = {
    "inputs": {"model": {"path": "net.onnx"}, "data": {"path": "data.npz"}},
    "config": {},
    "metrics": {},
    "warnings": [],
}


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(drawn=quantized_networks(GENERIC), fused=st.booleans())
def test_any_network(tmp_path_factory, drawn, fused):
    network, result = drawn
    model = fuse_model(result.model).model if fused else result.model
    reference = ir.to_proto(canonicalise(network.model))
    try:
        inputs = Runner(reference, custom_ops=False).layout.inputs
    except ModelError:  # a fixed batch of as many samples as steps
        assume(False)
    arrays = {e.name: np.moveaxis(network.feeds[e.name], e.batch_axis or 0, 0) for e in inputs}
    path = tmp_path_factory.mktemp("any") / "data.npz"
    np.savez(path, **arrays)
    dataset, keeper = open_data(path), SampleKeeper(3)
    found = evaluate_model(model, dataset, reference=reference, observe=keeper.observe, threads=1)
    subject = Subject("net", None, "0" * 64, model, reference, dataset, found.samples, threads=1)
    report = collect_report(subject, found, [], DOCUMENT, keeper.samples())
    assert report.notes == {}
    assert len(report.raster.layers) == len(found.layers)
    assert len(report.membranes.layers) >= len(found.layers)
    for layer in report.membranes.layers:
        assert len({counts.total for counts in layer.histogram.counts.values()}) == 1
    assert render_report(report).endswith("</html>\n")
