"""The progress of a calibration in a file, from which an interrupted one goes on.

The file is replaced as a whole every few seconds. What comes of the continued run has the same
bytes as an uninterrupted one: batches start at the same samples, and every float that was added up
is stored with all its bits.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from snnquant import __version__, runtime
from snnquant.bound_json import BoundJson
from snnquant.calibration import CalibrationSettings
from snnquant.collected import Collected
from snnquant.errors import CalibrationMismatchError, DataError
from snnquant.files import atomic_write

_FILE = BoundJson(
    "snnquant.calibration-partial/1",
    "progress of a calibration",
    "drop --resume to start anew",
)
#: What an interruption may cost.
_SECONDS_BETWEEN = 10.0


def partial_path(output: Path) -> Path:
    """Return where the progress of a calibration is kept, beside its output."""
    return output.with_suffix(".partial.json")


class PartialFile:
    """Keeps the progress of one calibration.

    Args:
        path: of the file.
        resume: go on from what it holds, if it is there.

    Attributes:
        taken_over: samples that an earlier run had done; 0 where this one started anew.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.taken_over = 0
        self._resume = resume
        self._run: dict[str, Any] = {}
        self._saved = time.monotonic()

    def start(
        self,
        collected: Collected,
        settings: CalibrationSettings,
        *,
        graph_sha256: str,
        data_sha256: str,
    ) -> None:
        """Say which run this is, and take over what was kept of it, if that is wanted.

        Raises:
            CalibrationMismatchError: the file is of another run.
            DataError: it cannot be read.
        """
        self._run = {
            "model": graph_sha256,
            "data": data_sha256,
            # As JSON has it: lists for tuples.
            "settings": json.loads(json.dumps(settings.to_json())),
            # Another version may add up the same floats in another order.
            "versions": {"snnquant": __version__, "onnxruntime": runtime.VERSION},
        }
        if self._resume and self.path.exists():
            self._restore(collected)
        self._saved = time.monotonic()

    def batch_done(self, collected: Collected) -> None:
        """Save now and then."""
        if time.monotonic() - self._saved >= _SECONDS_BETWEEN:
            self.save(collected)

    def save(self, collected: Collected) -> None:
        """Replace the file, if there is anything whole to keep."""
        if collected.done and collected.whole:
            text = _FILE.dumps({"run": self._run, "progress": collected.to_json()})
            atomic_write(self.path, text)
            self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the calibration is complete."""
        self.path.unlink(missing_ok=True)

    def _restore(self, collected: Collected) -> None:
        stored = _FILE.load(self.path)
        run = stored.get("run")
        other = [key for key, value in self._run.items() if _entry(run, key) != value]
        if other:
            raise CalibrationMismatchError(
                f"{self.path} was made with other {', '.join(other)}; {_FILE.remedy}"
            )
        try:
            collected.restore(stored["progress"])
            size, total = self._run["settings"]["batch_size"], self._run["settings"]["samples"]
            if collected.done > total or (collected.done % size and collected.done < total):
                raise ValueError(f"it stops at sample {collected.done}")  # noqa: TRY301
        except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
            raise _FILE.damaged(self.path, error) from error
        self.taken_over = collected.done


def _entry(run: Any, key: str) -> Any:
    return run.get(key) if isinstance(run, dict) else None
