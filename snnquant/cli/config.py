"""``snnquant config``."""

from __future__ import annotations

from typing import Any

import click

from snnquant.cli.configuration.files import preset_names, preset_summary
from snnquant.cli.configuration.load import Given, all_keys, configured_verbs
from snnquant.cli.configuration.schema import default_of, settings_schema
from snnquant.cli.console import Speaker, add_row, new_table
from snnquant.cli.console import document as console_document
from snnquant.cli.group import VerbCommand, load_command
from snnquant.cli.options import json_option, quiet_option
from snnquant.errors import UsageError
from snnquant.files import file_record
from snnquant.schemas import document_names, document_schema

_DEFAULT = "default"


@click.command(cls=VerbCommand)
@click.argument(
    "verbs", nargs=-1, type=click.Choice([verb.name for verb in configured_verbs()]), metavar="VERB"
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of configuration files.")
@click.option(
    "--document",
    type=click.Choice(document_names()),
    metavar="NAME",
    help="Print the JSON Schema of what a verb prints or writes: of the document that says NAME "
    "at 'schema', such as snnquant.eval/1.",
)
@click.option("--presets", is_flag=True, help="List the presets that come with snnquant.")
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    verbs: tuple[str, ...],
    schema: bool,
    document: str | None,
    presets: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show the settings of every VERB, or of all, and where each value comes from.

    Settings are, each above the one before: defaults, presets, [tool.snnquant] in pyproject.toml,
    snnquant.toml, SNNQUANT_ variables, flags. A key is the long name of an option; it holds for
    every verb that has the option, or for one in the table of the verb. MODEL is called model, and
    the option --model is called factory.

    \b
    snnquant config
    snnquant config convert eval --json
    snnquant config --presets
    snnquant config --schema > snnquant.schema.json
    snnquant config --document snnquant.eval/1
    snnquant --preset ci config eval
    """  # noqa: D301
    speaker = Speaker(quiet)
    if sum((schema, presets, document is not None)) > 1:
        raise UsageError("--schema, --document and --presets are answers of their own; give one")
    if document is not None:
        speaker.json(document_schema(document))
    elif schema:
        speaker.json(settings_schema(all_keys(load_command)))
    elif presets:
        _show_presets(speaker, as_json)
    else:
        given = context.find_object(Given) or Given(None, False, ())
        _show_settings(speaker, given, verbs, as_json)


def _show_presets(speaker: Speaker, as_json: bool) -> None:
    found = {name: preset_summary(name) for name in preset_names()}
    if as_json:
        speaker.json(console_document("config", inputs={}, config={}, metrics={}, presets=found))
        return
    for name, summary in found.items():
        speaker.result(f"{name:12} {summary}")


def _show_settings(speaker: Speaker, given: Given, verbs: tuple[str, ...], as_json: bool) -> None:
    keys = all_keys(load_command)
    configuration = given.load(load_command)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for verb in configured_verbs():
        if verbs and verb.name not in verbs:
            continue
        settings = {} if configuration is None else configuration.of_verb(verb.name)
        found[verb.name] = {
            key: {"value": settings[key].value, "origin": settings[key].origin}
            if key in settings
            else {"value": default_of(parameter), "origin": _DEFAULT}
            for key, parameter in keys[verb.name].items()
        }
    files = [] if configuration is None else configuration.files
    if as_json:
        inputs = {str(path): file_record(path) for path in files}
        speaker.json(
            console_document(
                "config",
                inputs=inputs,
                config={},
                metrics={},
                sources=[] if configuration is None else configuration.sources,
                settings=found,
            )
        )
        return
    if configuration is None:
        speaker.say("nothing is configured: these are the defaults")
    for name, settings_of in found.items():
        table = new_table(f"[{name}]", "value", "from", texts=3)
        for key, entry in settings_of.items():
            value = entry["value"]
            add_row(table, key, "-" if value is None else _word(value), entry["origin"])
        speaker.table(table)
        speaker.result("")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
