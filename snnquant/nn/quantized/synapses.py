"""The quantizable synapses: linear map and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from snnquant.errors import UsageError
from snnquant.nn.quantized.synapse import QSynapse


class QLinear(QSynapse, nn.Linear):  # type: ignore[misc]
    """Linear synapse: ``current = x W^T + b`` for ``x`` ``[B, ..., in_features]``.

    Quantized: ``W = clamp(round(W / S_w))``, ``b = round(b / (S_w * S_x))`` (seed, figures
    "spike input" and "encoder").

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the current.
        bias: add a learnable bias.
        is_encoder: the input is analog (True), spikes (False), or decided from the collected
            inputs (None).
        device: where the parameters lie.
        dtype: floating-point type of the parameters.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        is_encoder: bool | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, device, dtype)
        self._start(is_encoder)

    def apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return ``x W^T + b``."""
        return functional.linear(x, weight, bias)

    def check_input(self, x: Tensor) -> None:
        """Raise UsageError unless ``x`` is ``[B, ..., in_features]``."""
        if x.dim() < 2 or x.shape[-1] != self.in_features:
            raise UsageError(
                f"{self.label}: its input has shape {list(x.shape)}, must be "
                f"[B, ..., {self.in_features}]"
            )


class _QConv(QSynapse):
    """What the convolutions share."""

    in_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    #: The torch module that holds weight, bias and shape.
    convolution: ClassVar[type[nn.Module]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        is_encoder: bool | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.convolution.__init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            device=device,
            dtype=dtype,
        )
        self._start(is_encoder)

    def check_input(self, x: Tensor) -> None:
        """Raise UsageError unless ``x`` is ``[B, C, ...]`` or ``[T, B, C, ...]``."""
        axes = self.spatial
        batched = x.dim() in (axes + 2, axes + 3)
        if not batched or x.shape[-axes - 1] != self.in_channels:
            size = "L" if axes == 1 else "H, W"
            raise UsageError(
                f"{self.label}: its input has shape {list(x.shape)}, must be "
                f"[B, {self.in_channels}, {size}] or [T, B, {self.in_channels}, {size}]"
            )
        for given, kernel, dilation, padding in zip(
            x.shape[-axes:], self.kernel_size, self.dilation, self._both_pads(), strict=True
        ):
            if given + padding < dilation * (kernel - 1) + 1:
                raise UsageError(
                    f"{self.label}: its input of shape {list(x.shape)} is smaller than the kernel "
                    f"{list(self.kernel_size)}"
                )

    def _both_pads(self) -> tuple[int, ...]:
        """Return the zeros added along each axis, both ends together."""
        if self.padding == "valid":
            return (0,) * self.spatial
        if self.padding == "same":
            return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
        return tuple(2 * int(p) for p in self.padding)

    def apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of ``x`` with ``weight``."""
        convolve: Callable[..., Tensor] = (
            functional.conv1d if self.spatial == 1 else functional.conv2d
        )
        return convolve(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class QConv1d(_QConv, nn.Conv1d):  # type: ignore[misc]
    """Convolution over ``[B, C, L]`` or ``[T, B, C, L]``: ``current = W * x + b``.

    Quantized: ``W = clamp(round(W / S_w))``, ``b = round(b / (S_w * S_x))`` (seed, figures
    "spike input" and "encoder").

    Args:
        in_channels: channels of the input.
        out_channels: channels of the current.
        kernel_size: as in :class:`torch.nn.Conv1d`.
        stride: as in :class:`torch.nn.Conv1d`.
        padding: zeros, as in :class:`torch.nn.Conv1d`.
        dilation: as in :class:`torch.nn.Conv1d`.
        groups: as in :class:`torch.nn.Conv1d`.
        bias: add a learnable bias.
        is_encoder: the input is analog (True), spikes (False), or decided from the collected
            inputs (None).
        device: where the parameters lie.
        dtype: floating-point type of the parameters.
    """

    spatial = 1
    convolution = nn.Conv1d


class QConv2d(_QConv, nn.Conv2d):  # type: ignore[misc]
    """Convolution over ``[B, C, H, W]`` or ``[T, B, C, H, W]``: ``current = W * x + b``.

    Quantized: ``W = clamp(round(W / S_w))``, ``b = round(b / (S_w * S_x))`` (seed, figures
    "spike input" and "encoder").

    Args:
        in_channels: channels of the input.
        out_channels: channels of the current.
        kernel_size: as in :class:`torch.nn.Conv2d`.
        stride: as in :class:`torch.nn.Conv2d`.
        padding: zeros, as in :class:`torch.nn.Conv2d`.
        dilation: as in :class:`torch.nn.Conv2d`.
        groups: as in :class:`torch.nn.Conv2d`.
        bias: add a learnable bias.
        is_encoder: the input is analog (True), spikes (False), or decided from the collected
            inputs (None).
        device: where the parameters lie.
        dtype: floating-point type of the parameters.
    """

    spatial = 2
    convolution = nn.Conv2d
