"""Surrogate gradients: what stands in for the derivative of the step function in training.

Each surrogate is a smooth step from 0 to 1 around the threshold. Forward, a neuron gives exact
0/1 spikes; backward, the derivative of the smooth step is used. ``width`` means the same for all
of them: the slope at the threshold is ``1 / width``, and the derivative has area 1.

A surrogate of your own is a subclass; registered, layers take it by name::

    @register_surrogate("triangle")
    class Triangle(Surrogate):
        def smooth(self, distance): ...
        def derivative(self, distance): ...

    LIF(surrogate="triangle")
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

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
        if isinstance(threshold, Tensor):
            return _spike(v - threshold, 0.0, on_equal, self).to(v.dtype)
        # The membranes are kept for the next step anyway; their distances would be a second copy.
        return _spike(v, float(threshold), on_equal, self)

    def count(self, spikes: Tensor, v: Tensor, threshold: Any, divisor: Any, most: int) -> Tensor:
        """Return ``spikes`` with the gradient of the spike that is nearest to its threshold.

        The spike number ``k`` of a step, from 0, comes at ``threshold + k * divisor``. Only the
        nearest of these levels moves the count, so the others add nothing to the gradient.

        Args:
            spikes: spikes per step, from 0 to ``most``.
            v: membranes, of the same shape.
            threshold: a number or a tensor that broadcasts with ``v``.
            divisor: what each spike takes away; likewise.
            most: most spikes in one step.
        """
        with torch.no_grad():
            k = ((v - threshold) / divisor).round().nan_to_num(0).clamp(0, most - 1)
        return _spike(v - threshold - k * divisor, 0.0, False, self, spikes.detach())


def _spike(
    source: Tensor,
    offset: float,
    on_equal: bool,
    surrogate: Surrogate,
    spikes: Tensor | None = None,
) -> Tensor:
    return cast(Tensor, _Spike.apply(source, offset, on_equal, surrogate, spikes))  # type: ignore[no-untyped-call]


def _above(source: Tensor, offset: float, on_equal: bool) -> Tensor:
    """Return 1 where ``source > offset`` (or ``>=``), else 0, in the type of ``source``."""
    compare = torch.ge if on_equal else torch.gt
    try:
        # One vectorized pass; through a tensor of booleans it takes ten times as long on a CPU.
        return compare(source, offset, out=torch.empty_like(source))
    except RuntimeError:
        # The transforms of torch.func take no ``out``.
        return compare(source, offset).to(source.dtype)


class _Spike(torch.autograd.Function):
    """The exact spikes forward, the surrogate's derivative at ``source - offset`` backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        source: Tensor,
        offset: float,
        on_equal: bool,
        surrogate: Surrogate,
        spikes: Tensor | None,
    ) -> Tensor:
        """Return where ``source`` is above ``offset``, or a copy of ``spikes`` if given."""
        return _above(source, offset, on_equal) if spikes is None else spikes.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Remember where the spikes came from."""
        source, ctx.offset, _, ctx.surrogate, _ = inputs
        ctx.save_for_backward(source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Return the gradient for the distance from the threshold."""
        (source,) = ctx.saved_tensors
        distance = source - ctx.offset if ctx.offset else source
        return ctx.surrogate.derivative(distance) * grads[0], None, None, None, None


class Rectangle(Surrogate):
    """Linear step: the derivative is ``1 / width`` where ``|distance| < width / 2``, else 0.

    Args:
        width: width of the region that learns, in units of the membrane; positive and finite.
    """

    def smooth(self, distance: Tensor) -> Tensor:
        """Return ``clip(distance / width + 1/2, 0, 1)``."""
        return (distance / self.width + 0.5).clamp(0, 1)

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``1 / width`` inside the rectangle, else 0."""
        return (distance.abs() < self.width / 2).to(distance.dtype) / self.width


class Sigmoid(Surrogate):
    """Logistic step ``1 / (1 + exp(-4 distance / width))``.

    Args:
        width: width of the region that learns, in units of the membrane; positive and finite.
    """

    def smooth(self, distance: Tensor) -> Tensor:
        """Return the logistic function of ``4 distance / width``."""
        return torch.sigmoid(distance * (4 / self.width))

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``4 / width * p * (1 - p)`` where ``p`` is the smooth step."""
        p = self.smooth(distance)
        return p * (1 - p) * (4 / self.width)


class Arctan(Surrogate):
    """Arctangent step ``1/2 + arctan(pi distance / width) / pi``; its tails never vanish.

    Args:
        width: width of the region that learns, in units of the membrane; positive and finite.
    """

    def smooth(self, distance: Tensor) -> Tensor:
        """Return ``1/2 + arctan(pi distance / width) / pi``."""
        return torch.atan(distance * (math.pi / self.width)) / math.pi + 0.5

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``1 / width / (1 + (pi distance / width)**2)``."""
        # The same as 1 / (width + pi**2 / width * distance**2), in two passes over memory.
        width = distance.new_full((), self.width)
        scaled = torch.addcmul(width, distance, distance, value=math.pi**2 / self.width)
        return scaled.reciprocal_()


#: Every surrogate by the name that layers and configuration files use.
SURROGATES: dict[str, type[Surrogate]] = {
    "rectangle": Rectangle,
    "sigmoid": Sigmoid,
    "arctan": Arctan,
}

S = TypeVar("S", bound=type[Surrogate])


def register_surrogate(name: str) -> Callable[[S], S]:
    """Return a class decorator that lets layers take the surrogate by ``name``.

    Raises:
        UsageError: the name is taken by another class, or the class is no surrogate.
    """

    def register(surrogate: S) -> S:
        if not (isinstance(surrogate, type) and issubclass(surrogate, Surrogate)):
            raise UsageError(
                f"register_surrogate: {surrogate!r} is no subclass of snnquant.nn.Surrogate"
            )
        if SURROGATES.setdefault(name, surrogate) is not surrogate:
            raise UsageError(
                f"register_surrogate: {name} is {SURROGATES[name].__name__} already; "
                "take another name"
            )
        return surrogate

    return register


def surrogate_of(given: Surrogate | str | None, class_name: str) -> Surrogate:
    """Return a surrogate from what a user gave: itself, its name, or None for ``Arctan()``.

    Args:
        given: the option.
        class_name: class that the user called, for errors.

    Raises:
        UsageError: the name is not registered, or the value is no surrogate.
    """
    if given is None:
        return Arctan()
    if isinstance(given, Surrogate):
        return given
    if isinstance(given, str) and given in SURROGATES:
        return SURROGATES[given]()
    raise UsageError(
        f"{class_name}: surrogate is {given!r}, must be a snnquant.nn.Surrogate or one of "
        f"{', '.join(sorted(SURROGATES))}"
    )
