"""``snnquant export``."""

from __future__ import annotations

from pathlib import Path

import click

from snnquant.cli.console import Speaker
from snnquant.cli.group import VerbCommand
from snnquant.cli.options import check_output, output_option, quiet_option
from snnquant.cli.source import Source, source_options


@click.command(cls=VerbCommand)
@click.option(
    "--to",
    "form",
    type=click.Choice(["nir"]),
    default="nir",
    show_default=True,
    help="Form to write.",
)
@click.option(
    "--step",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-4,
    show_default=True,
    help="Seconds per step, from which time constants are made.",
)
@output_option(None, "Where to write the file.")
@quiet_option
@source_options
def command(source: Source, form: str, step: float, output_file: Path, quiet: bool) -> None:
    """Write MODEL, a float model, in another form: as a NIR file.

    NIR is continuous and knows one reset. What it has no field for is written as metadata, which
    only snnquant reads, and is told; what it cannot express at all is refused.

    \b
    snnquant export net.onnx --to nir -o net.nir
    """  # noqa: D301
    from snnquant.frontends.nir.write import write_nir

    speaker = Speaker(quiet)
    settings = {"model": source, **source.settings(), "to": form, "step": step}
    speaker.settings("export", settings | {"output": output_file})
    check_output(output_file, source.files)
    canonical = source.graph()
    for note in write_nir(canonical, output_file, step):
        speaker.warn(note)
    speaker.result(f"wrote {output_file} ({output_file.stat().st_size:,} bytes)")
