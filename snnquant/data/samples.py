"""The first samples of a data set, kept beside a calibration for self-check and golden vectors."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snnquant.data.npz import NPZ
from snnquant.data.options import ReadOptions
from snnquant.data.reader import LABELS, AnyArray, Batch, Dataset
from snnquant.errors import DataError, UsageError

MAX_SAMPLES = 8
MAX_BYTES = 16_000_000


def first_samples(
    dataset: Dataset, *, count: int = MAX_SAMPLES, max_bytes: int = MAX_BYTES
) -> Batch:
    """Return the first ``count`` samples, or fewer so that they take at most ``max_bytes``.

    One sample is always kept, because nothing can be checked without any.
    """
    sample_bytes = sum(
        math.prod(dataset.sample_shape(key)) * dataset.dtype(key).itemsize for key in dataset.keys
    )
    kept = max(1, min(count, max_bytes // sample_bytes))
    return next(iter(dataset.batches(kept, kept)))


def samples_bytes(samples: Batch) -> bytes:
    """Return samples as an ``.npz`` file; same samples, same bytes.

    Raises:
        UsageError: an input has the name of the labels.
    """
    arrays = dict(samples.inputs)
    if LABELS in arrays:
        raise UsageError(f"an input cannot be named {LABELS!r}, the name of the labels; rename it")
    if samples.labels is not None:
        arrays[LABELS] = samples.labels
    return npz_bytes(arrays)


def npz_bytes(arrays: Mapping[str, AnyArray]) -> bytes:
    """Return the bytes of an ``.npz`` file of arrays; same arrays, same bytes."""
    buffer = io.BytesIO()
    # Stored, because compressed bytes differ between zlib versions; the date is the zip epoch.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            archive.writestr(member, content.getvalue())
    return buffer.getvalue()


def load_samples(path: str | os.PathLike[str]) -> Batch:
    """Read what :func:`samples_bytes` wrote.

    Raises:
        DataError: the file is missing, damaged, or holds more than ``MAX_SAMPLES`` samples.
    """
    source = Path(path)
    if not source.is_file():
        raise DataError(
            f"there is no samples file {os.fspath(path)!r}; keep it beside the calibration"
        )
    dataset = NPZ.open(source, ReadOptions())
    if len(dataset) > MAX_SAMPLES:
        raise DataError(
            f"{os.fspath(path)!r} holds {len(dataset)} samples, not at most {MAX_SAMPLES}; "
            "it was not written by calibrate"
        )
    batches = list(dataset.batches(MAX_SAMPLES))
    return batches[0]
