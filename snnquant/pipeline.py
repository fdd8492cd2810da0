"""What a pipeline shows of an evaluation: JUnit XML and a Markdown summary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from snnquant.gates import GATES, Gate, LayerCheck, Unit

#: What XML 1.0 cannot hold, escaped or not (https://www.w3.org/TR/xml/#charsets).
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BYTES = {rule.metric for rule in GATES if rule.unit is Unit.BYTES}


def junit_xml(name: str, gates: Sequence[Gate], layers: Sequence[LayerCheck]) -> str:
    """Return JUnit XML with a test case per gate and per check of a layer.

    A layer that says nothing although no limit was set is a skipped case with a message.

    Args:
        name: of the suite, such as the model.
        gates: limits and what was found.
        layers: checks of the layers.
    """
    failures = sum(gate.failed for gate in gates) + sum(c.status == "failed" for c in layers)
    counts = {
        "tests": str(len(gates) + len(layers)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(sum(check.status == "warning" for check in layers)),
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(name), **counts})
    for gate in gates:
        case = _case(suite, "snnquant.eval.gates", gate.id)
        if gate.failed:
            _say(case, "failure", str(gate))
    for check in layers:
        what = check.rule.neurons
        case = _case(suite, "snnquant.eval.layers", f"{check.layer}: {what}")
        found = f"layer '{check.layer}': {100 * check.value:.4g} % {what}"
        if check.status == "failed":
            _say(case, "failure", f"{found}, limit {100 * (check.limit or 0.0):.4g} %")
        elif check.status == "warning":
            _say(case, "skipped", f"{found}; limit it with --{check.rule.id}")
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def markdown_summary(
    name: str,
    metrics: Mapping[str, float | int | None],
    gates: Sequence[Gate],
    layers: Sequence[LayerCheck],
) -> str:
    """Return a summary in Markdown, as a forge shows it beside a job.

    Args:
        name: of the model.
        metrics: what was measured, by name; None is left out.
        gates: limits and what was found.
        layers: checks of the layers.
    """
    failed = sum(gate.failed for gate in gates)
    verdict = f"{failed} of {len(gates)} gates failed" if failed else "all gates passed"
    lines = [f"### snnquant eval: {_cell(name)}", ""]
    lines += [f"**{verdict}**" if gates else "No gates were set.", ""]
    if gates:
        lines += ["| gate | found | limit | layer | status |", "| --- | ---: | ---: | --- | --- |"]
        for gate in gates:
            value, limit = (shown_value(gate.metric, v) for v in (gate.value, gate.limit))
            status = "**failed**" if gate.failed else "passed"
            cells = (gate.id, value, limit, _cell(gate.layer or ""), status)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["| metric | value |", "| --- | ---: |"]
    lines += [
        f"| {key.replace('_', ' ')} | {shown_value(key, value)} |"
        for key, value in metrics.items()
        if value is not None
    ]
    lines.append("")
    warned = [check for check in layers if check.status == "warning"]
    lines += [f"- layer {_cell(c.layer)}: all are {c.rule.neurons}" for c in warned]
    return "\n".join(lines + [""] * bool(warned))


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=group, name=_xml(name), time="0")


def _say(case: ElementTree.Element, tag: str, message: str) -> None:
    found = ElementTree.SubElement(case, tag, message=_xml(message))
    if tag == "failure":
        found.set("type", "gate")
        found.text = _xml(message)


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _cell(text: str) -> str:
    """Return text from a file so that Markdown shows it as it is, in one cell of a table."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$@-])", r"\\\1", plain)


def shown_value(metric: str, value: float) -> str:
    """Return what a person reads of a metric's value, its unit included."""
    if isinstance(value, int) or metric in _BYTES:
        return f"{value:.0f}"
    return f"{value:.4g}"
