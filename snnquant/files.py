"""Writing files whole or not at all, and hashing them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnquant.errors import DataError, UsageError

_HASH_CHUNK = 1 << 20


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replace the file at ``path`` by ``data`` in one step, as :func:`replace_files` does.

    Raises:
        UsageError: the file cannot be written.
    """
    replace_files({Path(path): data})


def replace_files(contents: Mapping[Path, bytes | str]) -> None:
    """Replace files that belong together; text is written as UTF-8.

    All are written in full before the first is replaced. A failure or an interruption until then
    leaves the old files as they were and no temporary file behind. A symbolic link is followed. A
    device or pipe, such as ``/dev/null``, and the file that stdout or stderr goes to, which has
    what was said so far, is written to directly.

    Raises:
        UsageError: a file cannot be written.
    """
    written: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in contents.items():
            ensure_writable(path)
            target = _target(path)
            if not is_special(target):
                written[path] = temporary_beside(target)
                _write(written[path], target, data)
        for path, data in contents.items():
            target = _target(path)
            if path in written:
                written[path].replace(target)
            else:
                _write_directly(target, data)
    except OSError as error:
        raise UsageError(_cannot_write(path, error.strerror or str(error))) from error
    finally:  # KeyboardInterrupt too must leave nothing behind
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def ensure_writable(path: str | os.PathLike[str]) -> None:
    """Refuse an output path that cannot be written, before long work is done for it.

    Raises:
        UsageError: the folder is missing or read-only, or ``path`` is a folder or read-only file.
    """
    try:
        target = _target(path)
        parent = target.parent
        if target.is_dir():
            raise UsageError(_cannot_write(path, "it is a folder", "name a file in it"))
        if _own_stream(target) is not None:
            return
        if not parent.is_dir():
            reason = f"there is no folder {str(parent)!r}"
            raise UsageError(_cannot_write(path, reason, "create it first"))
        protected = target if target.exists() else parent
        wanted = os.W_OK if target.exists() else os.W_OK | os.X_OK
        if not os.access(protected, wanted):
            raise UsageError(_cannot_write(path, f"{str(protected)!r} is read-only"))
        if target.is_file() and not os.access(parent, os.W_OK | os.X_OK):
            raise UsageError(_cannot_write(path, f"{str(parent)!r} is read-only"))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(_cannot_write(path, str(error))) from error


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hex digits, read in chunks.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while chunk := stream.read(_HASH_CHUNK):
                digest.update(chunk)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read {os.fspath(path)!r}: {reason}; check the path") from error
    return digest.hexdigest()


def file_record(path: Path) -> dict[str, str]:
    """Return what documents say of a file: its path and its hash.

    Raises:
        DataError: the file cannot be read.
    """
    return {"path": str(path), "sha256": sha256_of(path)}


def read_json(path: Path, what: str, most: int) -> Any:
    """Return what a JSON file of bounded size says.

    Args:
        path: of the file.
        what: it should be, for the message.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or no JSON.
    """
    with path.open("rb") as stream:  # a device or a pipe does not tell how much there is
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"too large for {what}")
    try:
        return json.loads(data.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def temporary_beside(target: Path) -> Path:
    """Return a new name in the same folder, from which renaming takes one step."""
    return target.parent / f".snnquant-{secrets.token_hex(8)}.tmp"


def is_special(target: Path) -> bool:
    """Tell whether a path is written to directly: no regular file, or where own words go."""
    return target.exists() and (not target.is_file() or _own_stream(target) is not None)


def _target(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads, as itself where that has no name, as what ``/dev/stdout`` is."""
    given, real = Path(path), Path(os.path.realpath(path))
    return given if given.exists() and not real.exists() else real


def _own_stream(target: Path) -> int | None:
    """Return stdout or stderr where that goes to this file or pipe, None: neither does."""
    for stream in (1, 2):
        try:
            if os.path.samestat(os.fstat(stream), target.stat()):
                return stream
        except OSError:  # noqa: PERF203 - there is no such file, or the stream is closed
            continue
    return None


def _write_directly(target: Path, data: bytes | str) -> None:
    stream = _own_stream(target)
    if stream is None:
        target.write_bytes(_encoded(data))
        return
    # Another opening of that file would begin at its start.
    with os.fdopen(os.dup(stream), "wb") as own:
        own.write(_encoded(data))


def _encoded(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _write(temporary: Path, target: Path, data: bytes | str) -> None:
    """Write what will replace a file, with that one's mode, down to the disk."""
    # Mode "x" creates with the user's umask, which tempfile's 0600 would ignore.
    with temporary.open("xb") as stream:
        stream.write(_encoded(data))
        stream.flush()
        os.fsync(stream.fileno())
    if target.exists():
        shutil.copymode(target, temporary)


def _cannot_write(
    path: str | os.PathLike[str], reason: str, remedy: str = "choose another output path"
) -> str:
    return f"cannot write {os.fspath(path)!r}: {reason}; {remedy}"
