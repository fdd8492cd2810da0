"""The JSON Schema of the settings, made from the options of the verbs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from snnquant.cli.configuration.keys import Keys

SETTINGS_SCHEMA = "snnquant.settings/1"
PRESET_KEY = "preset"
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
_PRESETS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "description": "Presets to start from, by name or file; the last one wins.",
}


def settings_schema(verbs: Mapping[str, Keys]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file.

    Args:
        verbs: the settings of every verb, by name.
    """
    everywhere: dict[str, list[dict[str, Any]]] = {}
    tables = {}
    for verb, keys in verbs.items():
        described = {key: _of_parameter(parameter) for key, parameter in keys.items()}
        tables[verb] = {
            "type": "object",
            "description": f"Settings of 'snnquant {verb}'.",
            "properties": described,
            "additionalProperties": False,
        }
        for key, schema in described.items():
            if schema not in everywhere.setdefault(key, []):
                everywhere[key].append(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SETTINGS_SCHEMA,
        "title": "Settings of snnquant",
        "description": "Keys outside of a table are settings of every verb that has them.",
        "type": "object",
        "properties": {
            PRESET_KEY: _PRESETS,
            **{key: _any_of(schemas) for key, schemas in everywhere.items()},
            **tables,
        },
        "additionalProperties": False,
    }


def wanted(schema: Mapping[str, Any]) -> str:
    """Say in words what a schema takes: ``an integer, at least 2, at most 8``."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(wanted(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    name = {
        "integer": "an integer",
        "number": "a number",
        "boolean": "true or false",
        "string": "a text",
        "object": "a table",
    }
    kind = schema.get("type", "")
    if kind == "array":
        return f"a list, each {wanted(schema['items'])}"
    bounds = [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([name[kind], *bounds])


def _of_parameter(parameter: click.Parameter) -> dict[str, Any]:
    schema = _of_type(parameter.type)
    if parameter.multiple or parameter.nargs != 1:
        schema = {"type": "array", "items": schema}
        if parameter.nargs > 1 and not parameter.multiple:
            schema |= {"minItems": parameter.nargs, "maxItems": parameter.nargs}
    help_text = getattr(parameter, "help", None)
    if help_text:
        schema["description"] = " ".join(help_text.split())
    if parameter.secondary_opts:
        schema["description"] = f"{help_text or ''} false: {parameter.secondary_opts[0]}.".strip()
    default = default_of(parameter)
    return schema if default is None else schema | {"default": default}


def default_of(parameter: click.Parameter) -> Any:
    """Return what a parameter is when nobody says anything; None: nothing."""
    value = parameter.get_default(click.Context(click.Command("")))
    if isinstance(value, tuple):
        value = list(value)
    # What marks an absent default differs between versions of click.
    return value if isinstance(value, (bool, int, float, str, list)) else None


def _of_type(kind: click.ParamType[Any]) -> dict[str, Any]:
    if isinstance(kind, click.Choice):
        return {"type": "string", "enum": [str(choice) for choice in kind.choices]}
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        schema: dict[str, Any] = {
            "type": "integer" if isinstance(kind, click.IntRange) else "number"
        }
        for name, bound, is_open in (
            ("Minimum", kind.min, kind.min_open),
            ("Maximum", kind.max, kind.max_open),
        ):
            if bound is not None:
                schema[f"exclusive{name}" if is_open else name.lower()] = bound
        return schema
    if isinstance(kind, type(click.INT)):
        return {"type": "integer"}
    if isinstance(kind, type(click.FLOAT)):
        return {"type": "number"}
    if isinstance(kind, type(click.BOOL)):
        return {"type": "boolean"}
    return {"type": "string"}


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
