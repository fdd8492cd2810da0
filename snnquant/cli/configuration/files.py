"""Configuration files: where they are looked for, and how they are read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from snnquant.errors import UsageError

SETTINGS_FILE = "snnquant.toml"
PROJECT_FILE = "pyproject.toml"
#: The table of a pyproject.toml.
PROJECT_TABLE = "tool.snnquant"
_MAX_BYTES = 1 << 20
_PRESETS = Path(__file__).parents[2] / "presets"


def find_files(start: Path) -> list[Path]:
    """Return the configuration files that hold in a folder, the weaker one first.

    Of each name it is the file in the nearest folder, going up. One of a folder above must belong
    to this user, to the owner of the folder or to root, as files name code that is run.

    Args:
        start: the current folder.

    Returns:
        Paths relative to the folder where that is possible.

    Raises:
        UsageError: a file belongs to somebody else, or cannot be looked at.
    """
    found = []
    for name in (PROJECT_FILE, SETTINGS_FILE):
        for folder in (start, *start.parents):
            path = folder / name
            if os.path.isfile(path) and (name == SETTINGS_FILE or _has_table(path)):
                if folder != start:
                    _refuse_foreign(path, start)
                found.append(_relative(path, start))
                break
    return found


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a file, of a pyproject.toml those in its ``[tool.snnquant]``.

    Raises:
        UsageError: there is no such file or table, or it is no TOML.
    """
    table = _parse(path, _read(path))
    if path.name != PROJECT_FILE:
        return table
    inner: Any = table
    for part in PROJECT_TABLE.split("."):
        inner = inner.get(part) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise UsageError(f"{path} has no table [{PROJECT_TABLE}]; add it, or name another file")
    return inner


def preset_names() -> list[str]:
    """Return the names of the shipped presets, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def preset_path(name: str, folder: Path, where: str = "") -> Path:
    """Return the file of a preset: a shipped one by name, else a path from a folder.

    Args:
        name: or path.
        folder: where a relative path begins.
        where: what names it, for the message.

    Raises:
        UsageError: there is no such preset.
    """
    if name in preset_names():
        return _PRESETS / f"{name}.toml"
    path = folder / name
    if path.suffix != ".toml" or not path.is_file():
        known = ", ".join(preset_names())
        raise UsageError(
            f"{where}unknown preset '{name}'; use one of {known}, or a path to a .toml file"
        )
    return path


def preset_summary(name: str) -> str:
    """Return what a shipped preset says of itself in its first line, a comment."""
    text = (_PRESETS / f"{name}.toml").read_text(encoding="utf-8")
    return text.splitlines()[0].lstrip("# ")


def _has_table(path: Path) -> bool:
    text = _read(path)
    # Most projects have none, and need not be parsed.
    if "snnquant" not in text:
        return False
    tool = _parse(path, text).get("tool")
    return isinstance(tool, dict) and "snnquant" in tool


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError(f"there is no configuration file {path}; check the path")
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UsageError(
                f"{path} is larger than {_MAX_BYTES} bytes; shorten it, or give --no-config"
            )
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}, line {line}: not in UTF-8; save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}; give --no-config to go on") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover - the same parser under its name before 3.11
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply; it needs tables of keys only") from None
    except ValueError as error:
        # TOMLDecodeError tells line and column; numbers of too many digits are a plain ValueError.
        raise UsageError(f"{path} is no TOML: {error}; correct it there") from error


def _refuse_foreign(path: Path, start: Path) -> None:
    if not hasattr(os, "getuid"):
        return  # files of Windows have no such owner
    try:
        owner, trusted = path.stat().st_uid, {0, os.getuid(), start.stat().st_uid}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give --no-config") from error
    if owner not in trusted:
        raise UsageError(
            f"{path} belongs to another user; if you trust it, name it with --config, "
            "else give --no-config"
        )


def _relative(path: Path, start: Path) -> Path:
    try:
        return Path(os.path.relpath(path, start))
    except ValueError:  # another drive
        return path
