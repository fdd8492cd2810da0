"""What changed between two models or two calibrations.

``snapshot`` reads a model, ``layers`` takes it apart, ``matching`` finds the counterparts,
``models`` and ``calibrations`` compare; ``change`` is the vocabulary.
"""

from __future__ import annotations

from pathlib import Path

from snnquant.calibration import load_calibration
from snnquant.comparison.calibrations import compare_calibrations
from snnquant.comparison.change import ArrayChange, Change
from snnquant.comparison.models import Comparison, LayerChange, compare_models
from snnquant.comparison.snapshot import model_snapshot
from snnquant.errors import ModelError, UsageError

#: First characters of JSON, behind spaces and a byte order mark; no ONNX file starts so.
_JSON = (b"{", b"[")
_HEAD = 256


def compare_files(before: Path, after: Path) -> Comparison:
    """Compare two models, or two calibrations; content decides which they are.

    Raises:
        UsageError: one is a model and the other is a calibration.
        ModelError: a model cannot be read.
        DataError: a calibration cannot be read.
        CalibrationMismatchError: a calibration was changed by hand.
        NumericalError: a model holds NaN or infinite weights.
    """
    kinds = [_is_json(path) for path in (before, after)]
    if kinds[0] != kinds[1]:
        words = ["calibration" if kind else "model" for kind in kinds]
        raise UsageError(
            f"{before} is a {words[0]} and {after} a {words[1]}; give two models or two "
            "calibrations"
        )
    if kinds[0]:
        return compare_calibrations(load_calibration(before), load_calibration(after))
    return compare_models(model_snapshot(before), model_snapshot(after))


def _is_json(path: Path) -> bool:
    """Whether a file is JSON as far as its first bytes tell."""
    try:
        if not path.is_file():
            raise ModelError(f"there is no file {path}; check the path")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ModelError(f"{path} cannot be read: {error}; check the path") from error
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_JSON)


__all__ = ["ArrayChange", "Change", "Comparison", "LayerChange", "compare_files"]
