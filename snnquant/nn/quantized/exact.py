"""Sums of integers by torch's floating-point kernels, where each sum is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnquant.numerics import FLOAT32_EXACT, FLOAT64_EXACT


def exact_type(bound: int, device: torch.device) -> torch.dtype:
    """Return the floating-point type whose kernels sum integers of this magnitude exactly.

    float32 serves below 2**24 on the CPU only: on CUDA its convolutions may run by Winograd or in
    TF32, which are not exact.

    Args:
        bound: largest magnitude of any partial sum.
        device: where the sum is made.
    """
    if bound >= FLOAT64_EXACT:
        raise OverflowError(f"sums up to {bound} are not exact in float64")
    return torch.float32 if bound < FLOAT32_EXACT and device.type == "cpu" else torch.float64


def exact_sum(
    apply: Callable[[Tensor, Tensor], Tensor], values: Tensor, weight: Tensor, bound: int
) -> Tensor:
    """Return ``apply(values, weight)`` for integers, in the floating-point type that is exact.

    Args:
        apply: a linear map or convolution without bias.
        values: integers in any type.
        weight: integers in any type.
        bound: largest magnitude of any partial sum.
    """
    kind = exact_type(bound, values.device)
    # Autocast would run it in bfloat16.
    with torch.autocast(values.device.type, enabled=False):
        return apply(values.to(kind), weight.to(kind))


class StraightThrough(torch.autograd.Function):
    """Rounding and clamping forward, identity backward where nothing was clamped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        """Return ``clamp(round(x))``, ties to even."""
        inside = (x >= low) & (x <= high)
        ctx.save_for_backward(inside)
        return x.round().clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Let the gradient pass where nothing was clamped."""
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None


def round_through(x: Tensor, low: int, high: int) -> Tensor:
    """Return ``clamp(round(x), low, high)`` with straight-through gradients."""
    rounded: Tensor = StraightThrough.apply(x, low, high)  # type: ignore[no-untyped-call]
    return rounded
