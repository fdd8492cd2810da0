"""Where a float model comes from: MODEL, and the options beside it that every verb shares."""

from __future__ import annotations

import functools
import hashlib
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import onnx_ir as ir

from snnquant.cli.group import GroupedOption
from snnquant.cli.options import PATH, Command, with_options
from snnquant.errors import UsageError
from snnquant.files import sha256_of
from snnquant.frontends import Reading, SourceOptions, canonical_graph, read_source

_option = functools.partial(click.option, cls=GroupedOption, group="Options of the float model")


def _shape(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Return the sizes in a text such as ``1,1,8,8``, each at least 1."""
    if value is None:
        return None
    try:
        sizes = tuple(int(size) for size in value.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise click.BadParameter(f"'{value}' is no shape; give sizes such as 1,1,8,8.")
    return sizes


@dataclass(frozen=True)
class Source:
    """A float model as the command line was given it.

    Attributes:
        path: MODEL: a model file, or the checkpoint of what ``--model`` builds; None: not given.
        options: what is said beside it.
    """

    path: Path | None
    options: SourceOptions

    def __str__(self) -> str:
        """Return what a person calls it."""
        return " ".join(str(part) for part in (self.options.factory, *self.files) if part)

    @property
    def label(self) -> str:
        """Short name for files about it."""
        return self.files[0].name if self.files else str(self)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that are read."""
        return tuple(path for path in (self.path, self.options.checkpoint) if path is not None)

    def settings(self) -> dict[str, Any]:
        """Return the options that were given, for the echo of the settings."""
        shown = asdict(self.options) | {"factory": None, "checkpoint": None}
        if self.options.input_shape:
            shown["input_shape"] = ",".join(map(str, self.options.input_shape))
        return {name: value for name, value in shown.items() if value is not None}

    def flags(self) -> str:
        """Return the options that build it from a factory, as they are typed."""
        given = {"model": self.options.factory, "checkpoint": self.options.checkpoint or self.path}
        return " ".join(
            f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in (given | self.settings()).items()
            if value is not None
        )

    def read(self) -> Reading:
        """Read it; a second call returns the same.

        Raises:
            UsageError: MODEL is missing, or options contradict each other.
            ModelError: it cannot be read.
        """
        return self._reading

    def graph(self) -> ir.Model:
        """Return its canonical graph, which nobody may change; errors are also those of read().

        Raises:
            UsageError: it is an integer model.
            ModelError: a pass refuses it.
        """
        return self._graph

    @cached_property
    def _graph(self) -> ir.Model:
        return canonical_graph(self.read(), str(self))

    @cached_property
    def _reading(self) -> Reading:
        path, options = self.path, self.options
        if options.factory is None:
            if path is None:
                raise UsageError("give MODEL, or --model package.module:factory")
            if options.checkpoint is not None:
                raise UsageError(
                    "--checkpoint is of the module that --model package.module:factory builds; "
                    "give --model too"
                )
            return read_source(path, options)
        if path is not None:
            if options.checkpoint is not None:
                raise UsageError(
                    f"--model builds the model, so that {path} and --checkpoint "
                    f"{options.checkpoint} are two checkpoints; give one"
                )
            options = replace(options, checkpoint=path)
        return read_source(None, options)

    def sha256(self) -> str:
        """Return the hash that results are bound to: of the file, else of the exported graph."""
        if self.files:
            return sha256_of(self.files[0])
        return hashlib.sha256(self.read().model.SerializeToString(deterministic=True)).hexdigest()

    def record(self, sha256: str) -> dict[str, Any]:
        """Return what reports say of it: path, hash, and the options that were given."""
        given = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.options).items()
            if value is not None
        }
        path = str(self.files[0] if self.files else self)
        return {"path": path, "sha256": sha256} | ({"options": given} if given else {})


def source_of(record: Any) -> Source:
    """Return what a report's record says of a source.

    Raises:
        KeyError, TypeError, ValueError: it is no record.
    """
    options = dict(record.get("options", {}))
    if "checkpoint" in options:
        options["checkpoint"] = Path(options["checkpoint"])
    if options.get("input_shape") is not None:
        options["input_shape"] = tuple(map(int, options["input_shape"]))
    path = Path(str(record["path"])) if record["path"] else None
    return Source(None if path == options.get("checkpoint") else path, SourceOptions(**options))


#: MODEL, and one option per field of :class:`SourceOptions`, of the field's name.
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("model", type=PATH, required=False),
    _option(
        "--model",
        "factory",
        metavar="MODULE:FACTORY",
        help="Build a torch model: package.module:factory; MODEL is then its checkpoint.",
    ),
    _option(
        "--checkpoint",
        type=PATH,
        help="Weights for --model: .pt, .pth or .safetensors.",
    ),
    _option(
        "--input-shape",
        metavar="SIZES",
        callback=_shape,
        help="One input of the torch model, batch included: 1,1,8,8.",
    ),
    _option(
        "--timesteps",
        type=click.IntRange(min=1),
        help="Steps T, where the source does not tell; samples of another T are refused.",
    ),
    _option(
        "--time-axis",
        type=click.IntRange(0, 1),
        help="Axis of time in the input of a torch or NIR model; 0 for an ONNX graph of a single "
        "step, with --timesteps. [default: 0 for NIR; else none, the input is static]",
    ),
    _option(
        "--dt",
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds per step, for NIR.",
    ),
    _option(
        "--reset",
        type=click.Choice(("hard", "soft")),
        help="What a spike does to the membrane, for NIR.",
    ),
    _option(
        "--discretize",
        type=click.Choice(("euler", "exp")),
        help="How equations in time become steps, for NIR.",
    ),
)


def source_options(command: Command) -> Command:
    """Give a command MODEL and the source options; it gets them as ``source``."""

    @functools.wraps(command)
    def with_source(
        *,
        model: Path | None,
        **given: Any,
    ) -> Any:
        options = {entry.name: given.pop(entry.name) for entry in fields(SourceOptions)}
        return command(source=Source(model, SourceOptions(**options)), **given)

    result: Command = with_options(with_source, _OPTIONS)
    return result
