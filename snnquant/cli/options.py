"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

model_argument = click.argument("model", type=PATH)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing but results, warnings and errors."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of ONNX Runtime. [default: its choice]"
)
batch_option = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Samples per batch.",
)
data_option = click.option(
    "--data",
    type=PATH,
    required=True,
    help="Samples: .npz with 'x' (N, ...) or (N, T, ...), and 'y' for labels; or .npy.",
)


def output_option(required: bool, default: str, help_text: str) -> Callable[[Command], Command]:
    """Return the -o option."""
    return click.option(
        "-o",
        "--output-file",
        "output_file",
        type=PATH,
        required=required,
        default=default or None,
        show_default=bool(default),
        help=help_text,
    )
