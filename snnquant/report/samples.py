"""Which samples a report shows spike by spike: those that tell most, kept while data streams by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.evaluate import Judged

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class KeptSample:
    """One sample.

    Attributes:
        index: in the data.
        inputs: batch-first arrays of one sample.
        label: None without labels.
        predicted: by the model.
        predicted_float: by the reference, None without one.
    """

    index: int
    inputs: dict[str, Array]
    label: int | None
    predicted: int
    predicted_float: int | None

    @property
    def differs(self) -> bool:
        """Whether the models disagree; without a reference: whether the model is wrong."""
        if self.predicted_float is not None:
            return self.predicted != self.predicted_float
        return self.label is not None and self.predicted != self.label


class SampleKeeper:
    """Keeps the first samples, and the first on which the models disagree.

    Args:
        count: of samples to show.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._first: list[KeptSample] = []
        self._differing: list[KeptSample] = []

    def observe(self, judged: Judged) -> None:
        """Look at one batch."""
        batch = judged.batch
        for place in range(len(batch)):
            full = len(self._first) >= self.count
            if full and len(self._differing) >= self.count:
                return
            sample = self._taken(judged, place)
            if sample.differs and len(self._differing) < self.count:
                self._differing.append(sample)
            if not full:
                self._first.append(sample)

    def samples(self) -> tuple[KeptSample, ...]:
        """Return the samples in the order of the data; up to half are such as both agree on."""
        wanted = self._differing[: self.count - self.count // 2]
        for sample in (*self._first, *self._differing):
            if len(wanted) < self.count and all(sample.index != w.index for w in wanted):
                wanted.append(sample)
        return tuple(sorted(wanted, key=lambda sample: sample.index))

    @staticmethod
    def _taken(judged: Judged, place: int) -> KeptSample:
        batch = judged.batch
        return KeptSample(
            batch.start + place,
            {name: np.array(array[place : place + 1]) for name, array in batch.inputs.items()},
            None if batch.labels is None else int(batch.labels[place]),
            int(judged.predicted[place]),
            None if judged.predicted_float is None else int(judged.predicted_float[place]),
        )
