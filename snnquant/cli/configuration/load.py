"""Is anything configured, and what: cheap where nothing is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snnquant.cli import VERBS, Verb
from snnquant.cli.configuration.environment import PRESET_VARIABLE, set_variables
from snnquant.cli.configuration.files import find_files

if TYPE_CHECKING:
    from snnquant.cli.configuration.keys import Keys
    from snnquant.cli.configuration.layers import Configuration, Setting

LoadCommand = Callable[[Verb], click.Command]


class Given:
    """What the words before the verb say about configuration.

    Attributes:
        settings: of the verb that runs, once they are known; by key.
        sources: of all settings, for people.
    """

    def __init__(self, file: Path | None, ignore: bool, presets: Sequence[str]) -> None:
        self._file = file
        self._ignore = ignore
        self._presets = presets
        self.settings: dict[str, Setting] = {}
        self.sources: list[str] = []

    def load(self, load_command: LoadCommand) -> Configuration | None:
        """Read all configuration; None: there is none.

        Args:
            load_command: gives the command of a verb.

        Raises:
            UsageError: something of it is wrong.
        """
        files = self._files()
        presets = list(self._presets) or list(filter(None, [os.environ.get(PRESET_VARIABLE)]))
        variables = set_variables(os.environ)
        if not (files or presets or variables):
            return None
        from snnquant.cli.configuration.layers import Configuration

        return Configuration(
            configured_verbs(),
            all_keys(load_command),
            files=files,
            presets=presets,
            variables=variables,
        )

    def _files(self) -> list[Path]:
        if self._ignore:
            return []
        if self._file is not None:
            return [self._file]
        try:
            start = Path.cwd()
        except FileNotFoundError:  # the folder was deleted
            return []
        return find_files(start)


def configured_verbs() -> list[Verb]:
    """Return the verbs that take settings."""
    return [verb for verb in VERBS if verb.takes_settings]


def all_keys(load_command: LoadCommand) -> dict[str, Keys]:
    """Return the settings of every verb; this imports all of them."""
    from snnquant.cli.configuration.keys import keys_of

    return {verb.name: keys_of(load_command(verb)) for verb in configured_verbs()}


def default_map(given: Given, verb: Verb, load_command: LoadCommand) -> dict[str, Any]:
    """Return what click takes for the options of a verb that no flag gives.

    Raises:
        UsageError: something of the configuration is wrong.
    """
    found = given.load(load_command)
    if found is None:
        return {}
    from snnquant.cli.configuration.keys import keys_of

    parameters = keys_of(load_command(verb))
    given.settings = found.of_verb(verb.name)
    given.sources = found.sources
    return {str(parameters[key].name): setting.value for key, setting in given.settings.items()}


def origin_of(error: click.ClickException) -> str:
    """Return from where the value that click refuses is; empty: from a flag."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or parameter is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    given = context.find_object(Given)
    if given is None or source is not click.core.ParameterSource.DEFAULT_MAP:
        return ""
    from snnquant.cli.configuration.keys import keys_of

    for key, known in keys_of(context.command).items():
        if known.name == parameter.name and key in given.settings:
            return f" It is from {given.settings[key].place}."
    return ""
