"""How the command line talks: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

from snnquant import __version__
from snnquant.cli.configuration.load import Given
from snnquant.cli.printable import printable
from snnquant.progress import Progress
from snnquant.schemas import schema_name

#: Off a terminal, one line per this many seconds.
_SECONDS_PER_LINE = 5.0
#: Width of tables off a terminal, where rich would guess 80 and cut.
_PLAIN_WIDTH = 100
#: Messages are not wrapped to less.
_NARROWEST = 20
#: Longer names in tables are cut in the middle.
_CELL_LIMIT = 200


class Speaker:
    """Where a verb's words go.

    Args:
        quiet: say nothing but results, warnings and errors.
        keep_stdout: for one JSON document; results go where messages go.
    """

    def __init__(self, quiet: bool, *, keep_stdout: bool = False) -> None:
        self.quiet = quiet
        self.err = _console(sys.stderr)
        self.out = self.err if keep_stdout else _console(sys.stdout)

    def settings(self, verb: str, settings: Mapping[str, Any]) -> None:
        """Echo the effective settings."""
        if not self.quiet:
            words = ", ".join(
                f"{k.replace('_', ' ')} {_word(v)}"
                for k, v in settings.items()
                if v is not None and v != ""
            )
            self._line(self.err, f"snnquant {verb}: {words}", "dim")
            context = click.get_current_context(silent=True)
            given = None if context is None else context.find_object(Given)
            if given is not None and given.sources:
                self._line(self.err, f"  configured by {', '.join(given.sources)}", "dim")

    def say(self, text: str) -> None:
        """Say something that a person may want to know."""
        if not self.quiet:
            self._line(self.err, text)

    def notes(self, texts: Iterable[str]) -> None:
        """Say what was assumed in reading a model."""
        for text in texts:
            self.say(f"  note: {text}")

    def warn(self, text: str) -> None:
        """Warn, quiet or not."""
        self._line(self.err, f"warning: {text}", "yellow")

    def table(self, table: Table) -> None:
        """Print a table of results on stdout."""
        with self.out.capture() as captured:
            self.out.print(table)
        for line in captured.get().splitlines():
            self.out.file.write(line.rstrip() + "\n")

    def result(self, text: str) -> None:
        """Print one line of results on stdout."""
        self._line(self.out, text)

    def _line(self, console: Console, text: str, style: str | None = None) -> None:
        """Print one line; a terminal gets messages wrapped between words, a log keeps it whole."""
        line = printable(text)
        if console is self.err and console.file.isatty() and len(line) > console.width:
            margin = " " * (len(line) - len(line.lstrip()) + 2)
            line = textwrap.fill(
                line,
                max(console.width, _NARROWEST),
                subsequent_indent=margin,
                break_long_words=False,  # paths are copied from here
                break_on_hyphens=False,
            )
        console.print(line, style=style, soft_wrap=True)

    def json(self, document: Mapping[str, Any]) -> None:
        """Print machine output on stdout."""
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Show how far long work is: a bar on a terminal, a line now and then elsewhere."""
        if self.quiet:
            yield lambda done, total: None
        elif self.err.is_interactive and not os.environ.get("CI"):
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            with RichProgress(*columns, console=self.err, transient=True) as bar:
                task = bar.add_task(title, total=None, rate="")
                speed = _Speed()

                def update(done: int, total: int) -> None:
                    rate = speed.after(done)
                    text = f"{rate:,.0f}/s" if rate else ""
                    bar.update(task, completed=done, total=total, rate=text)

                yield update
        else:
            yield self._lines(title)

    def _lines(self, title: str) -> Progress:
        last = time.monotonic()
        speed = _Speed()

        def update(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            rate = speed.after(done)
            if now - last >= _SECONDS_PER_LINE:
                last = now
                pace = f", {rate:,.0f}/s, {(total - done) / rate:.0f} s left" if rate else ""
                self.say(f"{title}: {done}/{total}{pace}")

        return update


class _Speed:
    """How fast work goes from the first call on; what an earlier run had done is not its."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def after(self, done: int) -> float:
        """Return the rate per second with so much done; 0.0 until there is one."""
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        before, started = self._first
        return (done - before) / max(now - started, 1e-9)


class _Console(Console):
    """A console that leaves a reader who went away to the entry point; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise what rich caught."""
        raise BrokenPipeError


def _console(stream: Any) -> Console:
    plain = not stream.isatty()
    return _Console(
        file=stream,
        width=_PLAIN_WIDTH if plain else None,
        force_terminal=False if plain else None,  # FORCE_COLOR is no wish for animation
        no_color=True if plain or os.environ.get("TERM") == "dumb" else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        safe_box=True,
    )


def document(
    verb: str,
    *,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    **rest: Any,
) -> dict[str, Any]:
    """Return a verb's machine output in the common schema.

    Paths among the settings become text.
    """
    full: dict[str, Any] = {
        "schema": schema_name(verb),
        "tool": f"snnquant {__version__}",
        "inputs": dict(inputs),
        "config": {k: str(v) if isinstance(v, Path) else v for k, v in config.items()},
        "metrics": dict(metrics),
        "gates": [],
        "layers": [],
        "warnings": [],
        "artifacts": [],
    }
    return full | rest


def new_table(*columns: str, texts: int = 1) -> Table:
    """Return an empty table; the first ``texts`` columns are text, the others are numbers."""
    from rich import box

    lines = box.ASCII2 if _ascii_only() else box.SIMPLE_HEAD
    table = Table(box=lines, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < texts else "right", overflow="fold")
    return table


def add_row(table: Table, *cells: str | Sequence[str]) -> None:
    """Add a row of texts, or of several lines each; names from files are made safe to print."""
    lines = [[cell] if isinstance(cell, str) else cell for cell in cells]
    table.add_row(*("\n".join(printable(line, _CELL_LIMIT) for line in cell) for cell in lines))


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _ascii_only() -> bool:
    return "utf" not in (sys.stdout.encoding or "").lower()


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, or a dash."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def number(value: Any) -> str:
    """Return a number or a [low, high] pair as text."""
    if isinstance(value, (list, tuple)):
        return f"{number(value[0])}..{number(value[1])}"
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)
