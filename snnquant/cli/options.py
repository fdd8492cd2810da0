"""Options that several verbs share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from snnquant.errors import UsageError
from snnquant.files import ensure_writable, is_special

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class DataPath(click.Path):
    """A path of samples, or ``module:callable`` that gives them."""

    def beside(self, value: str, folder: Path) -> str:
        """Return a path in a file of ``folder`` as a path from here; a callable as it is."""
        from snnquant.data.callable import CALLABLE

        return value if CALLABLE.recognises(Path(value), b"") else str(folder / value)


class NamedFile(click.ParamType):  # type: ignore[type-arg]
    """What the package ships by name, or a user's file.

    Args:
        names: gives the names that there are.
        suffix: of the files.
    """

    name = "text"

    def __init__(self, names: Callable[[], list[str]], suffix: str = ".toml") -> None:
        self._names = names
        self._suffix = suffix

    def beside(self, value: str, folder: Path) -> str:
        """Return a path in a file of ``folder`` as a path from here; a name as it is."""
        named = value in self._names() or not value.endswith(self._suffix)
        return value if named else str(folder / value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what help calls it."""
        return f"NAME|FILE{self._suffix}"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete names, then files."""
        names = [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class RealRange(click.FloatRange):
    """A range without NaN, which no comparison keeps out, and without infinity."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing but results, warnings and errors."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads of ONNX Runtime. [default: its choice]"
)
batch_option = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Samples per batch.",
)
SAMPLES_HELP = (
    "Samples: .npz with 'x' (N, ...) or (N, T, ...), and 'y' for labels; .npy; IDX; or event data."
)
samples_option = click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Use at most this many samples.",
)
DATA = DataPath(path_type=Path)
data_option = click.option("--data", type=DATA, required=True, help=SAMPLES_HELP)


calibration_option = click.option(
    "--calibration",
    type=PATH,
    default="calibration.json",
    show_default=True,
    help="Written by calibrate for this model.",
)


def _target_names() -> list[str]:
    from snnquant.target import target_names

    return target_names()


_TARGET = click.option(
    "--target",
    type=NamedFile(_target_names),
    default="generic",
    show_default=True,
    help="Arithmetic profile: generic, tianjic, or a .toml file.",
)
_WEIGHT_BITS = click.option(
    "--weight-bits", type=click.IntRange(2, 8), help="Width of weights. [default: the target's]"
)
_OTHERS = (
    click.option(
        "--input-bits",
        type=click.IntRange(2, 8),
        help="Width of analog inputs. [default: the target's]",
    ),
    click.option(
        "--per-channel/--per-tensor",
        default=None,
        help="One weight scale per output channel, or per layer. [default: the target's]",
    ),
)


def with_options(command: Callable[..., Any], options: Iterable[Callable[[Any], Any]]) -> Any:
    """Give a command options, which help lists in this order."""
    decorated: Any = command
    for option in reversed([*options]):
        decorated = option(decorated)
    return decorated


def options_of(command: click.Command, names: tuple[str, ...]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the named options of another one."""

    def decorate(function: Command) -> Command:
        held = {parameter.name: parameter for parameter in command.params}
        # Where click's own decorators keep parameters until there is a command, the last one first.
        kept = function.__dict__.setdefault("__click_params__", [])
        kept.extend(held[name] for name in reversed(names))
        return function

    return decorate


def width_options(command: Command) -> Command:
    """Give a command the options of how numbers become integers."""
    result: Command = with_options(command, (_TARGET, _WEIGHT_BITS, *_OTHERS))
    return result


def arithmetic_options(command: Command) -> Command:
    """Give a command the options of :func:`width_options` but for the width of weights."""
    result: Command = with_options(command, (_TARGET, *_OTHERS))
    return result


def output_option(default: str | None, help_text: str) -> Callable[[Command], Command]:
    """Return the -o option, which must be given if it has no default."""
    # To some versions of click a default of None is a value, and nothing is missing.
    presence: dict[str, Any] = {"default": default} if default else {"required": True}
    return click.option(
        "-o",
        "--output-file",
        "output_file",
        type=PATH,
        show_default=bool(default),
        help=help_text,
        **presence,
    )


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output before long work is done for it.

    Args:
        output: path of a file to write; others are written beside it.
        inputs: files that the verb reads.

    Raises:
        UsageError: it cannot be written, is no regular file, or would replace an input.
    """
    ensure_writable(output)
    if is_special(output):
        raise UsageError(
            f"{output} is no regular file, and a second file goes beside it; choose another path"
        )
    for given in inputs:
        if os.path.realpath(given) == os.path.realpath(output):
            raise UsageError(f"{output} would replace the input {given}; choose another path")
