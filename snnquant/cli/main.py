"""The entry point: finds the verb, and turns every error into one line and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from snnquant import __version__
from snnquant.cli.configuration.environment import CONFIG_VARIABLE
from snnquant.cli.configuration.files import preset_names
from snnquant.cli.configuration.load import origin_of
from snnquant.cli.group import HELP_FLAGS, LazyGroup
from snnquant.cli.options import PATH, NamedFile
from snnquant.cli.printable import printable
from snnquant.errors import INTERRUPTED_EXIT_CODE, SnnquantError, UsageError


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": list(HELP_FLAGS)},
    invoke_without_command=True,
)
@click.option(
    "--config",
    "config_file",
    type=PATH,
    metavar="FILE",
    envvar=CONFIG_VARIABLE,
    help="Take settings from this file instead of those that are found.",
)
@click.option("--no-config", is_flag=True, help="Take no settings from files.")
@click.option(
    "--preset",
    "presets",
    type=NamedFile(preset_names),
    multiple=True,
    help="Start from a shipped preset or a file; may be given again.",
)
@click.version_option(__version__, prog_name="snnquant")
@click.pass_context
def cli(context: click.Context, /, **_configuration: Any) -> int | None:
    """Take a trained spiking neural network to exact integers.

    \b
    snnquant calibrate net.onnx --data train.npz -o calibration.json
    snnquant convert   net.onnx --calibration calibration.json -o net.int.onnx
    snnquant eval      net.int.onnx --data test.npz --reference net.onnx

    Settings may stand in snnquant.toml or in [tool.snnquant] of pyproject.toml, here or in a
    folder above, and in SNNQUANT_ variables; flags win. 'snnquant config' shows what holds.

    Exit codes: 0 ok, 1 internal error, 2 usage, 3 model or data unreadable or unsupported, 4 a
    gate failed, 5 numerical refusal, 6 calibration of something else, 7 custom-op library,
    130 interrupted.
    """  # noqa: D301
    if context.invoked_subcommand is not None:
        return None
    click.echo(context.get_help(), err=True)
    return UsageError.exit_code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _open_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal cannot show is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    if not os.environ.get("SNNQUANT_DEBUG"):
        # What libraries log about a bad model is said again, in one line, by our own error.
        logging.getLogger().addHandler(logging.NullHandler())
    sys.exit(run(arguments))


def _open_streams() -> None:
    """Give what was started with closed streams others, or the next files would take their place.

    A file that is opened as number 1 or 2 gets what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # noqa: PERF203 - each has its own verdict
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="snnquant",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        verb = getattr(getattr(error, "ctx", None), "command_path", "snnquant")
        said = error.format_message()
        end = "" if said.endswith((".", "?", "?)")) else "."
        _say(f"error: {said}{end}{origin_of(error)} See '{verb} --help'.")
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        _say("interrupted; outputs that existed are as they were")
        return INTERRUPTED_EXIT_CODE
    except SnnquantError as error:
        _say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of stdout went away; there is nobody left to tell.
        _discard_stdout()
        return 0
    except MemoryError:
        _say("error: out of memory; use a smaller --batch-size")
        return 1
    except OSError as error:
        if error.filename is not None:
            return _internal(error)
        # Writing files has errors of its own, so this is stdout.
        _discard_stdout()
        _say(f"error: cannot write to stdout: {error.strerror}; redirect it elsewhere")
        return UsageError.exit_code
    except Exception as error:  # the last resort: no traceback for users
        return _internal(error)
    return result if isinstance(result, int) else 0


def _internal(error: Exception) -> int:
    """Tell what only a bug can cause."""
    if os.environ.get("SNNQUANT_DEBUG"):
        traceback.print_exc()
    kind = type(error).__name__
    _say(f"internal error: {kind}: {error}; set SNNQUANT_DEBUG=1 for details")
    return 1


def _discard_stdout() -> None:
    """Let the interpreter flush what is left to nowhere, without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the exit code says it too
        click.echo(printable(" ".join(text.split())), err=True)
