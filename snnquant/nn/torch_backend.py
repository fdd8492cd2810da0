"""The primitive operations on torch tensors: floating for training, int64 for exact integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnquant.nn.surrogate import Arctan, Surrogate


class _IsZero:
    """The condition ``a == 0`` of floating-point numbers, not yet computed."""

    def __init__(self, a: Tensor) -> None:
        self.a = a

    def select(self, yes: Any, no: Any) -> Tensor:
        """Return ``yes`` where ``a`` is 0, else ``no``."""
        zero = not isinstance(no, Tensor) and no == 0
        if zero and isinstance(yes, Tensor) and yes.shape == self.a.shape:
            # The derivative of hardtanh is this very selection, "yes where low < a < high, else
            # 0", in one vectorized pass and with its own gradient; booleans take ten times that.
            tiny = torch.finfo(self.a.dtype).tiny
            selected: Tensor = torch.ops.aten.hardtanh_backward(yes, self.a, -tiny, tiny)
            return selected
        return torch.where(self.a == 0, yes, no)


class TorchBackend:
    """Implements :class:`snnquant.neurons.arithmetic.Backend` on tensors of one type.

    Args:
        surrogate: gradient of the spikes of floating-point membranes; integers have none.
    """

    def __init__(self, surrogate: Surrogate | None = None) -> None:
        self.surrogate = surrogate or Arctan()

    def where(self, condition: Tensor | _IsZero, yes: Any, no: Any) -> Tensor:
        """Select elementwise."""
        return (
            condition.select(yes, no)
            if isinstance(condition, _IsZero)
            else torch.where(condition, yes, no)
        )

    def equal(self, a: Tensor, b: Any) -> Tensor | _IsZero:
        """Compare elementwise."""
        if a.is_floating_point() and not isinstance(b, Tensor) and b == 0:
            return _IsZero(a)
        return torch.eq(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger, elementwise; ``b``, or both, may be numbers."""
        if not isinstance(a, Tensor):
            return max(a, b)
        if isinstance(b, Tensor):
            return torch.maximum(a, b)
        if a.is_floating_point() and b < torch.finfo(a.dtype).min:
            return a  # no bound in this type, which cannot even hold it
        return a.clamp(min=b)

    def minimum(self, a: Tensor, b: Any) -> Tensor:
        """Return the smaller, elementwise; ``b`` may be a number."""
        return torch.minimum(a, b) if isinstance(b, Tensor) else a.clamp(max=b)

    def zeros_like(self, a: Tensor) -> int:
        """Return a zero that broadcasts."""
        return 0

    def floor(self, a: Tensor) -> Tensor:
        """Round real numbers down."""
        return torch.floor(a)

    def ceil(self, a: Tensor) -> Tensor:
        """Round real numbers up."""
        return torch.ceil(a)

    def spikes_above(self, v: Tensor, threshold: Any, on_equal: bool) -> Tensor:
        """Return 1 where ``v > threshold`` (or ``>=``), else 0, in the type of ``v``.

        Floating-point spikes are differentiable through the surrogate.
        """
        if v.is_floating_point():
            return self.surrogate.spike(v, threshold, on_equal)
        fires: Tensor = v >= threshold if on_equal else v > threshold
        return fires.to(v.dtype)

    def counted(self, spikes: Tensor, v: Tensor, threshold: Any, divisor: Any, most: int) -> Tensor:
        """Return ``spikes``, differentiable at the threshold of the nearest spike."""
        return self.surrogate.count(spikes, v, threshold, divisor, most)

    def power_of_two(self, exponent: int) -> int:
        """Return ``2**exponent``."""
        return 1 << exponent

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Divide integers, rounding down."""
        return a // b
