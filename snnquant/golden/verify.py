"""The verification of a model file: every hash that binds it, and its golden vectors replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from snnquant.bound_json import BINDING, binding_of
from snnquant.data import Dataset
from snnquant.errors import DataError, ModelError, first_line
from snnquant.files import sha256_of
from snnquant.golden.engines import ENGINES, LIBRARY, Engine, open_engines
from snnquant.golden.replay import Replay, replay
from snnquant.golden.vectors import GoldenVectors, Recorder, golden_path, load_golden
from snnquant.manifest import read_manifest
from snnquant.model_file import metadata, neuron_nodes, read_model

#: Samples that are compared at once.
_BATCH = 16
#: The check that golden vectors are of the model's file.
_BOUND = "model in golden vectors"
CHECKED, FAILED, ABSENT = "checked", "failed", "absent"


@dataclass(frozen=True)
class HashCheck:
    """One hash: what it is of, where, and whether it is as stored.

    Attributes:
        id: what was hashed, or what holds the hash of what.
        path: file.
        status: "checked", "failed", or "absent" where the file or the stored hash is not there.
        expected: stored hash, or None.
        found: hash now, or None.
    """

    id: str
    path: str
    status: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        model_sha256: hash of the model's file.
        hashes: all hashes.
        golden: the replay of the golden vectors; None: there are none.
        data: the replay on samples that the user gave; None: none were given.
        layers: names of the neuron layers, in order.
    """

    model_sha256: str
    hashes: tuple[HashCheck, ...]
    golden: Replay | None
    data: Replay | None
    layers: tuple[str, ...]

    @property
    def of_another_file(self) -> bool:
        """Whether the golden vectors are of another file than the model."""
        return any(check.id == _BOUND and check.status == FAILED for check in self.hashes)

    @property
    def failures(self) -> list[str]:
        """What is wrong, one line each: differing values first, as they say where to look."""
        found = [
            str(mismatch)
            for part in (self.golden, self.data)
            if part is not None
            for mismatch in part.mismatches
        ]
        for check in self.hashes:
            if check.status != FAILED:
                continue
            if check.id == _BOUND:
                found.append(f"the golden vectors {check.path} are of another file than the model")
            else:
                now = f"expected {check.expected}, found {check.found}"
                found.append(f"hash of {check.id} ({check.path}): {now}")
        return found


def verify_model(
    path: Path,
    *,
    manifest: Path,
    dataset: Dataset | None = None,
    samples: int = 8,
    custom_ops: bool = True,
    threads: int | None = None,
) -> Verification:
    """Check every hash of a model, and replay its golden vectors in each way to run it.

    Args:
        path: integer model.
        manifest: its manifest, which need not exist.
        dataset: samples on which all ways to run the model must agree.
        samples: use at most this many of them.
        custom_ops: run with the library, too.
        threads: threads of ONNX Runtime; None: its choice.

    Raises:
        ModelError: the model has no integer neurons, or cannot be read.
        DataError: neither golden vectors nor samples, or they do not fit the model.
        LibraryError: the library is missing or cannot be loaded.
    """
    model = read_model(path)
    layers = tuple(node.name for node in neuron_nodes(model, integer=True))
    if not layers:
        raise ModelError(
            f"{path} has no integer neurons; verify takes what 'snnquant convert' writes"
        )
    ways = [how for how in ENGINES if custom_ops or how != LIBRARY]
    stored = golden_path(path)
    golden = load_golden(stored) if stored.is_file() or dataset is None else None
    found = sha256_of(path)
    hashes = tuple(_hashes(path, manifest, model, golden, found))
    engines = open_engines(model, ways, threads)
    replayed = None if golden is None else _replayed(model, golden, engines, found)
    compared = None
    if dataset is not None:
        compared = _on_data(model, found, dataset, samples, engines)
    return Verification(found, hashes, replayed, compared, layers)


def _replayed(
    model: onnx.ModelProto, golden: GoldenVectors, engines: list[Engine], found: str
) -> Replay | None:
    """Replay golden vectors; None: they do not fit, being of another file, as their hash tells."""
    try:
        return replay(model, golden, engines)
    except DataError:
        if golden.model_sha256 == found:
            raise
        return None


