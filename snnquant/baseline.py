"""An earlier evaluation as the limit of a new one: nothing may have become worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnquant.errors import DataError, UsageError, first_line
from snnquant.evaluate import Evaluation
from snnquant.files import read_json
from snnquant.gates import GATES, Gate, Unit, compare, measured
from snnquant.schemas import schema_name

#: What ``eval --json`` writes.
SCHEMA = schema_name("eval")
#: Far more than an evaluation of many layers.
_MAX_BYTES = 1 << 26
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
        document = read_document(path, "baseline", SCHEMA)
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


def read_document(path: Path, what: str, schema: str) -> dict[str, Any]:
    """Return what a verb printed with ``--json``.

    Args:
        path: of the file.
        what: it is to the user.
        schema: that it must have.

    Raises:
        DataError: it cannot be read, or is no such document.
    """
    verb = schema.removeprefix("snnquant.").partition("/")[0]
    remedy = f"give what 'snnquant {verb} --json' printed"
    try:
        document = read_json(path, "such a document", _MAX_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {what} {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise DataError(f"{what} {path} is not JSON: {first_line(error)}; {remedy}") from error
    if not isinstance(document, dict):
        raise DataError(f"{what} {path} is no JSON object; {remedy}")
    found = document.get("schema")
    if found != schema:
        raise DataError(
            f"{what} {path} has schema {found!r}, not '{schema}'; "
            f"write it with this version's '{verb} --json'"
        )
    return document


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
