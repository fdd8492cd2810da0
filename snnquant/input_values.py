"""Samples in the types that a model's inputs have: never other values than were stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.errors import DataError, NumericalError

Array = npt.NDArray[Any]


def as_type(array: Array, name: str, dtype: np.dtype[Any]) -> Array:
    """Return samples in the type of an input; floats are rounded to narrower floats.

    Args:
        array: samples.
        name: of the input.
        dtype: of the input.

    Raises:
        DataError: the input takes integers, and a sample is none or out of range.
        NumericalError: a value is NaN, or infinite as that type.
    """
    if dtype.kind in "biu":
        _refuse_others(array, name, dtype)
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, and is refused
        typed: Array = array.astype(dtype, copy=False)
    if typed.dtype.kind == "f" and not np.isfinite(typed).all():
        raise NumericalError(
            f"the samples for input '{name}' hold NaN, or values that are infinite as "
            f"{typed.dtype}; repair the data"
        )
    return typed


def in_steps(array: Array, scale: Array, dtype: np.dtype[Any]) -> Array:
    """Return real states as the integers that a model takes.

    Args:
        array: states, samples first.
        scale: of one integer step, for all or per channel.
        dtype: of the integers.

    Raises:
        NumericalError: a state is NaN or infinite.
    """
    along = scale.reshape(scale.shape + (1,) * (array.ndim - 1 - scale.ndim))
    limits = np.iinfo(dtype)
    steps = np.rint(np.asarray(array, np.float64) / along)
    if not np.isfinite(steps).all():
        raise NumericalError("the samples hold states that are NaN or infinite; repair the data")
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def _refuse_others(array: Array, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse samples that an input of integers cannot hold."""
    if not array.size or np.can_cast(array.dtype, dtype, "safe"):
        return
    low, high = array.min().item(), array.max().item()
    if not np.isfinite([float(low), float(high)]).all():
        raise NumericalError(
            f"the samples for input '{name}' hold NaN or infinite values; repair the data"
        )
    boolean = dtype.kind == "b"
    least, most = (0, 1) if boolean else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wrong = [value for value in (low, high) if not least <= value <= most]
    if not wrong and array.dtype.kind == "f":
        wrong = array[array != np.rint(array)][:1].tolist()
    if wrong:
        raise DataError(
            f"the samples for input '{name}' hold {wrong[0]:g}, and the model takes {dtype}: whole "
            f"numbers of {least} to {most}; store such samples, or export the model with floats"
        )
