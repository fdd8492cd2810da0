"""Contenders in turn, hot: what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant import runtime

Array = npt.NDArray[Any]

#: Runs that bring a contender's data into the caches before it is timed.
WARM_RUNS = 3
#: Timed runs of one contender before it is the next one's turn.
RUNS_PER_TURN = 7
#: Turns that every contender has at least.
MIN_TURNS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median over the turns of each turn's median, and quartiles.

    Attributes:
        median, low, high: of the turns' medians: half, a quarter and three quarters are below.
        runs: number of timed calls.
    """

    median: float
    low: float
    high: float
    runs: int


class Contender:
    """A model that is run on the same samples again and again.

    Inputs are bound once, so that no call copies them.

    Args:
        name: of the contender.
        model: serialized model, or its path.
        feeds: inputs by name.
        custom_ops: load the library.
        threads: threads within an op.
    """

    def __init__(
        self,
        name: str,
        model: bytes | str,
        feeds: Mapping[str, Array],
        *,
        custom_ops: bool = True,
        threads: int = 1,
    ) -> None:
        self.name = name
        self._session = runtime.load_session(model, custom_ops=custom_ops, threads=threads)
        self._binding = self._session.io_binding()
        # The binding only borrows the arrays.
        self._held = {key: np.ascontiguousarray(array) for key, array in feeds.items()}
        for key, array in self._held.items():
            self._binding.bind_cpu_input(key, array)
        for value in self._session.get_outputs():
            self._binding.bind_output(value.name)

    def run(self) -> None:
        """Run the model once."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Array]:
        """Return what the last run gave."""
        return list(self._binding.copy_outputs_to_cpu())


def interleave(contenders: Sequence[Contender], seconds: float) -> dict[str, Timing]:
    """Run contenders in turn for some time, and return how long a call of each takes.

    Args:
        contenders: at least one, with names of their own.
        seconds: to spend in all; every contender has :data:`MIN_TURNS` whatever it takes.
    """
    turns: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    runs = 0
    started = time.perf_counter()
    while len(turns[contenders[0].name]) < MIN_TURNS or time.perf_counter() - started < seconds:
        runs += RUNS_PER_TURN
        for contender in contenders:
            for _ in range(WARM_RUNS):
                contender.run()
            taken = []
            for _ in range(RUNS_PER_TURN):
                before = time.perf_counter()
                contender.run()
                taken.append(time.perf_counter() - before)
            turns[contender.name].append(statistics.median(taken))
    return {
        name: Timing(
            statistics.median(medians),
            float(np.quantile(medians, 0.25)),
            float(np.quantile(medians, 0.75)),
            runs,
        )
        for name, medians in turns.items()
    }
