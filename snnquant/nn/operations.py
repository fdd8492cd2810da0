"""The operations of the seed framework that neurons consist of, each usable alone.

They see one time step; operands are floating-point tensors of any shapes that broadcast, also of
no axis. The arithmetic is that of the neurons (:mod:`snnquant.neurons.dynamics`): composed in a
neuron's order they give its very numbers. Parameters are numbers or tensors that broadcast with
the operands, by position or under either name: the field's, or the seed's
(:data:`snnquant.nn.names.SEED_NAMES`). ``learn=("alpha",)`` lets training change some.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.neurons import Constants, Parameter, Quantization, dynamics
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.nn.names import field_names
from snnquant.nn.parameters import Value, checked_value, make_learnable
from snnquant.nn.surrogate import Surrogate, surrogate_of
from snnquant.nn.torch_backend import TorchBackend


class Operation(nn.Module):
    """One operation on the operands of one step; base of the modules that users take.

    Args:
        *values: parameters in the order of :attr:`takes`.
        surrogate: gradient of spikes, for operations that fire; also by name.
        learn: names of parameters that training changes.
        **named: parameters by name; None is as good as leaving it out.

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """

    takes: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(
        self,
        *values: Value | None,
        surrogate: Surrogate | str | None = None,
        learn: Collection[str] = (),
        **named: Value | None,
    ) -> None:
        super().__init__()
        self.surrogate = surrogate_of(surrogate, self._name)
        given = self._by_name(values, named)
        for parameter in self.takes:
            value = given.get(parameter.name, parameter.default)
            if value is not None:
                self.register_buffer(parameter.name, checked_value(parameter, value, self._name))
        held = [parameter for parameter in self.takes if parameter.name in self._buffers]
        make_learnable(self, held, learn)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _by_name(
        self, values: tuple[Value | None, ...], named: dict[str, Value | None]
    ) -> dict[str, Value]:
        """Return the parameters that are given, by the field's names."""
        names = [parameter.name for parameter in self.takes]
        known = ", ".join(names) or "no parameters"
        if len(values) > len(names):
            raise UsageError(f"{self._name} takes {known}; {len(values)} values are given")
        given: dict[str, Value | None] = dict(zip(names, values, strict=False))
        for name, value in field_names(named, self._name).items():
            if name not in names:
                raise UsageError(f"{self._name} has no parameter {name}; it takes {known}")
            if name in given:
                raise UsageError(f"{self._name}: {name} is given by position and by name")
            given[name] = value
        return {name: value for name, value in given.items() if value is not None}

    def _run(self, function: Callable[..., Any], *operands: Any) -> Tensor:
        """Return what a function of the dynamics gives for these operands."""
        result: Tensor = function(FloatArithmetic(TorchBackend(self.surrogate)), *operands)
        return result

    def _constants(self, **choices: Any) -> Constants:
        """Return the parameters as the dynamics read them."""
        held = {p.constant_name: getattr(self, p.name, None) for p in self.takes}
        return Constants(**held, **choices)

    def extra_repr(self) -> str:
        """Return the parameters, shown in the module's repr."""
        held = {p.name: getattr(self, p.name, None) for p in self.takes}
        return ", ".join(
            f"{name}={value.item():g}" if value.numel() == 1 else f"{name}={list(value.shape)}"
            for name, value in held.items()
            if value is not None
        )


class Accumulate(Operation):
    """Integrate: ``v + u``.

    Args:
        v_init: membrane where none is given.
    """

    takes = (dynamics.LI_V_INIT,)

    def forward(self, current: Tensor, v: Tensor | None = None) -> Tensor:
        """Return the membrane after the current ``u``."""
        start = self._constants().v_init if v is None else v
        return self._run(dynamics.integrate, start, current)


class AccumulateWithRefractory(Operation):
    """Integrate what refractory neurons let through: ``v + u`` where ``r = 0``, else ``v``.

    Args:
        v_init: membrane where none is given.
    """

    takes = (dynamics.LI_V_INIT,)

    def forward(self, current: Tensor, v: Tensor | None = None, r: Tensor | None = None) -> Tensor:
        """Return the membrane after the current; without counters ``r`` nothing is blocked."""
        p = self._constants(refractory=int(r is not None))
        start = p.v_init if v is None else v
        seen = self._run(dynamics.block, r, current, p)
        return self._run(dynamics.integrate, start, seen)


