"""Which parameters of a command are settings, and by what key a file names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

#: Arguments that are settings; the two files of diff are others at every call.
_ARGUMENTS = frozenset({"model"})
#: What each parameter of a verb is called in a table, by verb.
Keys = Mapping[str, click.Parameter]


def keys_of(command: click.Command) -> dict[str, click.Parameter]:
    """Return the settings of a command: its parameters by key, in its order.

    A key is the long name of an option without dashes, or the name of an argument that may stay
    the same from call to call. An option whose long name such an argument has already goes by the
    name of its parameter.
    """
    arguments = {
        p.name: p for p in command.params if isinstance(p, click.Argument) and p.name in _ARGUMENTS
    }
    found: dict[str, click.Parameter] = {_dashes(name): p for name, p in arguments.items()}
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.is_eager or not parameter.name:
            continue
        long = [name[2:] for name in parameter.opts if name.startswith("--")]
        key = long[0] if long else parameter.name
        found[_dashes(parameter.name if key in arguments else key)] = parameter
    return found


def opposites(keys: Keys) -> dict[str, str]:
    """Return the names that switch a setting off, each with the key that it is said by."""
    return {
        name.lstrip("-"): key
        for key, parameter in keys.items()
        for name in parameter.secondary_opts
    }


def canonical_keys(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a table by their canonical form, with dashes for underscores.

    Raises:
        ValueError: two keys are the same; the message says which.
    """
    found: dict[str, str] = {}
    for key in table:
        if _dashes(key) in found:
            raise ValueError(f"'{key}' and '{found[_dashes(key)]}' are one key; keep one")
        found[_dashes(key)] = key
    return found


def beside(parameter: click.Parameter, value: Any, folder: Path) -> Any:
    """Return a value as it is meant in a file of a folder: relative paths begin there."""
    if isinstance(value, list):
        return [beside(parameter, entry, folder) for entry in value]
    if not isinstance(value, str):
        return value
    located: Callable[[str, Path], str] | None = getattr(parameter.type, "beside", None)
    if located is not None:
        return located(value, folder)
    return str(folder / value) if isinstance(parameter.type, click.Path) else value


def from_text(parameter: click.Parameter, text: str) -> Any:
    """Return the value that click makes of the text of an environment variable.

    Raises:
        click.BadParameter: the text is no value of a flag.
    """
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return click.BOOL.convert(text, parameter, None)
    if parameter.multiple or parameter.nargs != 1:
        return list(parameter.type.split_envvar_value(text))
    return text


def _dashes(name: str) -> str:
    return name.replace("_", "-")
