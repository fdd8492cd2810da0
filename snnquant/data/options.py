"""What a user declares about data beside its path; nothing of it is guessed from the values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from snnquant.errors import UsageError

#: How events become steps.
BINS = ("time", "count")
#: How static samples become sequences.
ENCODINGS = ("none", "repeat", "poisson", "latency")
#: Order of samples and time in stored sequences.
LAYOUTS = ("bt", "tb")
#: Options by field, for messages.
FLAGS = {
    "timesteps": "--timesteps",
    "bin": "--bin",
    "sensor": "--sensor",
    "normalize": "--normalize",
    "encode": "--encode",
    "seed": "--seed",
    "layout": "--data-layout",
}


@dataclass(frozen=True)
class Binning:
    """Events of one sample become ``steps`` frames of equal time or of an equal count of events."""

    steps: int
    by: str


@dataclass(frozen=True)
class Normalization:
    """Integers are divided by the largest value of their type, then ``(x - mean) / std``."""

    mean: float
    std: float


@dataclass(frozen=True)
class ReadOptions:
    """What is declared about the data; None: not declared.

    Attributes:
        timesteps: steps T per sample, for ``bin`` and ``encode``.
        bin: one of ``BINS``, for event data.
        sensor: height and width in pixels, for event data whose files do not tell.
        normalize: ``0..1``, ``none`` or ``MEAN,STD``.
        encode: one of ``ENCODINGS`` for static data.
        seed: of ``encode="poisson"``; the draws of a sample depend on it and the sample's index.
        layout: one of ``LAYOUTS``: ``bt`` for ``[B, T, ...]``, ``tb`` for ``[T, B, ...]``.
    """

    timesteps: int | None = None
    bin: str | None = None
    sensor: tuple[int, int] | None = None
    normalize: str | None = None
    encode: str | None = None
    seed: int | None = None
    layout: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            UsageError: an option is unknown, out of range, or lacks another that it needs.
        """
        for value, known, flag in (
            (self.bin, BINS, "--bin"),
            (self.encode, ENCODINGS, "--encode"),
            (self.layout, LAYOUTS, "--data-layout"),
        ):
            if value is not None and value not in known:
                raise UsageError(f"{flag} is {value!r}; give {', '.join(known)}")
        if self.timesteps is not None and self.timesteps < 1:
            raise UsageError(f"--timesteps is {self.timesteps}; give at least 1")
        for flag, given in (("--bin", self.bin), ("--encode", self.encoding)):
            if given is not None and self.timesteps is None:
                raise UsageError(f"{flag} {given} needs a number of steps; give --timesteps N too")
        if self.sensor is not None and min(self.sensor) < 1:
            raise UsageError(f"--sensor is {self.sensor}; give HEIGHT,WIDTH such as 128,128")
        if self.seed is not None and (self.encode != "poisson" or self.seed < 0):
            raise UsageError(
                f"--seed {self.seed} is not for this; give --encode poisson with a seed >= 0"
            )
        self.normalization  # noqa: B018 - parsed for its errors

    @property
    def encoding(self) -> str | None:
        """Return how static samples become sequences; None: they do not."""
        return None if self.encode == "none" else self.encode

    @property
    def normalization(self) -> Normalization | None:
        """Return what ``normalize`` says; None: values stay as they are stored.

        Raises:
            UsageError: it is none of the three forms.
        """
        if self.normalize in (None, "none"):
            return None
        if self.normalize == "0..1":
            return Normalization(0.0, 1.0)
        try:
            mean, std = map(float, str(self.normalize).split(","))
            if not (abs(mean) < 1e30 and 1e-30 < std < 1e30):
                raise ValueError(self.normalize)  # noqa: TRY301 - one message for all
        except ValueError as error:
            raise UsageError(
                f"--normalize is {self.normalize!r}; give 0..1, none, or MEAN,STD with STD > 0"
            ) from error
        return Normalization(mean, std)

    def binning(self, where: str) -> Binning:
        """Return how events become steps.

        Raises:
            UsageError: it was not declared.
        """
        if self.timesteps is None or self.bin is None:
            raise UsageError(
                f"{where} holds events; say how they become steps with "
                "--timesteps N and --bin time|count"
            )
        return Binning(self.timesteps, self.bin)

    def sensor_size(self, where: str) -> tuple[int, int]:
        """Return height and width of the sensor.

        Raises:
            UsageError: they were not declared.
        """
        if self.sensor is None:
            raise UsageError(
                f"{where} does not tell the size of its sensor; give --sensor HEIGHT,WIDTH"
            )
        return self.sensor

    def check_takes(self, takes: frozenset[str], where: str, name: str) -> None:
        """Refuse options that mean nothing to a format.

        Raises:
            UsageError: such an option was given.
        """
        for field, flag in FLAGS.items():
            common = field in ("timesteps", "seed")  # bound to bin and encode
            if common or field in takes or getattr(self, field) in (None, "none"):
                continue
            raise UsageError(f"{flag} means nothing to {where}, which is {name}; drop it")

    def settings(self) -> dict[str, Any]:
        """Return what was declared, as it is recorded with what was computed from the data."""
        used = self.bin is not None or self.encoding is not None
        given = asdict(self) | ({} if used else {"timesteps": None})
        if self.encode == "poisson":
            given["seed"] = self.seed or 0
        return {name: value for name, value in given.items() if value not in (None, "none")}