class Leaky(Operation):
    """Leak: ``alpha * v + leak_bias``.

    Args:
        alpha: share that a step keeps, in [0, 1]; seed ``v_leaky_alpha``.
        leak_bias: added at every leak; seed ``v_leaky_beta``.
    """

    takes = (dynamics.ALPHA, dynamics.LEAK_BIAS)

    def forward(self, v: Tensor) -> Tensor:
        """Return the membrane that the next step starts from."""
        p = self._constants()
        return self._run(dynamics.leak, v, p.alpha, p.leak_bias)


class Fire(Operation):
    """Fire: 1 where ``v > threshold``, else 0; training sees the surrogate's derivative."""

    def forward(self, v: Tensor, threshold: Tensor | float) -> Tensor:
        """Return the spikes, in the type of ``v``."""
        p = self._constants(max_spikes=1, fire_on_equal=0)
        return self._run(FloatArithmetic.fire, v, threshold, threshold, p)


class FireWithConstantThreshold(Operation):
    """Fire: 1 where ``v > v_threshold``, else 0; training sees the surrogate's derivative.

    Args:
        v_threshold: the neuron fires above it; seed ``v_th_0``.
    """

    takes = (dynamics.V_THRESHOLD,)

    def forward(self, v: Tensor) -> Tensor:
        """Return the spikes, in the type of ``v``."""
        p = self._constants(max_spikes=1, fire_on_equal=0)
        return self._run(FloatArithmetic.fire, v, p.fire_above, p.fire_above, p)


class HardUpdateAfterSpike(Operation):
    """Set where a neuron fired: ``value`` where ``s != 0``, else ``x``.

    Args:
        value: what a spike sets, such as ``v_reset``.
    """

    takes = (Parameter("value", Quantization.MEMBRANE, 0.0, "what a spike sets"),)

    def forward(self, x: Tensor, spike: Tensor) -> Tensor:
        """Return ``x`` after the spikes."""
        value = self._constants().value
        return self._run(dynamics.hard_update, x, spike, value)


class SoftUpdateAfterSpike(Operation):
    """Add per spike: ``x + s * value``; with ``-dv`` that is a soft reset.

    Args:
        value: what a spike adds; default: what forward is given as ``update``.
    """

    takes = (Parameter("value", Quantization.MEMBRANE, None, "what a spike adds"),)

    def forward(self, x: Tensor, spike: Tensor, update: Tensor | float | None = None) -> Tensor:
        """Return ``x`` after the spikes."""
        value = self._constants().value
        if (value is None) == (update is None):
            raise UsageError(
                f"{self._name}: give a value to the constructor or an update to the call, not "
                f"{'neither' if value is None else 'both'}"
            )
        return self._run(dynamics.soft_update, x, spike, update if value is None else value)


class Saturate(Operation):
    """Lower bound: ``max(v, v_min)``.

    Args:
        v_min: the bound; seed ``v_l``; default: none.
    """

    takes = (dynamics.V_MIN,)

    def forward(self, v: Tensor) -> Tensor:
        """Return the bounded membrane (or threshold)."""
        v_min = self._constants().v_min
        return self._run(dynamics.bound_below, v, v_min)


class ThresholdAccumulate(Operation):
    """Adaptive threshold: ``v_threshold + a``.

    Args:
        v_threshold: threshold without adaptation; seed ``v_th_0``.
    """

    takes = (dynamics.V_THRESHOLD,)

    def forward(self, a: Tensor | float = 0.0) -> Tensor:
        """Return the threshold for an adaptation ``a``."""
        base = self._constants().fire_above
        return self._run(dynamics.adapted, base, a)


class ThresholdAccumulateWithSaturate(Operation):
    """Adaptive threshold with a lower bound: ``max(v_threshold + a, v_min)``.

    Args:
        v_threshold: threshold without adaptation; seed ``v_th_0``.
        v_min: the bound; seed ``v_l``; default: none.
    """

    takes = (dynamics.V_THRESHOLD, dynamics.V_MIN)

    def forward(self, a: Tensor | float = 0.0) -> Tensor:
        """Return the threshold for an adaptation ``a``."""
        p = self._constants()
        threshold = self._run(dynamics.adapted, p.fire_above, a)
        return self._run(dynamics.bound_below, threshold, p.v_min)
