"""What a calibration has seen so far: all of it that a batch changes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnquant.observers import TensorStatistics


@dataclass
class Activity:
    """Spikes of one neuron layer over the stream, and the entries that could have been some."""

    spikes: float = 0.0
    entries: int = 0


class Collected:
    """Statistics of values and the activity of neurons over the batches seen so far.

    Args:
        points: names of the values whose statistics are kept.
        neurons: names of the neurons whose spikes are counted.
    """

    def __init__(self, points: Iterable[str], neurons: Iterable[str]) -> None:
        self.statistics = {point: TensorStatistics(point) for point in points}
        self.activity = {name: Activity() for name in neurons}
        self.steps: set[int] = set()
        """Every number of time steps that a batch had."""
        self.done = 0
        """Samples seen."""
        self.whole = True
        """No batch has been counted in part."""

    @contextmanager
    def batch(self, samples: int) -> Iterator[None]:
        """Count a batch of so many samples in this context; what breaks it off leaves a part."""
        self.whole = False
        yield
        self.done += samples
        self.whole = True

    def count_spikes(self, neuron: str, spikes: float, entries: int) -> None:
        """Add the spikes of one batch, and the entries that could have been some."""
        self.activity[neuron].spikes += spikes
        self.activity[neuron].entries += entries

    def firing_rates(self) -> dict[str, dict[str, float]]:
        """Return per neuron what the calibration file says of it."""
        return {
            name: {"firing_rate": seen.spikes / max(seen.entries, 1)}
            for name, seen in self.activity.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it as values for :mod:`json`, which keeps every bit of a float."""
        return {
            "done": self.done,
            "steps": sorted(self.steps),
            "tensors": {name: seen.to_json() for name, seen in self.statistics.items()},
            "neurons": {
                name: {"spikes": seen.spikes, "entries": seen.entries}
                for name, seen in self.activity.items()
            },
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Take over what :meth:`to_json` returned for the same values and neurons.

        Raises:
            DataError, KeyError, TypeError, ValueError: it is something else.
        """
        statistics = {
            name: TensorStatistics.from_json(name, stored["tensors"][name])
            for name in self.statistics
        }
        activity = {
            name: Activity(_finite(seen["spikes"]), _whole(seen["entries"]))
            for name, seen in ((name, stored["neurons"][name]) for name in self.activity)
        }
        steps = {_whole(step) for step in stored["steps"]}
        self.done = _whole(stored["done"])
        self.statistics, self.activity, self.steps = statistics, activity, steps


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _finite(value: Any) -> float:
    if not isinstance(value, float) or not np.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value
