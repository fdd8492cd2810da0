"""What ``snnquant bench --json`` measured, read back for a report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnquant.errors import DataError
from snnquant.schemas.printed import read_printed


@dataclass(frozen=True)
class Time:
    """One contender at one batch size and number of threads; times in seconds per call."""

    batch: int
    threads: int
    name: str
    median: float
    low: float
    high: float
    samples_per_second: float
    speed_up: float | None


@dataclass(frozen=True)
class Speed:
    """What a benchmark found.

    Attributes:
        path: of the document.
        model: name of the model among the contenders.
        times: in the order of the document.
        memory: peak of each contender in bytes, where it is known.
    """

    path: str
    model: str
    times: tuple[Time, ...]
    memory: dict[str, int]


def read_speed(path: Path, model_sha256: str) -> Speed:
    """Read a benchmark of a model.

    Args:
        path: what ``snnquant bench --json`` printed.
        model_sha256: hash of the model that it must be of.

    Raises:
        DataError: it cannot be read, is no such document, or is of another model.
    """
    document = read_printed(path, "benchmark", "bench")
    try:
        metrics = document["metrics"]
        model = str(metrics["model"])
        measured_on = document["inputs"]["model"]["sha256"]
        times = tuple(
            _time(each, str(name), found)
            for each in metrics["configurations"]
            for name, found in each["contenders"].items()
        )
        memory = {
            str(name): int(size)
            for name, size in metrics.get("peak_memory", {}).items()
            if size is not None
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"benchmark {path} is damaged ({type(error).__name__}: {error}); run "
            "'snnquant bench --json' again"
        ) from error
    if measured_on != model_sha256:
        raise DataError(
            f"benchmark {path} is of another model: its '{model}' has the SHA-256 "
            f"{str(measured_on)[:12]}..., this one {model_sha256[:12]}...; bench this model"
        )
    return Speed(str(path), model, times, memory)


def _time(configuration: Any, name: str, found: Any) -> Time:
    low, middle, high, rate = (
        _positive(found[key]) for key in ("low", "median", "high", "samples_per_second")
    )
    compared = found.get("speed_up")
    return Time(
        int(configuration["batch"]),
        int(configuration["threads"]),
        name,
        middle,
        low,
        high,
        rate,
        None if compared is None else _positive(compared),
    )


def _positive(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{value!r} is no time")
    return number
