"""Targets: what hardware does to the same equations, as data.

A target never changes an equation. It gives widths, roundings and what is allowed; each is a file
in ``snnquant/targets`` or a path that the user gives.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy.typing as npt

from snnquant.errors import UsageError
from snnquant.neurons import Reset
from snnquant.numerics import IntArray, IntRange, Rounding, quantize_multiplier, quantize_shift
from snnquant.rounding.weight_grid import GRIDS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its name before 3.11
    import tomli as tomllib

#: What decides the integers of a decay, by the name of the form.
LEAK_FORMS = {"multiplier": quantize_multiplier, "shift": quantize_shift}

_FOLDER = Path(__file__).parent / "targets"
_MAX_FILE_BYTES = 65536


@dataclass(frozen=True)
class Target:
    """One arithmetic profile.

    Attributes:
        name: what ``--target`` takes.
        description: one line for people.
        weight_bits, weight_bits_allowed: default and accepted widths of weights.
        weight_grid: how the scales of weights are chosen, one of
            :data:`~snnquant.rounding.weight_grid.GRIDS`.
        weight_gains: weights of one synapse may be multiplied by a power of two.
        per_channel: one weight scale per output channel by default.
        input_bits: default width of analog inputs.
        input_observer: default calibration method for analog inputs.
        state_bits: width at which states saturate.
        fraction_bits: the largest constant gets at least this many bits, by a membrane scale that
            is a power of two finer than the weights'; 0: always the weights' own scale.
        leak_shift, leak_rounding: decays are ``k / 2**leak_shift``, rounded so.
        leak_form: "multiplier" (every ``k``), or "shift" (``1 - 2**-s`` only: with rounding "ceil"
            it is ``v - (v >> s)``).
        threshold: "exact" (two integers) or "rounded" (one for comparing and subtracting).
        resets, reset_after_leak, max_spikes, max_refractory_steps: what the neurons may use.
    """

    name: str
    description: str
    weight_bits: int
    weight_bits_allowed: tuple[int, ...]
    weight_grid: str
    weight_gains: bool
    per_channel: bool
    input_bits: int
    input_observer: str
    state_bits: int
    fraction_bits: int
    leak_shift: int
    leak_rounding: Rounding
    leak_form: str
    threshold: str
    resets: tuple[Reset, ...]
    reset_after_leak: bool
    max_spikes: int
    max_refractory_steps: int

    @property
    def state_range(self) -> IntRange:
        """Integers that a state can hold."""
        return IntRange.signed(self.state_bits)

    def decay(self, alpha: npt.ArrayLike, what: str = "alpha") -> IntArray:
        """Return ``k`` of the best ``k / 2**leak_shift`` that the target has for a decay."""
        return LEAK_FORMS[self.leak_form](alpha, self.leak_shift, what)


def target_names() -> list[str]:
    """Return the names of the shipped targets, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_target(name: str) -> Target:
    """Return a shipped target by name, or one from a TOML file by path.

    Raises:
        UsageError: no such target, unreadable file, or a key that is missing, unknown or wrong.
    """
    path = _FOLDER / f"{name}.toml" if name in target_names() else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        known = ", ".join(target_names())
        raise UsageError(f"unknown target '{name}'; use one of {known}, or a path to a .toml file")
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UsageError(f"target file {path} is larger than {_MAX_FILE_BYTES} bytes")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"target file {path} cannot be read: {error}") from error
    return parse_target(path, table)


def target_table(target: Target) -> dict[str, Any]:
    """Return a target as the table that its file would hold."""
    table = {f.name: getattr(target, f.name) for f in fields(Target) if f.name != "name"}
    table["leak_rounding"] = target.leak_rounding.name.lower()
    table["resets"] = [reset.name.lower() for reset in target.resets]
    table["weight_bits_allowed"] = list(target.weight_bits_allowed)
    return table


def parse_target(path: Path, table: dict[str, Any]) -> Target:
    """Return the target that a table describes; its name is the stem of ``path``.

    Raises:
        UsageError: a key is missing, unknown or wrong.
    """
    wanted = {field.name for field in fields(Target)} - {"name"}
    if wrong := sorted(set(table) ^ wanted):
        kind = "misses" if wrong[0] in wanted else "has the unknown key"
        raise UsageError(f"target file {path} {kind} '{wrong[0]}'; see targets/generic.toml")
    values = dict(table)
    for key, low, high in (
        ("weight_bits", 2, 8),
        ("input_bits", 2, 8),
        ("state_bits", 8, 32),
        ("fraction_bits", 0, 24),
        ("leak_shift", 0, 16),
        ("max_spikes", 1, 255),
        ("max_refractory_steps", 0, 2**31 - 1),
    ):
        value = values[key]
        if type(value) is not int or not low <= value <= high:
            raise UsageError(f"target file {path}: {key} is {value!r}, must be {low}..{high}")
    for key, allowed in (
        ("weight_grid", set(GRIDS)),
        ("leak_form", set(LEAK_FORMS)),
        ("threshold", {"exact", "rounded"}),
        ("weight_gains", {True, False}),
        ("per_channel", {True, False}),
        ("reset_after_leak", {True, False}),
        ("leak_rounding", {r.name.lower() for r in Rounding}),
    ):
        if not isinstance(values[key], (str, bool)) or values[key] not in allowed:
            choices = ", ".join(sorted(map(str, allowed)))
            raise UsageError(f"target file {path}: {key} is {values[key]!r}, must be {choices}")
    try:
        values["leak_rounding"] = Rounding[values["leak_rounding"].upper()]
        values["resets"] = tuple(Reset[name.upper()] for name in values["resets"])
        values["weight_bits_allowed"] = tuple(int(b) for b in values["weight_bits_allowed"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"target file {path}: {error} is not a known value") from error
    widths = values["weight_bits_allowed"]
    if values["weight_bits"] not in widths or any(not 2 <= bits <= 8 for bits in widths):
        raise UsageError(
            f"target file {path}: weight_bits_allowed is {list(widths)}, must hold weight_bits and "
            "widths from 2 to 8"
        )
    return Target(name=path.stem, **values)
