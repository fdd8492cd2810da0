"""In which of its states a quantizable model is, and what says on which scale a current lies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from snnquant.numerics import FloatArray


class Mode(Enum):
    """What forward does."""

    FLOAT = "computes in floating point; statistics are not kept"
    COLLECT = "computes in floating point and keeps statistics of inputs and firing rates"
    FOLLOW = "computes nothing that matters: finds out which synapse feeds which neuron"
    AWARE = "computes the integers, with straight-through gradients"
    QUANTIZED = "computes the integers"


@dataclass(frozen=True, eq=False)
class QParam:
    """Goes with a current from its synapse to its neuron, and says on which scale it lies.

    Attributes:
        synapse: name of the synapse that made the current.
        group: name of the first synapse of all that share the scale; "" in floating point.
        scale: real value of one integer step, broadcastable along the trailing axes of the
            current; None in floating point.
    """

    synapse: str
    group: str = ""
    scale: FloatArray | None = None

    def dequantize(self, current: Tensor) -> Tensor:
        """Return a current, any shape, as real values in float32 (unchanged if it is real)."""
        if self.scale is None:
            return current
        return current.to(torch.float32) * torch.as_tensor(
            self.scale, dtype=torch.float32, device=current.device
        )
