"""The options of a verb that scores a model's output on samples."""

from __future__ import annotations

import click

from snnquant.cli.options import Command, with_options
from snnquant.evaluate import READOUTS

_OPTIONS = (
    click.option(
        "--output", "output", metavar="NAME", help="Output to score. [default: the first]"
    ),
    click.option(
        "--readout",
        type=click.Choice(READOUTS),
        default="auto",
        show_default=True,
        help="How an output that carries time is reduced; auto sums over it.",
    ),
    click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples."),
)


def scoring_options(command: Command) -> Command:
    """Give a command the options of what is scored, and of how many samples."""
    result: Command = with_options(command, _OPTIONS)
    return result
