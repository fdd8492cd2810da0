"""Surrogate gradients: what stands in for the derivative of the step function in training.

Each surrogate is a smooth step from 0 to 1 around the threshold. Forward, a neuron gives exact
0/1 spikes; backward, the derivative of the smooth step is used. ``width`` means the same for all
of them: the slope at the threshold is ``1 / width``, and the derivative has area 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from snnquant.errors import UsageError


@dataclass(frozen=True)
class Surrogate(ABC):
    """A smooth step function and its derivative.

    Attributes:
        width: width of the region that learns, in units of the membrane; positive and finite.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width > 0):
            raise UsageError(
                f"{type(self).__name__}: width is {self.width}, must be positive and finite"
            )

    @abstractmethod
    def smooth(self, distance: Tensor) -> Tensor:
        """Return the smooth step at ``distance = v - threshold``, any shape."""

    @abstractmethod
    def derivative(self, distance: Tensor) -> Tensor:
        """Return the derivative of :meth:`smooth` at ``distance``, same shape."""

    def spike(self, v: Tensor, threshold: Any, on_equal: bool = False) -> Tensor:
        """Return 1 where ``v > threshold`` (or ``>=``), else 0, differentiable in both.

        Args:
            v: membranes, floating point.
            threshold: a number or a tensor that broadcasts with ``v``.
            on_equal: fire at ``v == threshold`` too.
        """
        fires = v >= threshold if on_equal else v > threshold
        return cast(Tensor, _Spike.apply(v - threshold, fires.to(v.dtype), self))  # type: ignore[no-untyped-call]


class _Spike(torch.autograd.Function):
    """The exact spikes forward, the surrogate's derivative backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, spikes: Tensor, surrogate: Surrogate) -> Tensor:
        """Return ``spikes``; remember where they came from."""
        ctx.save_for_backward(distance)
        ctx.surrogate = surrogate
        return spikes.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient for the distance from the threshold."""
        (distance,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(distance), None, None


class Rectangle(Surrogate):
    """Linear step: the derivative is ``1 / width`` where ``|distance| < width / 2``, else 0."""

    def smooth(self, distance: Tensor) -> Tensor:
        """Return ``clip(distance / width + 1/2, 0, 1)``."""
        return (distance / self.width + 0.5).clamp(0, 1)

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``1 / width`` inside the rectangle, else 0."""
        return (distance.abs() < self.width / 2).to(distance.dtype) / self.width


class Sigmoid(Surrogate):
    """Logistic step ``1 / (1 + exp(-4 distance / width))``."""

    def smooth(self, distance: Tensor) -> Tensor:
        """Return the logistic function of ``4 distance / width``."""
        return torch.sigmoid(distance * (4 / self.width))

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``4 / width * p * (1 - p)`` where ``p`` is the smooth step."""
        p = self.smooth(distance)
        return p * (1 - p) * (4 / self.width)


class Arctan(Surrogate):
    """Arctangent step ``1/2 + arctan(pi distance / width) / pi``; its tails never vanish."""

    def smooth(self, distance: Tensor) -> Tensor:
        """Return ``1/2 + arctan(pi distance / width) / pi``."""
        return torch.atan(distance * (math.pi / self.width)) / math.pi + 0.5

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``1 / width / (1 + (pi distance / width)**2)``."""
        return 1 / (1 + (distance * (math.pi / self.width)).square()) / self.width


#: Every surrogate by the name that configuration files use.
SURROGATES: dict[str, type[Surrogate]] = {
    "rectangle": Rectangle,
    "sigmoid": Sigmoid,
    "arctan": Arctan,
}
