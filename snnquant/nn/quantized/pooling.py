"""Pooling of spikes over space, with or without a time axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from snnquant.errors import UsageError
from snnquant.nn.quantized.module import QModule


class _QPool(QModule):
    """What pooling layers share; they keep no integers, since they see real values."""

    spatial = 2

    def _pooled(self, x: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
        axes = self.spatial
        if not hasattr(x, "dim") or x.dim() not in (axes + 2, axes + 3):
            shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UsageError(
                f"{self.label}: its input is {shape}, must be a tensor with {axes + 2} axes "
                f"([B, C, ...]) or {axes + 3} ([T, B, C, ...])"
            )
        if x.dim() == axes + 2:
            return pool(x)
        pooled = pool(x.flatten(0, 1))
        return pooled.reshape(x.shape[0], -1, *pooled.shape[1:])


class _QWindows(_QPool):
    """What pooling over windows shares; bases: this one, then the module of torch."""

    def __init__(self, *window: Any, **options: Any) -> None:
        super().__init__(*window, **options)
        if getattr(self, "return_indices", False):
            raise UsageError(
                f"{self.label}: return_indices is set, but integers have no place for indices; "
                "leave it out"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values."""
        return self._pooled(x, super().forward)


class QMaxPool1d(_QWindows, nn.MaxPool1d):
    """``y[i] = max(x[j] for j in window i)``: maximum over windows.

    Shapes: ``[B, C, L]`` in and out, or ``[T, B, C, L]``.

    Of spikes it is whether one fired.

    Args:
        *window: as :class:`torch.nn.MaxPool1d` takes them.
        **options: likewise; indices are not returned.

    Raises:
        UsageError: ``return_indices`` is set.
    """

    spatial = 1


class QMaxPool2d(_QWindows, nn.MaxPool2d):
    """``y[i] = max(x[j] for j in window i)``: maximum over windows.

    Shapes: ``[B, C, H, W]`` in and out, or ``[T, B, C, H, W]``.

    Of spikes it is whether one fired.

    Args:
        *window: as :class:`torch.nn.MaxPool2d` takes them.
        **options: likewise; indices are not returned.

    Raises:
        UsageError: ``return_indices`` is set.
    """


class QAvgPool1d(_QWindows, nn.AvgPool1d):
    """``y[i] = sum(x[j] for j in window i) / k``: mean over windows of ``k``.

    Shapes: ``[B, C, L]`` in and out, or ``[T, B, C, L]``.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.

    Args:
        *window: as :class:`torch.nn.AvgPool1d` takes them.
        **options: likewise.
    """

    spatial = 1


class QAvgPool2d(_QWindows, nn.AvgPool2d):
    """``y[i] = sum(x[j] for j in window i) / k``: mean over windows of ``k``.

    Shapes: ``[B, C, H, W]`` in and out, or ``[T, B, C, H, W]``.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.

    Args:
        *window: as :class:`torch.nn.AvgPool2d` takes them.
        **options: likewise.
    """


class QGlobalAvgPool2d(_QPool):
    """``y = sum(x) / (H * W)``: mean over the whole map.

    Shapes: ``[B, C, H, W]`` to ``[B, C, 1, 1]``, or both with ``T`` in front.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of every channel."""
        return self._pooled(x, lambda y: functional.adaptive_avg_pool2d(y, 1))
