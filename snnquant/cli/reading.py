"""What is declared about data on the command line, the same for every verb that reads any."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import click

from snnquant.cli.group import GroupedOption
from snnquant.cli.options import Command, with_options
from snnquant.cli.source import Source
from snnquant.data.options import BINS, ENCODINGS, LAYOUTS, ReadOptions
from snnquant.frontends import SourceOptions

_option = functools.partial(click.option, cls=GroupedOption, group="Options of the data")


def _sensor(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Return height and width from a text such as ``128,128``."""
    if value is None:
        return None
    try:
        height, width = map(int, value.split(","))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise click.BadParameter(f"'{value}' is no size; give HEIGHT,WIDTH such as 128,128.")
    return height, width


#: One option per field of :class:`ReadOptions`, of the field's name, but for the steps.
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _option(
        "--bin",
        type=click.Choice(BINS),
        help="How events become --timesteps frames: of equal time, or of an equal count of events.",
    ),
    _option(
        "--sensor",
        metavar="HEIGHT,WIDTH",
        callback=_sensor,
        help="Pixels of the sensor, for event files that do not tell.",
    ),
    _option(
        "--normalize",
        metavar="0..1|none|MEAN,STD",
        help="What is done to stored integers: divided by the largest of their type, and then "
        "(x - MEAN) / STD. Must be said for images.",
    ),
    _option(
        "--encode",
        type=click.Choice(ENCODINGS),
        help="Make sequences of --timesteps steps from static samples.",
    ),
    _option("--seed", type=click.IntRange(min=0), help="Of --encode poisson. [default: 0]"),
    _option(
        "--data-layout",
        "layout",
        type=click.Choice(LAYOUTS),
        help="Order of stored sequences: bt for [B, T, ...], tb for [T, B, ...]. [default: bt]",
    ),
)


def read_options(command: Command) -> Command:
    """Give a command the options of data; it gets them as ``reading``.

    Goes above ``source_options``, whose ``--timesteps`` is the steps of the data too.
    """

    @functools.wraps(command)
    def with_reading(*, source: Source, **given: Any) -> Any:
        named = {
            entry.name: given.pop(entry.name)
            for entry in fields(ReadOptions)
            if entry.name != "timesteps"
        }
        reading = ReadOptions(timesteps=source.options.timesteps, **named)
        return command(source=source, reading=reading, **given)

    result: Command = with_options(with_reading, _OPTIONS)
    return result


def read_options_alone(command: Command) -> Command:
    """Do as :func:`read_options` for a verb without source options; ``--timesteps`` is added."""

    @functools.wraps(command)
    def with_reading(**given: Any) -> Any:
        named = {entry.name: given.pop(entry.name) for entry in fields(ReadOptions)}
        return command(reading=ReadOptions(**named), **given)

    steps = _option(
        "--timesteps", type=click.IntRange(min=1), help="Steps T, for --bin and --encode."
    )
    result: Command = with_options(with_reading, (steps, *_OPTIONS))
    return result


def only_of_data(options: SourceOptions, reading: ReadOptions) -> SourceOptions:
    """Return the source options without the steps, where they are said of the data."""
    return replace(options, timesteps=None) if "timesteps" in reading.settings() else options
