"""``snnquant doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from snnquant.cli.console import Speaker, add_row, document, new_table
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import json_option, quiet_option
from snnquant.doctor import NEEDED, Examination, examine
from snnquant.errors import LibraryError


@click.command(cls=VerbCommand)
@json_option
@quiet_option
def command(as_json: bool, quiet: bool) -> None:
    """Tell whether this machine is ready, and what to send with a report of a problem.

    Versions, the custom-op library and the instruction set that it uses, threads, variables, and a
    self test: a tiny integer model with the library, without it, and by the numpy reference. Exits
    with 7 if the library cannot be used.

    \b
    snnquant doctor
    snnquant doctor --json > machine.json
    """  # noqa: D301
    speaker = Speaker(quiet)
    found = examine()
    if as_json:
        status = "passed" if found.ready else "failed"
        speaker.json(
            document(
                "doctor",
                inputs={},
                config={},
                metrics=asdict(found),
                gates=[{"id": "ready", "value": found.ready, "limit": True, "status": status}],
            )
        )
    else:
        _print(speaker, found)
    if not found.ready:
        raise LibraryError(found.problem or f"self test: {found.self_test}")


def _print(speaker: Speaker, found: Examination) -> None:
    table = new_table("what", "found", texts=2)
    for name, version in found.versions.items():
        if version is not None or name in NEEDED:
            add_row(table, name, version or "missing")
    add_row(table, "system", found.system)
    add_row(table, "threads", str(found.threads))
    add_row(table, "library", found.library or "missing")
    add_row(table, "instruction set", found.instruction_set or "-")
    add_row(table, "it can use", ", ".join(found.instruction_sets) or "-")
    for name, value in found.variables.items():
        add_row(table, name, value)
    add_row(table, "self test", f"{found.self_test} ({found.seconds:.2f} s)")
    speaker.table(table)
