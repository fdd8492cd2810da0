"""Settings in environment variables: ``SNNQUANT_KEY`` and ``SNNQUANT_VERB_KEY``."""

from __future__ import annotations

from collections.abc import Mapping

from snnquant.cli.configuration.keys import Keys
from snnquant.errors import UsageError
from snnquant.names import suggestion

PREFIX = "SNNQUANT_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
PRESET_VARIABLE = f"{PREFIX}PRESET"
#: Variables that are no settings of a verb. ISA is read by the custom-op library.
OTHERS = (CONFIG_VARIABLE, PRESET_VARIABLE, f"{PREFIX}DEBUG", f"{PREFIX}ISA")
#: Variables that only the tests read begin so.
_OF_TESTS = f"{PREFIX}TEST_"


def set_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that may be settings; an empty one is not set."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and name not in OTHERS
        and not name.startswith(_OF_TESTS)
        and value
    }


def variable_names(verbs: Mapping[str, Keys]) -> dict[str, tuple[str, str]]:
    """Return all variables that are settings: the verb, empty for every verb, and the key."""
    found = {_name(key): ("", key) for keys in verbs.values() for key in keys}
    for verb, keys in verbs.items():
        found |= {_name(verb, key): (verb, key) for key in keys}
    return found


def read_variables(
    variables: Mapping[str, str], verbs: Mapping[str, Keys]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what variables set: by verb and key, the name of the variable and its text.

    Raises:
        UsageError: a variable is no setting.
    """
    known = variable_names(verbs)
    for name in sorted(variables):
        if name not in known:
            close = suggestion(name, [*known, *OTHERS])
            remedy = close or "'snnquant config --schema' lists all keys; else unset it"
            raise UsageError(f"the environment variable {name} is no setting; {remedy}")
    return {known[name]: (name, variables[name]) for name in sorted(variables)}


def _name(*parts: str) -> str:
    return PREFIX + "_".join(parts).upper().replace("-", "_")
