"""Helpers around the time axis.

Neurons see ``[T, B, ...]``; ordinary torch layers see time folded into batch, ``[T*B, ...]``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnquant.errors import UsageError


def repeat(x: Tensor, timesteps: int) -> Tensor:
    """Give every time step the same value, such as the current of a static image.

    Args:
        x: ``[B, ...]``; best the output of the encoder's layer, which is then computed once.
        timesteps: ``T``, at least 1.

    Returns:
        ``[T, B, ...]``, without copying.

    Raises:
        UsageError: ``timesteps`` is not a positive integer.
    """
    if timesteps < 1:
        raise UsageError(f"repeat: timesteps is {timesteps}, must be at least 1")
    timed = x.unsqueeze(0)
    if torch.onnx.is_in_onnx_export():
        # Expand broadcasts both ways, so its shape needs no batch size.
        sizes = torch.tensor([timesteps] + [1] * x.dim())
        shape = (timesteps, *x.shape)
        return torch.onnx.ops.symbolic("Expand", (timed, sizes), dtype=x.dtype, shape=shape)
    return timed.expand(timesteps, *x.shape)


class Repeat(nn.Module):
    """:func:`repeat` as a module, for ``nn.Sequential``: ``y[t] = x``, ``[B, ...] -> [T, B, ...]``.

    Args:
        timesteps: ``T``, at least 1.
    """

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, ...]`` to ``[T, B, ...]``."""
        return repeat(x, self.timesteps)

    def extra_repr(self) -> str:
        """Return the text shown inside the module's repr."""
        return str(self.timesteps)


class Folded(nn.Sequential):
    """Apply ordinary torch modules to every time step at once, with ``T`` folded into the batch.

    ``y[t] = modules(x[t])``, ``[T, B, ...]`` to ``[T, B, ...]``; inside, the modules see
    ``[T*B, ...]``. Batch normalization there sees the statistics of all steps together.

    Args:
        *args: modules, as :class:`torch.nn.Sequential` takes them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, B, ...]`` to ``[T, B, ...]`` of the modules' output shape."""
        y = x.flatten(0, 1)
        for module in self:
            y = module(y)
        return y.reshape(x.shape[0], -1, *y.shape[1:])


class SumOverTime(nn.Module):
    """Read out the sum over time: of spikes, how often each neuron fired.

    ``y = x[0] + ... + x[T-1]``, ``[T, B, ...]`` to ``[B, ...]``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, B, ...]`` to ``[B, ...]``."""
        return x.sum(0)


class MeanOverTime(nn.Module):
    """Read out the mean over time: of spikes, the firing rate; of a membrane, its average.

    ``y = (x[0] + ... + x[T-1]) / T``, ``[T, B, ...]`` to ``[B, ...]``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, B, ...]`` to ``[B, ...]``."""
        return x.mean(0)
