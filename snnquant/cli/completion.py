"""``snnquant completion``."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class

from snnquant.cli.group import VerbCommand
from snnquant.cli.options import quiet_option
from snnquant.errors import UsageError

_PROGRAM = "snnquant"
#: By which the script asks the program; click looks for it under this name.
_VARIABLE = "_SNNQUANT_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=VerbCommand)
@click.argument("shell", type=click.Choice(_SHELLS))
@quiet_option
@click.pass_context
def command(context: click.Context, shell: str, quiet: bool) -> None:
    """Print the script with which SHELL completes verbs, options, choices and file names.

    SHELL is bash (from 4.4), zsh or fish. Let it read the script when it starts:

    \b
    snnquant completion bash >> ~/.bashrc
    snnquant completion zsh >> ~/.zshrc
    snnquant completion fish > ~/.config/fish/completions/snnquant.fish
    """  # noqa: D301
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"this version of click completes nothing in {shell}; install a newer one")
    root = context.find_root().command
    sys.stdout.write(found(root, {}, _PROGRAM, _VARIABLE).source().rstrip() + "\n")
