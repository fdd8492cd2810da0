"""The arithmetic of quantization-aware training: exact integers forward, real gradients backward.

A value is a pair: the integers that quantized mode would have, and the real numbers that they stand
for, whose gradients are those of the float step. Where a state is kept and where a spike is fired,
the real number is put onto its integer and the gradient passes straight through, so that every
rounding (of the leak, of thresholds, of weights) is the identity for gradients.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnquant.neurons import Constants
from snnquant.neurons.arithmetic import Arithmetic, FloatArithmetic, IntegerArithmetic


@dataclass(frozen=True, eq=False)
class Pair:
    """Integers, and the real numbers that they stand for.

    Attributes:
        integer: int64.
        real: floating point, same shape, with gradients.
    """

    integer: Tensor
    real: Tensor

    def __add__(self, other: Any) -> Pair:
        return _both(operator.add, self, other)

    def __radd__(self, other: Any) -> Pair:
        return _both(operator.add, other, self)

    def __sub__(self, other: Any) -> Pair:
        return _both(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Pair:
        return _both(operator.sub, other, self)

    def __mul__(self, other: Any) -> Pair:
        return _both(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Pair:
        return _both(operator.mul, other, self)

    def __neg__(self) -> Pair:
        return _both(operator.neg, self)


def _both(operation: Callable[..., Tensor], *operands: Any) -> Pair:
    """Do the same to integers and to real numbers; a plain number stands for itself."""
    return Pair(
        operation(*(_integer(operand) for operand in operands)),
        operation(*(_real(operand) for operand in operands)),
    )


def _integer(value: Any) -> Any:
    return value.integer if isinstance(value, Pair) else value


def _real(value: Any) -> Any:
    return value.real if isinstance(value, Pair) else value


class _Onto(torch.autograd.Function):
    """One value forward, the gradient of another backward."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, value: Tensor) -> Tensor:
        """Return ``value`` as it is: a difference added to ``real`` would be rounded."""
        return value.to(real.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Hand the gradient to ``real``."""
        return grads[0], None


def onto(real: Tensor, value: Tensor) -> Tensor:
    """Return ``value``, with the gradient of ``real``, which broadcasts to it."""
    moved: Tensor = _Onto.apply(real.expand(value.shape), value)  # type: ignore[no-untyped-call]
    return moved


class AwareArithmetic:
    """Both arithmetics at once, on :class:`Pair`.

    Args:
        exact: of the integers.
        smooth: of the real numbers; its surrogate gives the gradient of a spike.
        scale: real value of one integer step of the membrane, broadcastable with it.
    """

    def __init__(self, exact: IntegerArithmetic, smooth: FloatArithmetic, scale: Tensor) -> None:
        self.exact = exact
        self.smooth = smooth
        self.membrane_scale = scale

    def where(self, condition: Tensor, yes: Any, no: Any) -> Pair:
        """Select elementwise."""
        return Pair(
            self.exact.where(condition, _integer(yes), _integer(no)),
            self.smooth.where(condition, _real(yes), _real(no)),
        )

    def equal(self, a: Any, b: Any) -> Tensor:
        """Compare the integers."""
        compared: Tensor = self.exact.equal(_integer(a), _integer(b))
        return compared

    def maximum(self, a: Any, b: Any) -> Pair:
        """Return the larger, elementwise."""
        return Pair(
            self.exact.maximum(_integer(a), _integer(b)),
            self.smooth.maximum(_real(a), _real(b)),
        )

    def add(self, v: Pair, amount: Any) -> Pair:
        """Return ``v + amount``."""
        return _both(operator.add, v, amount)

    def zeros_like(self, a: Pair) -> Pair:
        """Return zeros."""
        return Pair(torch.zeros_like(a.integer), torch.zeros_like(a.real))

    def saturate(self, v: Pair) -> Pair:
        """Limit the integers to the state width, and put the real numbers onto them."""
        integer = self.exact.saturate(v.integer)
        return Pair(integer, onto(v.real, integer * self.membrane_scale))

    def align(self, current: Pair) -> Pair:
        """Bring the current to the membrane's scale."""
        return Pair(self.exact.align(current.integer), current.real)

    def scale(self, multiplier: Pair, v: Pair) -> Pair:
        """Return the leak: rounded integers, real gradients."""
        return Pair(
            self.exact.scale(multiplier.integer, v.integer),
            self.smooth.scale(multiplier.real, v.real),
        )

    def fire(self, v: Pair, threshold: Pair, divisor: Pair, p: Constants) -> Pair:
        """Return the spikes of the integers, with the surrogate's gradient."""
        spikes = self.exact.fire(v.integer, threshold.integer, divisor.integer, p)
        smooth = self.smooth.fire(v.real, threshold.real, divisor.real, p)
        return Pair(spikes, onto(smooth, spikes))


#: For the type checker: a neuron's step runs on it as on the others.
_ARITHMETIC: type[Arithmetic] = AwareArithmetic
