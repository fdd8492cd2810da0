"""What a run has measured, in a file from which an interrupted one goes on.

The file is replaced as a whole after every model. What comes of the continued run has the same
bytes as an uninterrupted one: every float is stored with all its bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snnquant import __version__, runtime
from snnquant.bound_json import BoundJson
from snnquant.errors import CalibrationMismatchError
from snnquant.files import atomic_write
from snnquant.search.widths import WidthErrors
from snnquant.tune.candidates import Config
from snnquant.tune.measure import Measures

_FILE = BoundJson(
    "snnquant.tune-partial/1",
    "progress of tune",
    "drop --resume to start anew",
)


class KeptMeasures:
    """Keeps what one run has measured.

    Args:
        path: of the file.
        resume: go on from what it holds, if it is there.

    Attributes:
        errors: what widths cost each layer; None: not known yet.
        models: what was measured of models, by widths: on held-out samples, then on others.
        taken_over: models that an earlier run had measured.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.errors: list[WidthErrors] | None = None
        self.models: dict[Config, list[Measures]] = {}
        self.taken_over = 0
        self._resume = resume
        self._run: dict[str, Any] = {}

    def start(self, run: Mapping[str, Any]) -> None:
        """Say which run this is, and take over what was kept of it, if that is wanted.

        Args:
            run: model, data and settings, all that a measure depends on.

        Raises:
            CalibrationMismatchError: the file is of another run.
            DataError: it cannot be read.
        """
        versions = {"snnquant": __version__, "onnxruntime": runtime.VERSION}
        # As JSON has it: lists for tuples.
        self._run = json.loads(json.dumps({**run, "versions": versions}))
        if not (self._resume and self.path.exists()):
            return
        stored = _FILE.load(self.path)
        before = stored.get("run")
        known = before if isinstance(before, dict) else {}
        other = [key for key, value in self._run.items() if known.get(key) != value]
        if other:
            raise CalibrationMismatchError(
                f"{self.path} was made with other {', '.join(other)}; {_FILE.remedy}"
            )
        try:
            self.errors = [
                WidthErrors(**entry | {"errors": {int(k): v for k, v in entry["errors"].items()}})
                for entry in stored["errors"]
            ]
            for entry in stored["models"]:
                measures = [Measures(**found) for found in entry["measures"]]
                self.models[tuple(map(int, entry["widths"]))] = measures
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _FILE.damaged(self.path, error) from error
        self.taken_over = len(self.models)

    def keep_errors(self, errors: list[WidthErrors]) -> None:
        """Keep what widths cost each layer."""
        self.errors = errors
        self._save()

    def keep_model(self, config: Config, measures: list[Measures]) -> None:
        """Keep what was measured of a model."""
        self.models[config] = measures
        self._save()

    def remove(self) -> None:
        """Remove the file: the run is complete."""
        self.path.unlink(missing_ok=True)

    def _save(self) -> None:
        content = {
            "run": self._run,
            "errors": [asdict(entry) for entry in self.errors or ()],
            "models": [
                {"widths": list(config), "measures": [asdict(entry) for entry in found]}
                for config, found in self.models.items()
            ],
        }
        atomic_write(self.path, _FILE.dumps(content))
