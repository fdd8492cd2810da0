"""An earlier evaluation as the limit of a new one: nothing may have become worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnquant.errors import DataError, UsageError
from snnquant.evaluate import Evaluation
from snnquant.gates import GATES, Gate, Unit, compare, measured
from snnquant.schemas.printed import read_printed

#: Beyond any metric, and within a float; NaN is not below.
_LARGEST = 1e300


class Baseline:
    """The metrics of an earlier evaluation.

    Args:
        path: what ``snnquant eval --json`` printed.

    Attributes:
        metrics: those that can be limited and were measured, by name.
        data_sha256: hash of the data that it was measured on, None where it does not say.

    Raises:
        DataError: it cannot be read, or is no such document.
    """

    def __init__(self, path: Path) -> None:
        document = read_printed(path, "baseline", "eval")
        metrics = document.get("metrics")
        if not isinstance(metrics, dict):
            raise DataError(f"baseline {path} has no metrics; write it with 'eval --json'")
        self.path = path
        self.metrics: dict[str, float] = {}
        for rule in GATES:
            value = metrics.get(rule.metric)
            if value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not abs(value) < _LARGEST:
                raise DataError(
                    f"baseline {path}: metrics.{rule.metric} is {_shown(value)}, no finite "
                    "number; write it with 'eval --json'"
                )
            self.metrics[rule.metric] = value
        self.data_sha256 = _data_hash(document)

    def check(
        self, result: Evaluation, tolerance: float, model_bytes: int | None = None
    ) -> list[Gate]:
        """Compare an evaluation with this one, in each metric that this one has.

        Args:
            result: what was measured.
            tolerance: by how much a metric may be worse; of the size as a share of the
                baseline's, else in the unit of the metric.
            model_bytes: size of the model file, None without one.

        Raises:
            UsageError: a metric of the baseline was not measured now.
        """
        values = measured(result, model_bytes)
        gates = []
        for rule in GATES:
            before, now = self.metrics.get(rule.metric), values[rule.metric]
            if before is None:
                continue
            if now is None:
                raise UsageError(
                    f"--baseline {self.path} has '{rule.metric}', which needs {rule.needs.value}"
                )
            slack = tolerance * before if rule.unit is Unit.BYTES else tolerance
            limit = before - slack if rule.least else before + slack
            id = "baseline-" + rule.metric.replace("_", "-")
            gates.append(compare(rule, id, now, limit, result))
        return gates


def _shown(value: Any) -> str:
    """Return a value in a few characters; Python does not write numbers of any length."""
    try:
        return repr(str(value)[:40])
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


def _data_hash(document: dict[str, Any]) -> str | None:
    inputs = document.get("inputs")
    data = inputs.get("data") if isinstance(inputs, dict) else None
    found = data.get("sha256") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None
