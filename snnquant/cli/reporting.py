"""The options of a verb that writes an HTML report."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from snnquant.cli.options import PATH, Command, with_options
from snnquant.errors import UsageError
from snnquant.evaluate import Evaluation, Judged
from snnquant.files import atomic_write, file_record
from snnquant.gates import Gate
from snnquant.report import SampleKeeper, Subject, collect_report, read_speed, render_report

_SAMPLES = 4


@dataclass(frozen=True)
class Reporting:
    """Where the report goes, and what is in it.

    Attributes:
        path: of the report, None: none is wanted.
        bench: what ``snnquant bench --json`` printed.
        samples: to show spike by spike.
    """

    path: Path | None
    bench: Path | None
    samples: int

    @property
    def inputs(self) -> list[Path]:
        """Files that are read for it."""
        return [] if self.bench is None else [self.bench]

    @property
    def outputs(self) -> list[Path]:
        """Files that are written."""
        return [] if self.path is None else [self.path]

    def settings(self) -> dict[str, Any]:
        """Return what was set, for the echo of the settings and the JSON."""
        samples = None if self.path is None else self.samples
        return {"report_samples": samples, "speed": self.bench}

    def open(self, sha256: str) -> OpenReporting:
        """Read the benchmark, before long work is done.

        Args:
            sha256: hash of the model.

        Raises:
            DataError: it cannot be read, or is of another model.
        """
        return OpenReporting(self, sha256)


class OpenReporting:
    """A report whose inputs were read; it looks at every batch and keeps the samples it shows."""

    def __init__(self, given: Reporting, sha256: str) -> None:
        self.given = given
        self._keeper = self._speed = None
        if given.path is not None:
            self._keeper = SampleKeeper(given.samples)
            self._speed = None if given.bench is None else read_speed(given.bench, sha256)

    def observe(self, judged: Judged) -> None:
        """Look at one batch."""
        if self._keeper is not None:
            self._keeper.observe(judged)

    def write(
        self,
        subject: Subject,
        result: Evaluation,
        gates: Sequence[Gate],
        document: Mapping[str, Any],
    ) -> list[dict[str, str]]:
        """Write the report, if one is wanted, and return its path and hash.

        Args:
            subject: what was evaluated.
            result: what was found.
            gates: limits and what was found.
            document: what ``eval --json`` prints.
        """
        path = self.given.path
        if path is None or self._keeper is None:
            return []
        kept = self._keeper.samples()
        report = collect_report(subject, result, gates, document, kept, self._speed)
        atomic_write(path, render_report(report))
        return [file_record(path)] if path.is_file() else []


def report_options(command: Command) -> Command:
    """Add the options of the report to a verb, which gets them as ``reporting``."""

    @functools.wraps(command)
    def collected(**given: Any) -> Any:
        path, bench, samples = (given.pop(n) for n in ("report", "speed", "report_samples"))
        for option, value in (("--speed", bench), ("--report-samples", samples)):
            if path is None and value is not None:
                raise UsageError(f"{option} is about the report; give --report too")
        reporting = Reporting(path, bench, samples or _SAMPLES)
        return command(reporting=reporting, **given)

    options = [
        click.option(
            "--report",
            type=PATH,
            metavar="FILE",
            help="Write a report: one HTML file that needs no network, with all of this and "
            "rasters of spikes, membranes and weights.",
        ),
        click.option(
            "--report-samples",
            type=click.IntRange(1, 32),
            help=f"Samples in the report's raster of spikes. [default: {_SAMPLES}]",
        ),
        click.option(
            "--speed",
            type=PATH,
            metavar="RESULT",
            help="A 'bench --json' of this model, for the report.",
        ),
    ]
    result: Command = with_options(collected, options)
    return result
