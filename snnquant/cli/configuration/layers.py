"""From where settings come, one layer over the other, and what holds in the end for a verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from snnquant.cli import Verb
from snnquant.cli.configuration.check import Checker
from snnquant.cli.configuration.environment import read_variables
from snnquant.cli.configuration.files import preset_path, read_settings
from snnquant.cli.configuration.keys import Keys, beside, from_text
from snnquant.cli.configuration.schema import PRESET_KEY
from snnquant.errors import UsageError

#: The table of keys that every verb takes.
EVERY_VERB = ""


@dataclass(frozen=True)
class Setting:
    """The value of one setting.

    Attributes:
        value: as click takes it in place of a flag.
        origin: from where it is: a file, a preset, an environment variable.
        place: the key in that file, or the origin again.
    """

    value: Any
    origin: str
    place: str


@dataclass(frozen=True)
class Layer:
    """Settings from one source.

    Attributes:
        tables: by verb and key; ``EVERY_VERB`` for what every verb takes.
        folder: where relative paths begin; None: the values are texts of variables.
    """

    tables: Mapping[tuple[str, str], Setting]
    folder: Path | None

    def setting(self, verb: str, key: str, parameter: click.Parameter) -> Setting | None:
        """Return what is said of a key, for a parameter that takes it.

        Raises:
            UsageError: the text of a variable is no value of a flag.
        """
        given = self.tables.get((verb, key))
        if given is None:
            return None
        if self.folder is not None:
            value = beside(parameter, given.value, self.folder)
        else:
            try:
                value = from_text(parameter, given.value)
            except click.BadParameter as error:
                text = f"{given.place} is '{given.value}'; give true or false, or unset it"
                raise UsageError(text) from error
        return Setting(value, given.origin, given.place)


class Configuration:
    """All layers, the weakest first: presets, files, environment.

    Args:
        verbs: that take settings.
        keys: the settings of each, by its name.
        files: configuration files, the weakest first.
        presets: names or paths that the user gave; empty: as the files say.
        variables: environment variables that are settings.

    Raises:
        UsageError: a file or a variable is wrong.
    """

    def __init__(
        self,
        verbs: Sequence[Verb],
        keys: Mapping[str, Keys],
        *,
        files: Sequence[Path],
        presets: Sequence[str],
        variables: Mapping[str, str],
    ) -> None:
        self._verbs = {verb.name: verb for verb in verbs}
        self._keys = keys
        checker = Checker(keys)
        named = [(name, Path(), "") for name in presets]
        layers = []
        for path in files:
            table = checker.check(str(path), read_settings(path))
            chosen = table.pop(PRESET_KEY, [])
            if chosen and not presets:
                names = [chosen] if isinstance(chosen, str) else chosen
                named = [(name, path.parent, f"{path}: ") for name in names]
            layers.append(self._layer(str(path), path.parent, table))
        below = []
        for name, folder, where in named:
            path = preset_path(name, folder, where)
            origin = f"preset {name}"
            table = checker.check(origin, read_settings(path))
            if PRESET_KEY in table:
                raise UsageError(f"{origin}: a preset names no other; list both where you use it")
            below.append(self._layer(origin, path.parent, table))
        texts = read_variables(variables, keys)
        given = {place: Setting(text, name, name) for place, (name, text) in texts.items()}
        self._layers = [*below, *layers, Layer(given, None)]
        self.files = [*files]
        #: Everything that takes part, for people.
        self.sources = [
            *(f"preset {name}" for name, *_ in named),
            *map(str, files),
            *(name for name, _ in texts.values()),
        ]

    def of_verb(self, name: str) -> dict[str, Setting]:
        """Return what is said of the settings of a verb, by key.

        In one layer its own table holds above those that it inherits, and these above the keys of
        every verb; a higher layer holds above all of a lower one.

        Raises:
            UsageError: the text of a variable is no value of a flag.
        """
        found: dict[str, Setting] = {}
        for layer in self._layers:
            for key, parameter in self._keys[name].items():
                for table, inner in self._places(name, key):
                    given = layer.setting(table, inner, parameter)
                    if given is not None:
                        found[key] = given
        return found

    def _places(self, name: str, key: str) -> list[tuple[str, str]]:
        """Return the tables and keys in which a setting of a verb may stand, the weakest first."""
        places = [(EVERY_VERB, key)]
        for other in self._verbs[name].inherits:
            if other.verb not in self._keys:
                continue
            inherited = self._keys[other.verb]
            places += [(other.verb, k) for k in inherited if other.keys.get(k, k) == key]
        return [*places, (name, key)]

    def _layer(self, origin: str, folder: Path, table: Mapping[str, Any]) -> Layer:
        tables: dict[tuple[str, str], Setting] = {}
        for key, value in table.items():
            if key in self._keys:
                for inner, entry in value.items():
                    place = f"{origin}: [{key}] {inner}"
                    tables[key, inner] = Setting(entry, origin, place)
            else:
                tables[EVERY_VERB, key] = Setting(value, origin, f"{origin}: {key}")
        return Layer(tables, folder)
