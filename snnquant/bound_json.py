"""JSON files of the tool's own that say, by a hash in them, that nobody changed them since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnquant.errors import CalibrationMismatchError, DataError, first_line
from snnquant.files import read_json

#: Key of the hash.
BINDING = "binding_sha256"
#: A calibration of the largest networks has a few thousand bins per tensor; more is not ours.
_MAX_FILE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class BoundJson:
    """One kind of file.

    Attributes:
        schema: what its ``schema`` says.
        what: what a person calls it, before its path.
        remedy: what helps where it cannot be used.
    """

    schema: str
    what: str
    remedy: str

    def dumps(self, content: Mapping[str, Any], *, indent: int | None = None) -> str:
        """Return the text of a file, with its schema first and its binding last."""
        document = {"schema": self.schema, **content}
        document[BINDING] = binding_of(document)
        return json.dumps(document, indent=indent, allow_nan=False) + "\n"

    def load(self, path: Path) -> dict[str, Any]:
        """Read a file.

        Raises:
            DataError: it cannot be read, or is of another kind or version.
            CalibrationMismatchError: its binding does not match its content.
        """
        try:
            stored = read_json(path, f"a {self.what}", _MAX_FILE_BYTES)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.what} {path} cannot be read: {first_line(error)}; {self.remedy}"
            ) from error
        if not isinstance(stored, dict) or stored.get("schema") != self.schema:
            raise DataError(f"{path} is no {self.what} ({self.schema}); {self.remedy}")
        try:
            binding = binding_of(stored)
        except (ValueError, RecursionError) as error:  # what JSON can say and not write
            raise self.damaged(path, error) from error
        if stored.get(BINDING) != binding:
            raise CalibrationMismatchError(
                f"{self.what} {path} was changed by hand (its binding does not match); "
                f"{self.remedy}"
            )
        return stored

    def damaged(self, path: Path, error: Exception) -> DataError:
        """Return the error about a file whose binding is right and whose content is not."""
        return DataError(f"{self.what} {path} is damaged ({first_line(error)}); {self.remedy}")


def binding_of(document: Mapping[str, Any]) -> str:
    """Return the hash over all that a file says, but for the hash itself."""
    bound = {key: value for key, value in document.items() if key != BINDING}
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
