"""The entry point: finds the verb, and turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from snnquant import __version__
from snnquant.cli import VERBS
from snnquant.errors import INTERRUPTED_EXIT_CODE, SnnquantError


class _LazyGroup(click.Group):
    """A group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the list."""
        return [verb.name for verb in VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb's command."""
        for verb in VERBS:
            if verb.name == cmd_name:
                command: click.Command = importlib.import_module(verb.module).command
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.summary) for verb in VERBS])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="snnquant")
def cli() -> None:
    r"""Take a trained spiking neural network to exact integers.

    \b
    snnquant calibrate net.onnx --data train.npz -o calibration.json
    snnquant convert   net.onnx --calibration calibration.json -o net.int.onnx
    snnquant eval      net.int.onnx --data test.npz --reference net.onnx

    Exit codes: 0 ok, 1 internal error, 2 usage, 3 model or data unreadable or unsupported, 4 a
    gate failed, 5 numerical refusal, 6 calibration of something else, 7 custom-op library,
    130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="snnquant",
            standalone_mode=False,
        )
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        _say("interrupted; outputs that existed are as they were")
        return INTERRUPTED_EXIT_CODE
    except SnnquantError as error:
        _say(f"error: {_one_line(str(error))}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of stdout went away; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        _say("error: out of memory; use a smaller --batch-size")
        return 1
    except Exception as error:  # the last resort: no traceback for users
        if os.environ.get("SNNQUANT_DEBUG"):
            traceback.print_exc()
        kind = type(error).__name__
        _say(f"internal error: {kind}: {_one_line(str(error))}; set SNNQUANT_DEBUG=1 for details")
        return 1
    return result if isinstance(result, int) else 0


def _one_line(text: str) -> str:
    """Return a message on one line, without control characters from file names."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _say(text: str) -> None:
    click.echo(text, err=True)
