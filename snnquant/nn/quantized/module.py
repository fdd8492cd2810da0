"""What all quantizable modules share: a mode, a path within their model, and their own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.nn.quantized.mode import Mode
from snnquant.numerics import FloatArray, require_finite

if TYPE_CHECKING:
    from snnquant.nn.quantized.follower import Follower


class QModule(nn.Module):
    """Base of the quantizable modules; alone, and in float mode, it is an ordinary torch module.

    A :class:`~snnquant.nn.QModel` moves all of its QModules from mode to mode. What a mode needs
    (integers, scales) is put into the module when the mode begins; forward changes none of it.

    Attributes:
        mode: what forward does.
        path: name within the model, once the model has named its modules.
    """

    mode: Mode = Mode.FLOAT
    path: str = ""
    _tracker: Follower | None = None

    @property
    def label(self) -> str:
        """Class and path of the module, for messages."""
        return f"{type(self).__name__} '{self.path}'" if self.path else type(self).__name__

    @property
    def tracker(self) -> Follower:
        """The tracker that follows the model right now."""
        if self._tracker is None:
            raise UsageError(f"{self.label}: nothing is followed; call the steps on its QModel")
        return self._tracker

    def follow(self, tracker: Follower | None) -> None:
        """Report to a tracker from now on; None: to none."""
        self._tracker = tracker

    def quantize(
        self, settings: Any = None, mode: Mode = Mode.QUANTIZED, integers: Any = None
    ) -> None:
        """Compute in integers from now on; a layer that holds no numbers only notes the mode.

        Args:
            settings: what the model decided for this layer; None: forward does not use it.
            mode: QUANTIZED or AWARE.
            integers: the layer's integers where they are known; None: made here.
        """
        self.mode = mode

    def check_unchanged(self) -> None:
        """Raise UsageError if real parameters changed since the integers were made of them."""

    def dequantize(self) -> None:
        """Go back to floating point; the integers are dropped."""
        self.mode = Mode.FLOAT

    def _changed(self) -> UsageError:
        """Return the error for real parameters that the integers were not made of."""
        return UsageError(
            f"{self.label}: its parameters changed after quantize(), so that its integers are no "
            "longer theirs; call quantize() again"
        )

    def _missing(self) -> UsageError:
        """Return the error for a module that the model's forward did not reach."""
        return UsageError(
            f"{self.label}: has no integers, since the model did not use it when it was followed; "
            "call quantize() again with an example_input for which forward uses it"
        )


def real(tensor: Tensor, what: str) -> FloatArray:
    """Return a tensor as float64, or raise NumericalError naming ``what``."""
    return require_finite(tensor.detach().double().cpu().numpy(), what)


def buffer_of(array: object) -> Tensor:
    """Return integers as a tensor that a module can hold as a buffer."""
    import torch

    return torch.from_numpy(np.array(array))
