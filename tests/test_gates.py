"""Gates: every limit on both sides, and what reports say of it."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from snnquant.baseline import Baseline
from snnquant.errors import DataError, UsageError
from snnquant.evaluate import Evaluation
from snnquant.gates import GATES, check_gates, check_layers, check_needs, measured
from snnquant.pipeline import junit_xml, markdown_summary
from snnquant.spike_counter import LayerCounter, LayerReport

SCHEMA = "snnquant.eval/1"
CALM = LayerReport(
    "calm", 4, 0.5, 0.25, 0.0, 0.5, 0.9, 0.9, rate_drift=0.0, rate_emd=0.02, overflow=0.01
)
BAD = LayerReport(
    "b<&|d", 4, 0.5, 0.0, 0.5, 0.4, 0.7, 0.8, rate_drift=0.25, rate_emd=0.01, overflow=0.0
)
FOUND = Evaluation(8, 0.75, 0.875, 0.125, 0.9, 0.8, (CALM, BAD))
BYTES = 1000
#: Metric by metric: the value above, and the layer that it is of.
VALUES = {
    "min-accuracy": (0.75, None),
    "max-drop": (0.125, None),
    "min-agreement": (0.8, None),
    "max-rate-drift": (0.25, "b<&|d"),
    "max-rate-emd": (0.02, "calm"),
    "max-dead": (0.25, "calm"),
    "max-saturation": (0.5, "b<&|d"),
    "max-overflow": (0.01, "calm"),
    "max-size": (BYTES, None),
}
EMPTY = Evaluation(8, None, None, None, None, None, ())


@pytest.mark.parametrize("rule", GATES, ids=lambda rule: rule.id)
def test_every_limit_on_both_sides(rule):
    value, layer = VALUES[rule.id]
    worse = value * (1.01 if rule.least else 0.99)
    for limit, status in ((value, "passed"), (worse, "failed")):
        (gate,) = check_gates(FOUND, {rule.id: limit}, BYTES)
        assert (gate.id, gate.value, gate.limit) == (rule.id, value, limit)
        assert (gate.status, gate.layer) == (status, layer)
        assert gate.failed == (status == "failed")


@pytest.mark.parametrize("rule", GATES, ids=lambda rule: rule.id)
def test_a_limit_on_what_was_not_measured_is_a_usage_error(rule):
    with pytest.raises(UsageError, match=f"^--{rule.id} needs .*; [a-z]"):
        check_gates(EMPTY, {rule.id: 0.5})


def test_needs_are_known_beforehand():
    nothing = {"labels": False, "reference": False, "file": False}
    check_needs({}, **nothing)
    check_needs({"max-dead": 0.5}, **nothing)
    for rule in GATES[:5]:
        with pytest.raises(UsageError, match=f"^--{rule.id} needs"):
            check_needs({rule.id: 0.5}, **nothing)
    check_needs({rule.id: 0.5 for rule in GATES}, labels=True, reference=True, file=True)


def test_rounding_does_not_fail_a_gate():
    drop = 0.3 - 0.2  # a little less than 0.1
    found = replace(FOUND, drop=0.1)
    assert check_gates(found, {"max-drop": drop})[0].status == "passed"


@pytest.mark.parametrize(
    ("integer", "real", "emd", "drift"),
    [
        ([[1, 0], [1, 0]], [[0, 1], [0, 1]], 0.0, 0.0),  # the same rates, of other neurons
        ([[1, 0], [1, 0]], [[1, 1], [1, 1]], 0.5, 0.5),
        ([[1, 0], [0, 0]], [[0, 0], [0, 0]], 0.25, 1.0),  # a silent layer counts as one spike
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]], 0.0, 0.0),
        ([[1, 1], [1, 0]], [[1, 0], [0, 0]], 0.5, 2.0),
    ],
)
def test_distance_of_rates_by_hand(integer, real, emd, drift):
    """Two steps, one sample, two neurons; fed as one batch, and step by step as two samples."""
    spikes = np.array(integer, np.uint8)[:, None]
    floats = np.array(real, np.float32)[:, None]
    whole, split = LayerCounter("a"), LayerCounter("a")
    whole.add(spikes, floats)
    for step in range(2):
        split.add(spikes[step : step + 1], floats[step : step + 1])
    for counter in (whole, split):
        report = counter.report(True)
        assert (report.rate_emd, report.rate_drift) == (emd, drift)
    assert whole.report(False).rate_emd is None


def test_layer_checks():
    silent = replace(CALM, dead=1.0)
    checks = check_layers(replace(FOUND, layers=(silent, BAD)), {"max-saturation": 0.4})
    assert [(c.layer, c.rule.id, c.status) for c in checks] == [
        ("calm", "max-dead", "warning"),
        ("calm", "max-saturation", "passed"),
        ("b<&|d", "max-dead", "passed"),
        ("b<&|d", "max-saturation", "failed"),
    ]


def test_junit_has_a_case_per_gate_and_layer_check():
    limits = {"min-accuracy": 0.8, "max-drop": 0.2, "max-saturation": 0.4}
    found = replace(FOUND, layers=(replace(CALM, dead=1.0), BAD))
    gates, layers = check_gates(found, limits), check_layers(found, limits)
    suites = ElementTree.fromstring(junit_xml('net "1"\x00\ud800.onnx', gates, layers).encode())
    (suite,) = suites
    for element in (suites, suite):
        counted = [element.get(key) for key in ("tests", "failures", "errors", "skipped")]
        assert counted == ["7", "3", "0", "1"]
    assert suite.get("name") == 'net "1"\ufffd\ufffd.onnx'
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "min-accuracy": ["failure"],
        "max-drop": [],
        "max-saturation": ["failure"],
        "calm: dead neurons": ["skipped"],
        "calm: saturated neurons": [],
        "b<&|d: dead neurons": [],
        "b<&|d: saturated neurons": ["failure"],
    }
    message = suite.find("testcase/failure").get("message")
    assert message == "min-accuracy 0.8 but found 0.75"
    assert "--max-dead" in suite.find("testcase/skipped").get("message")


def test_the_summary_escapes_names():
    gates = check_gates(FOUND, {"max-saturation": 0.4, "max-size": BYTES}, BYTES)
    found = replace(FOUND, layers=(replace(CALM, name="a`b", dead=1.0),))
    text = markdown_summary("n|t\n.onnx", measured(FOUND, BYTES), gates, check_layers(found, {}))
    lines = text.splitlines()
    assert lines[0] == "### snnquant eval: n\\|t\ufffd.onnx"
    assert "**1 of 2 gates failed**" in lines
    assert "| max-saturation | 0.5 | 0.4 | b\\<\\&\\|d | **failed** |" in lines
    assert "| max-size | 1000 | 1000 |  | passed |" in lines
    assert "| accuracy | 0.75 |" in lines
    assert lines[-1] == "- layer a\\`b: all are dead neurons"
    assert text.endswith("\n")
    assert "No gates were set." in markdown_summary("n", measured(EMPTY, None), [], [])


def written(path, **changes):
    document = {"schema": SCHEMA, "metrics": measured(FOUND, BYTES)} | changes
    path.write_text(json.dumps(document))
    return Baseline(path)


def test_nothing_may_be_worse_than_the_baseline(tmp_path):
    baseline = written(tmp_path / "b.json", inputs={"data": {"sha256": "12"}})
    assert baseline.data_sha256 == "12"
    gates = baseline.check(FOUND, 0.0, BYTES)
    assert [g.id for g in gates] == ["baseline-" + r.metric.replace("_", "-") for r in GATES]
    assert not any(gate.failed for gate in gates)
    worse = replace(FOUND, accuracy=0.7, drop=0.175)
    failed = [g for g in baseline.check(worse, 0.0, BYTES + 1) if g.failed]
    assert [g.metric for g in failed] == ["accuracy", "drop", "model_bytes"]
    assert not any(gate.failed for gate in baseline.check(worse, 0.05, BYTES + 50))
    assert baseline.check(worse, 0.05, BYTES + 51)[-1].failed


def test_a_metric_that_the_baseline_lacks_is_no_limit(tmp_path):
    baseline = written(tmp_path / "b.json", metrics={"accuracy": None, "drop": 0.2, "later": "x"})
    assert [gate.id for gate in baseline.check(FOUND, 0.0)] == ["baseline-drop"]
    with pytest.raises(UsageError, match="has 'drop', which needs labels and the float model"):
        baseline.check(EMPTY, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\udc80", "is not JSON"),
        ("[]", "is no JSON object"),
        ("{}", "has schema None, not 'snnquant.eval/1'"),
        ('{"schema": "snnquant.demo/1"}', "has schema 'snnquant.demo/1'"),
        (f'{{"schema": "{SCHEMA}"}}', "has no metrics"),
        (f'{{"schema": "{SCHEMA}", "metrics": {{"drop": "0"}}}}', "metrics.drop is '0'"),
        (f'{{"schema": "{SCHEMA}", "metrics": {{"drop": true}}}}', "metrics.drop is 'True'"),
        (f'{{"schema": "{SCHEMA}", "metrics": {{"drop": NaN}}}}', "metrics.drop is 'nan'"),
        (None, "cannot read baseline"),
    ],
)
def test_other_files_are_no_baseline(tmp_path, text, says):
    path = tmp_path / "b.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        Baseline(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
