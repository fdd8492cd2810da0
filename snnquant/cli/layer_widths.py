"""Widths of single layers: the options ``--layer`` and ``--layers``, and what a file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from snnquant.cli.options import PATH, Command, with_options
from snnquant.errors import UsageError
from snnquant.files import read_json
from snnquant.lowering.layer_options import LayerOptions
from snnquant.schemas import schema_name

_STATE = "state:"
#: Far more than the widths of many layers.
_MAX_BYTES = 1 << 26

layer_option = click.option(
    "--layer",
    multiple=True,
    metavar="NAME=BITS|NAME=state:BITS",
    help="The width of the weights, or states, of one layer; may be repeated.",
)
_OPTIONS = (
    layer_option,
    click.option(
        "--layers",
        type=PATH,
        help="Widths of single layers as tune wrote them; --layer holds above it. [default: none]",
    ),
)


def layer_options(command: Command) -> Command:
    """Give a command the options of the widths of single layers: ``layer`` and ``layers``."""
    result: Command = with_options(command, _OPTIONS)
    return result


def layer_widths(texts: Iterable[str], file: Path | None = None) -> dict[str, LayerOptions]:
    """Return what the options say, by name of the layer.

    Args:
        texts: of ``--layer``.
        file: of ``--layers``; None: not given.

    Raises:
        UsageError: a text or the file says no width.
    """
    found = {} if file is None else read_layers(file)
    for text in texts:
        name, chosen = _parsed(text)
        found[name] = found.get(name, LayerOptions()).with_other(chosen)
    return found


def layer_words(layers: Mapping[str, LayerOptions]) -> str:
    """Return widths as ``--layer`` takes them, separated by spaces."""
    words = []
    for name, chosen in layers.items():
        if chosen.weight_bits is not None:
            words.append(f"{name}={chosen.weight_bits}")
        if chosen.state_bits is not None:
            words.append(f"{name}={_STATE}{chosen.state_bits}")
    return " ".join(words)


def read_layers(path: Path) -> dict[str, LayerOptions]:
    """Return the widths in a file that tune wrote.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        document = read_json(path, "widths of layers", _MAX_BYTES)
        if document["schema"] != schema_name("tune"):
            raise ValueError(f"its schema is {document['schema']!r}")  # noqa: TRY301
        found: dict[str, LayerOptions] = {}
        for entry in document["layers"]:
            name = str(entry["name"])
            found[name] = found.get(name, LayerOptions()).with_other(_chosen(entry))
        if all(chosen == LayerOptions() for chosen in found.values()):
            raise UsageError(
                f"--layers {path}: tune chose no widths there; run it with --budget or --max-drop"
            )
        return found  # noqa: TRY300
    except OSError as error:
        raise UsageError(f"--layers {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--layers {path}: no file of tune ({error}); give what 'snnquant tune' wrote"
        ) from error


def _chosen(entry: Mapping[str, Any]) -> LayerOptions:
    """Return the widths that an entry of a file holds."""
    held = [entry.get(key) for key in ("weight_bits", "state_bits")]
    if any(bits is not None and type(bits) is not int for bits in held):
        raise ValueError(f"the widths of {entry['name']!r} are no integers")
    return LayerOptions(*held)


def _parsed(text: str) -> tuple[str, LayerOptions]:
    """Return the name and the width in a text such as ``conv1=4`` or ``lif1=state:16``."""
    name, _, width = text.rpartition("=")
    of_state = width.startswith(_STATE)
    digits = width.removeprefix(_STATE)
    if not name or not (digits.isascii() and digits.isdigit() and len(digits) < 4):
        raise UsageError(
            f"--layer {text}: give NAME=BITS for weights, or NAME={_STATE}BITS for states"
        )
    bits = int(digits)
    return name, LayerOptions(state_bits=bits) if of_state else LayerOptions(weight_bits=bits)
