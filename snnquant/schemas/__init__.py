"""JSON Schemas of what the verbs print, shipped with the package: one file per verb and version."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def schema_name(verb: str) -> str:
    """Return the ``schema`` of what a verb prints in this version."""
    return f"snnquant.{verb}/1"


def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document.

    A later version of snnquant may add properties under the same name; none goes or changes.

    Args:
        name: what the document's ``schema`` says, such as ``snnquant.eval/1``.

    Raises:
        KeyError: there is no such schema.
    """
    verb, _, version = name.removeprefix("snnquant.").partition("/")
    file = resources.files(__name__) / f"{verb}-{version}.json"
    if not (verb.isalnum() and version.isalnum() and file.is_file()):
        raise KeyError(name)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
