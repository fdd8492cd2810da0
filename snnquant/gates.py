"""Limits that a pipeline sets on an evaluation, and whether they were met."""

from __future__ import annotations

from dataclasses import dataclass

from snnquant.errors import UsageError
from snnquant.evaluate import Evaluation


@dataclass(frozen=True)
class Gate:
    """One limit: its option, the value found, the limit, and "passed" or "failed"."""

    id: str
    value: float
    limit: float
    status: str


def check_gates(
    result: Evaluation, *, min_accuracy: float | None, max_drop: float | None
) -> list[Gate]:
    """Compare an evaluation with its limits.

    Args:
        result: what was measured.
        min_accuracy: smallest accuracy, a fraction; None: no limit.
        max_drop: largest loss of accuracy against the float model, a fraction; None: no limit.

    Raises:
        UsageError: a limit on what was not measured.
    """
    gates = []
    if min_accuracy is not None:
        if result.accuracy is None:
            raise UsageError("--min-accuracy needs labels; add 'y' to the data")
        met = result.accuracy >= min_accuracy
        gates.append(Gate("min-accuracy", result.accuracy, min_accuracy, _status(met)))
    if max_drop is not None:
        if result.drop is None:
            raise UsageError("--max-drop needs labels and the float model; give --reference")
        # The drop is a difference of two fractions: beyond rounding, not by it.
        met = result.drop <= max_drop + 1e-12
        gates.append(Gate("max-drop", result.drop, max_drop, _status(met)))
    return gates


def _status(met: bool) -> str:
    return "passed" if met else "failed"
