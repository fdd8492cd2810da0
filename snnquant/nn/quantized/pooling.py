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


class QMaxPool1d(_QPool, nn.MaxPool1d):
    """Maximum over windows of ``[B, C, L]`` or ``[T, B, C, L]``.

    Of spikes it is whether one fired.

    Args:
        *window: as :class:`torch.nn.MaxPool1d` takes them.
        **options: as :class:`torch.nn.MaxPool1d` takes them.
    """

    spatial = 1

    def __init__(self, *window: Any, **options: Any) -> None:
        nn.MaxPool1d.__init__(self, *window, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values."""
        return self._pooled(x, lambda y: nn.MaxPool1d.forward(self, y))


class QMaxPool2d(_QPool, nn.MaxPool2d):
    """Maximum over windows of ``[B, C, H, W]`` or ``[T, B, C, H, W]``.

    Of spikes it is whether one fired.

    Args:
        *window: as :class:`torch.nn.MaxPool2d` takes them.
        **options: as :class:`torch.nn.MaxPool2d` takes them.
    """

    def __init__(self, *window: Any, **options: Any) -> None:
        nn.MaxPool2d.__init__(self, *window, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values."""
        return self._pooled(x, lambda y: nn.MaxPool2d.forward(self, y))


class QAvgPool1d(_QPool, nn.AvgPool1d):
    """Mean over windows of ``[B, C, L]`` or ``[T, B, C, L]``.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.

    Args:
        *window: as :class:`torch.nn.AvgPool1d` takes them.
        **options: as :class:`torch.nn.AvgPool1d` takes them.
    """

    spatial = 1

    def __init__(self, *window: Any, **options: Any) -> None:
        nn.AvgPool1d.__init__(self, *window, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values."""
        return self._pooled(x, lambda y: nn.AvgPool1d.forward(self, y))


class QAvgPool2d(_QPool, nn.AvgPool2d):
    """Mean over windows of ``[B, C, H, W]`` or ``[T, B, C, H, W]``.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.

    Args:
        *window: as :class:`torch.nn.AvgPool2d` takes them.
        **options: as :class:`torch.nn.AvgPool2d` takes them.
    """

    def __init__(self, *window: Any, **options: Any) -> None:
        nn.AvgPool2d.__init__(self, *window, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values."""
        return self._pooled(x, lambda y: nn.AvgPool2d.forward(self, y))


class QGlobalAvgPool2d(_QPool):
    """Mean over the whole map: ``[B, C, H, W]`` to ``[B, C, 1, 1]``, with or without time.

    Quantized, the next synapse reads a mean of ``k`` spikes as their sum, at ``1/k`` of the scale.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of every channel."""
        return self._pooled(x, lambda y: functional.adaptive_avg_pool2d(y, 1))
