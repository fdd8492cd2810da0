"""The group of all verbs: found late, completed in a shell, given what is configured."""

from __future__ import annotations

import importlib
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from snnquant.cli import VERBS, Verb
from snnquant.cli.configuration.load import Given, default_map
from snnquant.errors import UsageError
from snnquant.names import suggestion

HELP_FLAGS = ("-h", "--help")


def load_command(verb: Verb) -> click.Command:
    """Import and return the command of a verb."""
    command: click.Command = importlib.import_module(verb.module).command
    return command


class LazyGroup(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the list."""
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb's command."""
        verb = _verb(cmd_name)
        return None if verb is None else load_command(verb)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that is called, and give it what is configured."""
        verb = _verb(args[0])
        if verb is None and not ctx.resilient_parsing and not args[0].startswith("-"):
            close = suggestion(args[0], self.list_commands(ctx)) or "'snnquant --help' lists all."
            ctx.fail(f"There is no verb '{args[0]}'; {close}")
        found = super().resolve_command(ctx, args)
        if verb is None or ctx.resilient_parsing:
            return found
        if ctx.params["no_config"] and _is_flag(ctx, "config_file"):
            raise UsageError("--config and --no-config contradict each other; give one")
        file, ignore, presets = map(ctx.params.get, ("config_file", "no_config", "presets"))
        ctx.obj = given = Given(file, bool(ignore), presets or ())
        if verb.takes_settings:
            try:
                ctx.default_map = {verb.name: default_map(given, verb, load_command)}
            except UsageError:
                # Help must come also where the configuration is what one needs help with.
                if not set(HELP_FLAGS) & set(args):
                    raise
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs without importing them, and the group's own options."""
        verbs = [
            CompletionItem(verb.name, help=verb.summary)
            for verb in VERBS
            if verb.name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.summary) for verb in VERBS])


class GroupedOption(click.Option):
    """An option that help lists under a heading, with others about the same.

    Args:
        group: the heading.
    """

    def __init__(self, *declarations: Any, group: str, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.group = group


class VerbCommand(click.Command):
    """A command whose help lists its options by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options without a group, then each group under its heading."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _is_flag(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _verb(name: str) -> Verb | None:
    return next((verb for verb in VERBS if verb.name == name), None)
