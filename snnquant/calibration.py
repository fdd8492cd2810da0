"""The calibration file: statistics and settings, bound by hash to model and data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnquant import __version__
from snnquant.bound_json import BoundJson
from snnquant.errors import DataError
from snnquant.lowering.plan import InputScale
from snnquant.numerics import IntRange
from snnquant.observers import OBSERVERS, TensorStatistics
from snnquant.rounding.weight_grid import coherence_of

_FILE = BoundJson("snnquant.calibration/1", "calibration", "run 'snnquant calibrate' again")
#: The method that leaves the choice of the observer to the target.
AUTO = "auto"
#: Longest name of a file, in bytes, on most systems.
_MAX_NAME = 255
#: Values that are all integers in this range are spikes or counts.
SPIKE_RANGE = IntRange.signed(8)
#: How spikes and counts enter: as int8, or as uint8 where some are above 127. Later data may hold
#: other counts than the samples, so the whole type is possible.
SPIKES = InputScale(1.0, SPIKE_RANGE.low, SPIKE_RANGE.high, spikes=True)
LARGE_COUNTS = InputScale(1.0, 0, 255, spikes=True)
#: Spikes of which there is one per step at most, where somebody says so.
BINARY = InputScale(1.0, 0, 1, spikes=True)
#: Ranges that values may have of which somebody says what they are, with words for them.
DECLARED = {
    "spikes": (
        tuple(IntRange(entry.low, entry.high) for entry in (SPIKES, LARGE_COUNTS)),
        "spikes and counts are integers in -128..127 or 0..255, use analog",
    ),
    "binary": ((IntRange(BINARY.low, BINARY.high),), "they must be 0 or 1, use spikes or analog"),
}


@dataclass(frozen=True)
class CalibrationSettings:
    """What determines the statistics, besides model and data.

    Attributes:
        method: name of the observer that turns statistics into scales; AUTO leaves it to the
            target.
        samples: number of samples used.
        batch_size: samples per batch (matters to the mean of batch maxima).
        inputs: forced treatment by tensor name: "spikes", "binary", "analog", or a scale.
        data: what was declared about the data, as
            :meth:`~snnquant.data.options.ReadOptions.settings` gives it.
    """

    method: str
    samples: int
    batch_size: int
    inputs: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what the file says; nothing of the data where nothing was declared."""
        return {name: value for name, value in asdict(self).items() if name != "data" or value}


@dataclass
class Calibration:
    """Statistics of one model over one data set.

    Attributes:
        graph_sha256: hash of the canonical float graph.
        data_sha256: hash of the data file.
        settings: see :class:`CalibrationSettings`.
        timesteps: steps per sample, 0 where samples differ.
        tensors: statistics per value that may become an integer.
        neurons: per neuron: firing rate, and the largest share of samples it was silent in.
        samples_file, samples_sha256: the stored first samples beside the file.
        source: names for people: model and data path.
    """

    graph_sha256: str
    data_sha256: str
    settings: CalibrationSettings
    timesteps: int
    tensors: dict[str, TensorStatistics]
    neurons: dict[str, dict[str, float]]
    samples_file: str = ""
    samples_sha256: str = ""
    source: dict[str, str] = field(default_factory=dict)

    def input_scale(self, name: str, bits: int, default_method: str) -> InputScale:
        """Return how a tensor enters the integers.

        Args:
            name: of the tensor.
            bits: width of analog inputs.
            default_method: observer where the settings leave the method to the target.
        """
        return input_scale(
            self.tensors[name],
            bits,
            default_method if self.settings.method == AUTO else self.settings.method,
            self.settings.inputs.get(name, ""),
        )

    def input_scales(self, bits: int, default_method: str) -> dict[str, InputScale]:
        """Return the input scale of every calibrated tensor."""
        return {name: self.input_scale(name, bits, default_method) for name in self.tensors}

    def firing_rates(self) -> dict[str, float]:
        """Return the firing rate of every neuron layer."""
        return {name: seen["firing_rate"] for name, seen in self.neurons.items()}

    def dumps(self, bits: int, default_method: str) -> str:
        """Return the file's text: JSON, sorted, with the scales at ``bits`` bits for readers."""
        tensors = {}
        for name, statistics in sorted(self.tensors.items()):
            entry = self.input_scale(name, bits, default_method)
            tensors[name] = {
                "treated_as": "spikes" if entry.spikes else "analog",
                "scale": entry.scale,
                "statistics": statistics.to_json(),
            }
        document = {
            "tool": f"snnquant {__version__}",
            "source": self.source,
            "model_sha256": self.graph_sha256,
            "data_sha256": self.data_sha256,
            "settings": self.settings.to_json(),
            "timesteps": self.timesteps,
            "input_bits": bits,
            "samples": {"file": self.samples_file, "sha256": self.samples_sha256},
            "tensors": tensors,
            "neurons": self.neurons,
        }
        return _FILE.dumps(document, indent=2)


