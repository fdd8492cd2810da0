"""JSON Schemas of what the verbs print and write, shipped with the package.

One file per document and version, and files without a version that hold what documents share. A
reference to another file stands for what it points to, with what stands beside it added: so a
document begins with ``"$ref": "common.json"`` and says only what is its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

_PREFIX = "snnquant."
_NAME = re.compile(r"([a-z]+)/([0-9]+)")
_FILE = re.compile(r"([a-z]+)-([0-9]+)\.json")


def document_names() -> list[str]:
    """Return the names of all documents that have a schema, such as ``snnquant.eval/1``."""
    files = (_FILE.fullmatch(entry.name) for entry in resources.files(__name__).iterdir())
    return sorted(f"{_PREFIX}{found[1]}/{found[2]}" for found in files if found)


def schema_name(verb: str) -> str:
    """Return the ``schema`` of what a verb prints in this version."""
    return f"snnquant.{verb}/1"


def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document, complete in itself.

    A later version of snnquant may add properties under the same name; none goes or changes.

    Args:
        name: what the document's ``schema`` says, such as ``snnquant.eval/1``.

    Raises:
        KeyError: there is no such schema.
    """
    found = _NAME.fullmatch(name.removeprefix(_PREFIX))
    if found is None or name not in document_names():
        raise KeyError(name)
    own = f"{found[1]}-{found[2]}.json"
    schema: dict[str, Any] = _resolved(_read(own), own, own)
    return schema


@cache
def _read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (resources.files(__name__) / file).read_text(encoding="utf-8")
    )
    return found


def _resolved(part: Any, file: str, own: str) -> Any:
    """Return a part of a schema with references to files replaced by what they point to.

    Args:
        part: of a schema.
        file: that holds it.
        own: file of the document; references within it stay.
    """
    if isinstance(part, list):
        return [_resolved(entry, file, own) for entry in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if not isinstance(reference, str):
        return {key: _resolved(value, file, own) for key, value in part.items()}
    target, _, pointer = reference.partition("#")
    target = target or file
    if target == own:
        return {key: _resolved(value, file, own) for key, value in part.items()}
    pointed: Any = _read(target)
    if not pointer:
        pointed = {key: value for key, value in pointed.items() if key != "$defs"}
    for step in pointer.split("/")[1:]:
        pointed = pointed[step]
    beside = {key: value for key, value in part.items() if key != "$ref"}
    return _joined(_resolved(pointed, target, own), _resolved(beside, file, own))


def _joined(shared: Any, own: Any) -> Any:
    """Return what is shared with what is a document's own: one schema that asks for both."""
    if not (isinstance(shared, Mapping) and isinstance(own, Mapping)):
        return own
    joined = dict(shared)
    for key, value in own.items():
        if key == "required":
            joined[key] = list(dict.fromkeys([*shared.get(key, []), *value]))
        else:
            joined[key] = _joined(shared[key], value) if key in shared else value
    return joined
