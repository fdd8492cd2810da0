"""The two arithmetics in which a neuron's step can run, over a backend's primitive operations.

A backend (numpy, torch, the ONNX tracer) gives values with ``+ - *`` and the few functions of
:class:`Backend`. :class:`FloatArithmetic` and :class:`IntegerArithmetic` are written once on top.
What the step of a neuron may use of them is :class:`Arithmetic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from snnquant.neurons.definition import Constants
from snnquant.numerics import IntRange, Rounding


class Backend(Protocol):
    """Primitive operations on a backend's values; booleans are the backend's own."""

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        """Select elementwise."""

    def equal(self, a: Any, b: Any) -> Any:
        """Compare elementwise."""

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger, elementwise."""

    def minimum(self, a: Any, b: Any) -> Any:
        """Return the smaller, elementwise."""

    def zeros_like(self, a: Any) -> Any:
        """Return zeros of the shape and type of ``a``."""

    def floor(self, a: Any) -> Any:
        """Round real numbers down."""

    def ceil(self, a: Any) -> Any:
        """Round real numbers up."""

    def spikes_above(self, v: Any, threshold: Any, on_equal: bool) -> Any:
        """Return 1 where ``v > threshold`` (or ``>=``), else 0, in the type of ``v``."""

    def counted(self, spikes: Any, v: Any, threshold: Any, divisor: Any, most: int) -> Any:
        """Return ``spikes``, counts up to ``most``; a backend with gradients gives them one."""

    def power_of_two(self, exponent: Any) -> Any:
        """Return ``2**exponent`` for an integer exponent >= 0."""

    def floor_divide(self, a: Any, b: Any) -> Any:
        """Divide integers, rounding down; ``b`` is positive."""


class Arithmetic(Protocol):
    """All that the step of a neuron may use; every way of running it has this, and no more.

    ``ops`` of a step is one of these, its values (states, current, constants) are opaque. Beside
    the functions below a step may write ``a + b``, ``a - b``, ``a * b`` and ``-a``, where one side
    may be a plain number that means the same in real numbers and in integers (``r - 1``, not
    ``v - 1``); and it may decide by the structural choices of ``p``, never by values. Another
    operation goes into :class:`Backend`, here, and into every class that is an arithmetic.

    Arguments are given by position.
    """

    def where(self, condition: Any, yes: Any, no: Any, /) -> Any:
        """Select elementwise; ``yes`` and ``no`` are values or plain numbers."""

    def equal(self, a: Any, b: Any, /) -> Any:
        """Compare elementwise with a value or a plain number; gives a condition."""

    def maximum(self, a: Any, b: Any, /) -> Any:
        """Return the larger, elementwise, of a value and a value or plain number."""

    def zeros_like(self, a: Any, /) -> Any:
        """Return zeros of the shape and type of ``a``."""

    def saturate(self, v: Any, /) -> Any:
        """Limit what becomes a state to the width of states."""

    def align(self, current: Any, /) -> Any:
        """Bring the current to the scale of the membrane."""

    def add(self, v: Any, amount: Any, /) -> Any:
        """Return ``v + amount``, where the constant ``amount`` may be the number 0."""

    def scale(self, multiplier: Any, v: Any, /) -> Any:
        """Return ``multiplier * v`` for a constant of rule MULTIPLIER."""

    def fire(self, v: Any, threshold: Any, divisor: Any, p: Constants, /) -> Any:
        """Return the spikes of this step; ``divisor`` is what each takes away."""


class _Shared:
    """What both arithmetics hand through to the backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.where = backend.where
        self.equal = backend.equal
        self.maximum = backend.maximum
        self.zeros_like = backend.zeros_like


def _is_number(value: Any, wanted: float) -> bool:
    """Return whether a constant is a plain number (not a tensor or traced value) and which."""
    return isinstance(value, float) and value == wanted


class FloatArithmetic(_Shared):
    """Real numbers in the backend's floating type: nothing saturates, nothing is rounded."""

    def saturate(self, v: Any) -> Any:
        """Return ``v``: a real state has no width."""
        return v

    def align(self, current: Any) -> Any:
        """Return ``current``: it is on the membrane's scale already."""
        return current

    def add(self, v: Any, amount: Any) -> Any:
        """Return ``v + amount``; nothing is computed for the number 0."""
        return v if _is_number(amount, 0.0) else v + amount

    def scale(self, multiplier: Any, v: Any) -> Any:
        """Return ``multiplier * v``; nothing is computed for the number 1."""
        return v if _is_number(multiplier, 1.0) else multiplier * v

    def fire(self, v: Any, threshold: Any, divisor: Any, p: Constants) -> Any:
        """Return the spikes of this step.

        One per step, or up to ``max_spikes``: how often in a row the neuron would fire if every
        spike took ``divisor`` away. Where that is the threshold, ``floor(v / threshold)`` for
        ``>=`` and ``ceil(v / threshold) - 1`` for ``>`` (sinabs MultiSpike).
        """
        single = self.backend.spikes_above(v, threshold, bool(p.fire_on_equal))
        if p.max_spikes == 1:
            return single
        # Nothing to take away: such a neuron would fire without end, up to the limit.
        excess = (v - threshold) / self.maximum(divisor, 1e-30)
        many = self.backend.floor(excess) + 1 if p.fire_on_equal else self.backend.ceil(excess)
        spikes = single * self.backend.minimum(self.maximum(many, 1), p.max_spikes)
        return self.backend.counted(spikes, v, threshold, divisor, p.max_spikes)