def input_scale(
    statistics: TensorStatistics, bits: int, method: str, forced: str = ""
) -> InputScale:
    """Return how values with these statistics enter the integers.

    Args:
        statistics: of the values.
        bits: width of analog inputs.
        method: name of the observer.
        forced: "spikes", "binary", "analog", a scale, or "": by the values.
    """
    coherence = coherence_of(*_mean_and_variance(statistics))
    if forced == "binary":
        return replace(BINARY, coherence=coherence)
    spikes = forced == "spikes" or (not forced and statistics.holds_only_integers(SPIKE_RANGE))
    if spikes:
        large = statistics.maximum > SPIKE_RANGE.high
        return replace(LARGE_COUNTS if large else SPIKES, coherence=coherence)
    limits = IntRange.signed(bits)
    if forced and forced != "analog":
        return InputScale(float(np.float32(forced)), limits.low, limits.high, coherence)
    scale = OBSERVERS[method].scale(statistics, bits)
    # Values outside the calibrated range may still occur, so the full range counts.
    return InputScale(float(np.float32(scale)), limits.low, limits.high, coherence)


def _mean_and_variance(statistics: TensorStatistics) -> tuple[float, float]:
    """Return mean and variance of a tensor, as exactly as its histogram tells."""
    count = max(statistics.count, 1)
    positive, negative = statistics.magnitudes()
    mean = (
        float(
            (positive.centers * positive.counts).sum() - (negative.centers * negative.counts).sum()
        )
        / count
    )
    squares = sum(float((side.centers**2 * side.counts).sum()) for side in (positive, negative))
    return mean, max(squares / count - mean * mean, 0.0)


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration file.

    Raises:
        DataError: no such file, or not a calibration of this version.
        CalibrationMismatchError: its binding does not match its content.
    """
    file = Path(path)
    if not os.path.exists(file):
        raise DataError(f"there is no calibration file {file}; run 'snnquant calibrate' first")
    stored = _FILE.load(file)
    try:
        return _parse(stored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _FILE.damaged(file, error) from error


def _parse(stored: Mapping[str, Any]) -> Calibration:
    settings = dict(stored["settings"])
    if settings["method"] not in (AUTO, *OBSERVERS):
        raise ValueError(f"unknown method {settings['method']!r}")
    inputs = {str(k): str(v) for k, v in dict(settings["inputs"]).items()}
    for forced in inputs.values():
        check_input_choice(forced)
    return Calibration(
        graph_sha256=str(stored["model_sha256"]),
        data_sha256=str(stored["data_sha256"]),
        settings=CalibrationSettings(
            str(settings["method"]),
            int(settings["samples"]),
            int(settings["batch_size"]),
            inputs,
            dict(settings.get("data", {})),
        ),
        timesteps=int(stored["timesteps"]),
        tensors={
            str(name): TensorStatistics.from_json(str(name), entry["statistics"])
            for name, entry in dict(stored["tensors"]).items()
        },
        neurons={str(k): _activity(v) for k, v in dict(stored["neurons"]).items()},
        samples_file=_file_name(stored["samples"]["file"]),
        samples_sha256=str(stored["samples"]["sha256"]),
        source={str(k): str(v) for k, v in dict(stored["source"]).items()},
    )


def _file_name(stored: Any) -> str:
    """Return the name of a file, or raise ValueError for what no file can be called."""
    name = str(stored)
    if len(name) > _MAX_NAME or "\0" in name:
        raise ValueError("a file of no possible name")
    return name


def _activity(stored: Mapping[str, Any]) -> dict[str, float]:
    """Return the activity of one layer, or raise ValueError, TypeError or KeyError."""
    found = {str(name): value for name, value in dict(stored).items()}
    for name, value in {"firing_rate": found["firing_rate"], **found}.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < 2.0**63:
            raise ValueError(f"{name} is no rate or share")
    return found


def check_input_choice(choice: str) -> str:
    """Return a forced input treatment, or raise ValueError."""
    if choice in (*DECLARED, "analog"):
        return choice
    scale = float(choice)
    if not np.isfinite(scale) or np.float32(scale) < np.finfo(np.float32).tiny:
        raise ValueError(f"{choice!r} is no positive scale")
    return choice
