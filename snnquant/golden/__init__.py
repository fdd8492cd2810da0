"""Golden vectors: what a model gave on a few samples, stored with it and replayed by ``verify``.

``opened`` looks into every neuron of a model; ``engines`` are the three ways to run it; ``vectors``
is the file; ``replay`` compares; ``verify`` checks hashes and puts it together.
"""

from snnquant.golden.replay import Mismatch, Replay, checked_golden, replay
from snnquant.golden.vectors import (
    GoldenVectors,
    golden_path,
    is_golden_of,
    load_golden,
    record_golden,
    serialize_golden,
)
from snnquant.golden.verify import HashCheck, Verification, verify_model

__all__ = [
    "GoldenVectors",
    "HashCheck",
    "Mismatch",
    "Replay",
    "Verification",
    "checked_golden",
    "golden_path",
    "is_golden_of",
    "load_golden",
    "record_golden",
    "replay",
    "serialize_golden",
    "verify_model",
]
