"""Every error that snnquant raises on purpose, and the exit code that the command line gives it.

A message says what is wrong, where, and what to do about it, in one line.
"""

from __future__ import annotations


class SnnquantError(Exception):
    """Base of all errors that a user can cause or must know about."""

    exit_code = 1


class SelfCheckError(SnnquantError):
    """The emitted integer model does not compute what the reference computes."""

    exit_code = 1


class PassError(SnnquantError):
    """A graph pass left a graph that breaks an invariant: a bug of that pass."""

    exit_code = 1


class UsageError(SnnquantError):
    """An option, a configuration value or an output path cannot be used."""

    exit_code = 2


class ModelError(SnnquantError):
    """A model file cannot be read, or holds something that cannot be supported."""

    exit_code = 3


class DataError(SnnquantError):
    """A data file cannot be read, or does not fit the model."""

    exit_code = 3


class GateError(SnnquantError):
    """A limit that the user set was not met."""

    exit_code = 4


class NumericalError(SnnquantError):
    """The numbers make a faithful integer model impossible: NaN, infinity, overflow, silence."""

    exit_code = 5


class CalibrationMismatchError(SnnquantError):
    """A calibration file does not belong to this model, data or settings."""

    exit_code = 6


class LibraryError(SnnquantError):
    """The custom-op library is missing or cannot be loaded."""

    exit_code = 7


INTERRUPTED_EXIT_CODE = 130


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, which is all that a one-line message holds."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text, where ONNX Runtime says what failed."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    """Return the lines of an error's text; its type where it has none."""
    return str(error).strip().splitlines() or [type(error).__name__]
