"""The same value in the integer graph and in the fused one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Twin:
    """A value of the fused graph that equals one of the integer graph.

    Attributes:
        fused: name in the fused graph.
        plain: name in the integer graph.
        lead: leading axes in the fused graph; channels come last.
        zero: integer that counts as 0 in the fused graph.
    """

    fused: str
    plain: str
    lead: int
    zero: int = 0

    def as_plain(self, found: npt.NDArray[Any], like: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the fused value as the integer graph has it; its own shape if the sizes differ."""
        moved = np.moveaxis(found, -1, self.lead)
        if self.zero:
            moved = moved.astype(np.int64) - self.zero
        return moved.reshape(like.shape) if moved.size == like.size else moved