def _on_data(
    model: onnx.ModelProto,
    model_sha256: str,
    dataset: Dataset,
    samples: int,
    engines: list[Engine],
) -> Replay:
    """Compare the ways to run a model with the first of them, on samples."""
    done = 0
    compared = dict.fromkeys((engine.how for engine in engines), 0)
    mismatches: list[Any] = []
    recorder = Recorder(model, model_sha256, engines[0])
    total = min(samples, len(dataset))
    while done < total:
        batch = next(iter(dataset.batches(min(_BATCH, total - done), start=done)))
        expected, results = recorder.record(batch, len(batch))
        part = replay(model, expected, engines, {engines[0].how: results})
        for how, count in part.compared.items():
            compared[how] += count
        mismatches += [
            replace(m, sample=None if m.sample is None else m.sample + done)
            for m in part.mismatches
        ]
        done += expected.samples
    return Replay(done, compared, tuple(mismatches))


def _hashes(
    path: Path, manifest: Path, model: onnx.ModelProto, golden: GoldenVectors | None, found: str
) -> Iterator[HashCheck]:
    """Yield every hash that is stored in the model, in its manifest and in its golden vectors."""
    held = metadata(model)
    document, problem = _read_manifest(manifest)
    if problem:
        yield HashCheck("manifest", str(manifest), FAILED, "readable JSON", problem)
    elif document:
        yield _compare("manifest", manifest, _text(document.get(BINDING)), _binding(document))
    listed = _artifacts(document)
    yield _compare("model", path, listed.get(path.name), found)
    file = golden_path(path)
    now = sha256_of(file) if file.is_file() else None
    expected = listed.get(file.name)
    if now is None and expected is not None:
        yield HashCheck("golden vectors", str(file), FAILED, expected, "no file")
    else:
        yield _compare("golden vectors", file, expected, now)
    if golden is not None:
        yield _compare(_BOUND, file, golden.model_sha256, found)
    for key, what in (("calibration", "calibration"), ("model", "source")):
        own = held.get(f"snnquant.{what}_sha256")
        record = _record(document, key)
        yield _compare(f"{what} in manifest", manifest, own, record.get("sha256"))
        named = Path(str(record["path"])) if record.get("path") else None
        place = next((p for p in _places(named, path) if _is_file(p)), None)
        seen = None if place is None else sha256_of(place)
        yield _compare(what, place or named or Path("-"), own, seen)


def _compare(what: str, path: Path, expected: str | None, found: str | None) -> HashCheck:
    status = ABSENT
    if expected is not None and found is not None:
        status = CHECKED if expected == found else FAILED
    return HashCheck(what, str(path), status, expected, found)


def _places(named: Path | None, model: Path) -> tuple[Path, ...]:
    """Return where a file may be: where it was, or beside the model."""
    return () if named is None else (named, model.parent / named.name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest, empty where there is none, and what is wrong with it."""
    if not path.is_file():
        return {}, ""
    try:
        document = read_manifest(path)
    except (OSError, ValueError) as error:
        return {}, " ".join(str(error).split())
    return (document, "") if isinstance(document, dict) else ({}, "no object")


def _binding(document: dict[str, Any]) -> str:
    """Return the hash over what a manifest says."""
    try:
        return binding_of(document)
    except (ValueError, RecursionError) as error:  # what JSON can say and not write
        return first_line(error)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _artifacts(document: dict[str, Any]) -> dict[str, str]:
    listed = document.get("artifacts")
    entries = listed if isinstance(listed, list) else []
    return {
        str(entry["path"]): str(entry["sha256"])
        for entry in entries
        if isinstance(entry, dict) and {"path", "sha256"} <= entry.keys()
    }


def _record(document: dict[str, Any], key: str) -> dict[str, Any]:
    inputs = document.get("inputs")
    record = inputs.get(key) if isinstance(inputs, dict) else None
    return record if isinstance(record, dict) else {}
