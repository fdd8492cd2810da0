"""All nets of the zoo, of the frameworks that are asked for."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable

from zoo.base import ZooNet

FRAMEWORKS = ("handwritten", "norse", "sinabs", "snntorch", "spikingjelly")


def nets(frameworks: Iterable[str] = FRAMEWORKS) -> list[ZooNet]:
    """Return the nets; only the named frameworks are imported."""
    found: list[ZooNet] = []
    for name in frameworks:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found += importlib.import_module(f"zoo.{name}_nets").NETS
    return found
