"""The options of a verb that has gates, and the files that it writes about them."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from snnquant.baseline import Baseline
from snnquant.cli.group import GroupedOption
from snnquant.cli.options import PATH, Command, RealRange, with_options
from snnquant.errors import GateError, UsageError
from snnquant.evaluate import Evaluation
from snnquant.files import atomic_write, ensure_writable, file_record
from snnquant.gates import (
    GATES,
    Gate,
    GateRule,
    Unit,
    check_gates,
    check_layers,
    check_needs,
    measured,
)
from snnquant.pipeline import junit_xml, markdown_summary

#: Where GitHub Actions wants the Markdown that it shows beside a job.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

_option = functools.partial(click.option, cls=GroupedOption, group="Gates and their reports")


@dataclass(frozen=True)
class Gating:
    """Limits, and where the reports about them go.

    Attributes:
        limits: by id of the gate, only those that were given.
        baseline: an earlier evaluation that the new one is compared with.
        tolerance: by how much a metric may be worse than in the baseline.
        junit: where JUnit XML goes.
        summary: where Markdown goes.
    """

    limits: Mapping[str, float]
    baseline: Path | None
    tolerance: float
    junit: Path | None
    summary: Path | None

    def settings(self) -> dict[str, Any]:
        """Return what was set, for the echo of the settings and the JSON."""
        limits = {rule.id.replace("-", "_"): self.limits.get(rule.id) for rule in GATES}
        tolerance = None if self.baseline is None else self.tolerance
        return {**limits, "baseline": self.baseline, "tolerance": tolerance}

    def open(self, inputs: Iterable[Path], outputs: Iterable[Path] = ()) -> OpenGating:
        """Read the baseline and look at the outputs, before long work is done.

        Args:
            inputs: files that no output may replace.
            outputs: other files that the verb writes.

        Raises:
            UsageError: an output cannot be written or would replace an input or another one.
            DataError: the baseline cannot be read.
        """
        baseline = None if self.baseline is None else Baseline(self.baseline)
        read = [*inputs, *([] if self.baseline is None else [self.baseline])]
        taken = {os.path.realpath(path): f"the input {path}" for path in read}
        for output in (self.junit, self.summary, *outputs):
            if output is None:
                continue
            ensure_writable(output)
            place = os.path.realpath(output)
            if place in taken:
                raise UsageError(f"{output} would replace {taken[place]}; choose another path")
            if output.is_file() or not output.exists():  # /dev/null may be both
                taken[place] = f"the other output {output}"
        step_summary = os.environ.get(STEP_SUMMARY)
        if step_summary:
            ensure_writable(step_summary)
        return OpenGating(self, baseline, Path(step_summary) if step_summary else None)


@dataclass(frozen=True)
class OpenGating:
    """Limits whose baseline was read and whose outputs can be written."""

    given: Gating
    baseline: Baseline | None
    step_summary: Path | None

    def check_needs(self, *, labels: bool, reference: bool, file: bool) -> None:
        """Refuse a limit on what will not be measured; UsageError."""
        check_needs(self.given.limits, labels=labels, reference=reference, file=file)

    def check(self, result: Evaluation, model_bytes: int | None) -> list[Gate]:
        """Return all gates; UsageError if one limits what was not measured."""
        gates = check_gates(result, self.given.limits, model_bytes)
        if self.baseline is not None:
            gates += self.baseline.check(result, self.given.tolerance, model_bytes)
        return gates

    def warnings(self, data_sha256: str) -> list[dict[str, str]]:
        """Return a warning if the baseline was measured on other data."""
        found = None if self.baseline is None else self.baseline.data_sha256
        if found is None or found == data_sha256:
            return []
        message = f"baseline {self.given.baseline} was measured on other data"
        return [{"code": "other_baseline_data", "message": message}]

    def write(
        self, name: str, result: Evaluation, gates: list[Gate], model_bytes: int | None
    ) -> list[dict[str, str]]:
        """Write the reports, failed or not, and return their paths and hashes."""
        layers = check_layers(result, self.given.limits)
        text = markdown_summary(name, measured(result, model_bytes), gates, layers)
        written = []
        if self.given.junit is not None:
            atomic_write(self.given.junit, junit_xml(name, gates, layers))
            written.append(self.given.junit)
        if self.given.summary is not None:
            atomic_write(self.given.summary, text)
            written.append(self.given.summary)
        if self.step_summary is not None:
            _append(self.step_summary, text)
        files = [path for path in written if path.is_file()]
        return [file_record(path) for path in files]


def raise_failed(gates: list[Gate]) -> None:
    """Raise GateError that names every gate that failed, if any did."""
    failed = [str(gate) for gate in gates if gate.failed]
    if failed:
        raise GateError(f"gate failed: {', '.join(failed)}")


def gate_options(command: Command) -> Command:
    """Add the options of gates to a verb, which gets them as ``gating``."""

    @functools.wraps(command)
    def collected(**given: Any) -> Any:
        limits = {rule.id: given.pop(_argument(rule)) for rule in GATES}
        gating = Gating(
            {id: limit for id, limit in limits.items() if limit is not None},
            given.pop("baseline"),
            given.pop("tolerance"),
            given.pop("junit"),
            given.pop("summary"),
        )
        return command(gating=gating, **given)

    options = [
        *(
            _option(rule.option, _argument(rule), type=_type(rule), help=rule.help)
            for rule in GATES
        ),
        _option(
            "--baseline",
            type=PATH,
            metavar="RESULT",
            help="An earlier 'eval --json': exit with 4 if a metric is worse than there.",
        ),
        _option(
            "--tolerance",
            type=RealRange(min=0),
            default=0.0,
            show_default=True,
            help="By how much a metric may be worse than in the baseline; the size by this share.",
        ),
        _option(
            "--junit", type=PATH, metavar="FILE", help="Write gates and layer checks as JUnit XML."
        ),
        _option(
            "--summary",
            type=PATH,
            metavar="FILE",
            help=f"Write a summary in Markdown; it is appended to ${STEP_SUMMARY} too, if set.",
        ),
    ]
    result: Command = with_options(collected, options)
    return result


def _argument(rule: GateRule) -> str:
    return rule.id.replace("-", "_")


def _type(rule: GateRule) -> click.IntRange | click.FloatRange:
    if rule.unit is Unit.BYTES:
        return click.IntRange(min=0)
    return RealRange(0, rule.unit.value)


def _append(path: Path, text: str) -> None:
    """Append to a file in one step."""
    try:
        before = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise UsageError(
            f"cannot append to {path}: {error.strerror}; check ${STEP_SUMMARY}"
        ) from error
    atomic_write(path, before + text.encode())