class IntegerArithmetic(_Shared):
    """Exact integers: widened products, a rounding shift per product, saturating states.

    Args:
        backend: primitive operations on integer values wide enough for every intermediate.
        leak_shift: ``m`` of the multipliers ``k / 2**m``; an int, or a traced scalar.
        leak_rounding: how a product is shifted back.
        current_shift: left shift of the current for fraction bits of the state; negative: right,
            to nearest.
        low, high: limits of the state; ints, or traced scalars.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        leak_shift: Any,
        leak_rounding: int,
        current_shift: int,
        low: Any,
        high: Any,
    ) -> None:
        super().__init__(backend)
        self.leak_divisor = backend.power_of_two(leak_shift)
        self.leak_rounding = Rounding(leak_rounding)
        self.current_shift = current_shift
        self.low, self.high = low, high

    @classmethod
    def of_width(
        cls, backend: Backend, *, leak_shift: int, leak_rounding: int, current_shift: int, bits: int
    ) -> IntegerArithmetic:
        """Build the arithmetic of states with ``bits`` bits in two's complement."""
        limits = IntRange.signed(bits)
        return cls(
            backend,
            leak_shift=leak_shift,
            leak_rounding=leak_rounding,
            current_shift=current_shift,
            low=limits.low,
            high=limits.high,
        )

    @classmethod
    def of_op(cls, backend: Backend, attributes: Mapping[str, int]) -> IntegerArithmetic:
        """Build the arithmetic that an integer op's attributes describe."""
        return cls.of_width(
            backend,
            leak_shift=attributes["leak_shift"],
            leak_rounding=attributes["leak_rounding"],
            current_shift=attributes["current_shift"],
            bits=attributes["state_bits"],
        )

    def saturate(self, v: Any) -> Any:
        """Return ``v`` limited to the state width."""
        return self.backend.minimum(self.maximum(v, self.low), self.high)

    def align(self, current: Any) -> Any:
        """Bring the current to the membrane's scale: ``current * 2**current_shift``."""
        if self.current_shift >= 0:
            return current * 2**self.current_shift if self.current_shift else current
        divisor = self.backend.power_of_two(-self.current_shift)
        return self._shift(current, divisor, Rounding.NEAREST)

    def add(self, v: Any, amount: Any) -> Any:
        """Return ``v + amount``."""
        return v + amount

    def scale(self, multiplier: Any, v: Any) -> Any:
        """Return ``multiplier * v / 2**leak_shift``, rounded as the target rounds."""
        return self._shift(multiplier * v, self.leak_divisor, self.leak_rounding)

    def fire(self, v: Any, fire_above: Any, reset_by: Any, p: Constants) -> Any:
        """Return the spikes of this step.

        One per step, or up to ``max_spikes``: how often in a row the neuron would fire if every
        spike took ``reset_by`` away, ``ceil(max(v - fire_above, 0) / reset_by)``.
        """
        if p.max_spikes == 1:
            return self.backend.spikes_above(v, fire_above, False)
        excess = self.maximum(v - fire_above, 0)
        divisor = self.maximum(reset_by, 1)
        return self.backend.minimum(
            self.backend.floor_divide(excess + divisor - 1, divisor), p.max_spikes
        )

    def _shift(self, x: Any, divisor: Any, rounding: Rounding) -> Any:
        """Return ``x / divisor`` for a power of two, the definition of all roundings."""
        if rounding is Rounding.NEAREST:
            x = x + self.backend.floor_divide(divisor, 2)
        elif rounding is Rounding.CEIL:
            x = x + (divisor - 1)
        elif rounding is Rounding.TOWARD_ZERO:
            negative = self.backend.spikes_above(0 * x, x, False)
            x = x + negative * (divisor - 1)
        return self.backend.floor_divide(x, divisor)


#: For the type checker: each of them is an arithmetic.
_ARITHMETICS: tuple[type[Arithmetic], ...] = (FloatArithmetic, IntegerArithmetic)
