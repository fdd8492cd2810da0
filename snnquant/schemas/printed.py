"""What a verb printed with ``--json``, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnquant.errors import DataError, first_line
from snnquant.files import read_json
from snnquant.schemas import schema_name

#: Far more than an evaluation of many layers.
_MAX_BYTES = 1 << 26


def read_printed(path: Path, what: str, verb: str) -> dict[str, Any]:
    """Return what a verb printed with ``--json``.

    Args:
        path: of the file.
        what: it is to the user.
        verb: that must have printed it.

    Raises:
        DataError: it cannot be read, or is no such document.
    """
    remedy = f"give what 'snnquant {verb} --json' printed"
    try:
        document = read_json(path, "such a document", _MAX_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {what} {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise DataError(f"{what} {path} is not JSON: {first_line(error)}; {remedy}") from error
    if not isinstance(document, dict):
        raise DataError(f"{what} {path} is no JSON object; {remedy}")
    schema, found = schema_name(verb), document.get("schema")
    if found != schema:
        raise DataError(
            f"{what} {path} has schema {found!r}, not '{schema}'; "
            f"write it with this version's '{verb} --json'"
        )
    return document
