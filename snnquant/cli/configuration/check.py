"""Is a configuration what its schema says? If not: one line with the place and the remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from snnquant.cli.configuration.keys import Keys, canonical_keys, opposites
from snnquant.cli.configuration.schema import settings_schema, wanted
from snnquant.errors import UsageError
from snnquant.names import suggestion

_ASK = "'snnquant config --schema' lists all"
#: What TOML must be able to hold; beyond, numbers are no settings, and too long to print.
_LARGEST = 2**63


class Checker:
    """The settings that there are, to check files against.

    Args:
        verbs: the settings of every verb, by name.
    """

    def __init__(self, verbs: Mapping[str, Keys]) -> None:
        self._verbs = verbs
        self._validator = Draft202012Validator(settings_schema(verbs))

    def check(self, where: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return a table with canonical keys.

        Args:
            where: what the table is from, for messages.
            table: of TOML.

        Raises:
            UsageError: a key or table is unknown or given twice, or a value is wrong.
        """
        _refuse_numbers(where, table)
        found = self._canonical(where, "", table)
        for verb in self._verbs.keys() & found.keys():
            if isinstance(found[verb], Mapping):
                found[verb] = self._canonical(f"{where}: [{verb}]", verb, found[verb])
        for error in sorted(self._validator.iter_errors(found), key=_place):
            raise UsageError(f"{where}: {self._message(error)}")
        return found

    def _canonical(self, where: str, verb: str, table: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {key: table[written] for key, written in canonical_keys(table).items()}
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from error

    def _message(self, error: ValidationError) -> str:
        path = [str(part) for part in error.absolute_path]
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            unknown = min(set(error.instance) - set(known))
            table = isinstance(error.instance[unknown], Mapping)
            return self._unknown(path[0] if path else "", unknown, known, table)
        name = f"[{path[0]}] {'.'.join(path[1:])}" if path[0] in self._verbs else ".".join(path)
        value = error.instance
        shown = "a table" if isinstance(value, Mapping) else _as_toml(value)
        return f"{name.strip()} is {shown}; give {wanted(error.schema)}"

    def _unknown(self, verb: str, key: str, known: Mapping[str, Any], is_table: bool) -> str:
        """Say that a key is unknown, and what was meant."""
        if verb:
            off = opposites(self._verbs[verb])
            if key in off:
                return f"[{verb}] has no key '{key}'; write {off[key]} = false"
            close = suggestion(key, known)
            having = [f"[{name}]" for name, keys in self._verbs.items() if key in keys]
            if not close and having:
                return f"[{verb}] has no key '{key}'; it belongs in {' or '.join(having)}"
            return f"[{verb}] has no key '{key}'; {close or _ASK}"
        if is_table:
            close = suggestion(key, self._verbs)
            return f"there is no verb for the table [{key}]; {close or _ASK}"
        off = {name: on for keys in self._verbs.values() for name, on in opposites(keys).items()}
        if key in off:
            return f"no verb has a key '{key}'; write {off[key]} = false"
        return f"no verb has a key '{key}'; {suggestion(key, known) or _ASK}"


def _refuse_numbers(where: str, table: Mapping[str, Any]) -> None:
    """Refuse numbers that no option takes, and neither JSON nor a message shows."""
    pending: list[tuple[str, Any]] = [("", table)]
    while pending:
        name, entry = pending.pop()
        if isinstance(entry, Mapping):
            table_name = f"[{name}] " if name else ""
            pending.extend((f"{table_name}{key}", value) for key, value in entry.items())
        elif isinstance(entry, list):
            pending.extend((name, value) for value in entry)
        elif isinstance(entry, int) and not -_LARGEST <= entry < _LARGEST:
            raise UsageError(f"{where}: an integer has more than 64 bits; give a smaller one")
        elif isinstance(entry, float) and not math.isfinite(entry):
            raise UsageError(f"{where}: {name} is {entry}; give a finite number")


def _place(error: ValidationError) -> list[str]:
    return [str(part) for part in error.absolute_path]


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (str, int, float, list)) else str(value)
