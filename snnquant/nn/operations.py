"""The operations of the seed framework that neurons consist of, each usable alone.

They see one time step; operands are floating-point tensors of any shapes that broadcast, also of
no axis. The arithmetic is that of the neurons (:mod:`snnquant.neurons.dynamics`): composed in a
neuron's order they give its very numbers. Parameters are numbers or tensors that broadcast with
the operands, by position or under either name: the field's, or the seed's
(:data:`snnquant.nn.names.SEED_NAMES`). ``learn=("alpha",)`` lets training change some.

The seed has levels: basic operations come first here, then its second level, which does in one
module what takes several of them. Its third, IF, LIF and the larger neurons, are layers over
``[T, B, ...]`` (:mod:`snnquant.nn.neurons`).
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from snnquant.errors import UsageError
from snnquant.neurons import Parameter, Quantization, Reset, dynamics
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.nn.operation import Operation
from snnquant.nn.parameters import Value, reset_of


class Accumulate(Operation):
    """Integrate: ``v + u``.

    Shapes: current and membrane ``[B, ...]``, or any shapes that broadcast.

    Args:
        v_init: membrane where none is given.
    """

    takes = (dynamics.V_INIT_WITHOUT_RESET,)

    def forward(self, current: Tensor, v: Tensor | None = None) -> Tensor:
        """Return the membrane after the current ``u``."""
        start = self._constants().v_init if v is None else v
        return self._run(dynamics.integrate, start, current)


class AccumulateWithRefractory(Operation):
    """Integrate what refractory neurons let through: ``v + u`` where ``r = 0``, else ``v``.

    Shapes: current, membrane and counters ``[B, ...]``, or any that broadcast.

    Args:
        v_init: membrane where none is given.
    """

    takes = (dynamics.V_INIT_WITHOUT_RESET,)

    def forward(self, current: Tensor, v: Tensor | None = None, r: Tensor | None = None) -> Tensor:
        """Return the membrane after the current; without counters ``r`` nothing is blocked."""
        p = self._constants(refractory=int(r is not None))
        start = p.v_init if v is None else v
        seen = self._run(dynamics.block, r, current, p)
        return self._run(dynamics.integrate, start, seen)


class Leaky(Operation):
    """Leak: ``alpha * v + leak_bias``.

    Shapes: membrane ``[B, ...]``, or any.

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
    """Fire: 1 where ``v > threshold``, else 0; training sees the surrogate's derivative.

    Shapes: membrane, threshold and spikes ``[B, ...]``, or any that broadcast.

    Args:
        surrogate: gradient of the spikes, or its name; default ``Arctan()``.
    """

    def forward(self, v: Tensor, threshold: Tensor | float) -> Tensor:
        """Return the spikes, in the type of ``v``."""
        p = self._constants(max_spikes=1, fire_on_equal=0)
        return self._run(FloatArithmetic.fire, v, threshold, threshold, p)


class FireWithConstantThreshold(Operation):
    """Fire: 1 where ``v > v_threshold``, else 0; training sees the surrogate's derivative.

    Shapes: membrane and spikes ``[B, ...]``, or any.

    Args:
        v_threshold: the neuron fires above it; seed ``v_th_0``.
        surrogate: gradient of the spikes, or its name; default ``Arctan()``.
    """

    takes = (dynamics.V_THRESHOLD,)

    def forward(self, v: Tensor) -> Tensor:
        """Return the spikes, in the type of ``v``."""
        p = self._constants(max_spikes=1, fire_on_equal=0)
        return self._run(FloatArithmetic.fire, v, p.fire_above, p.fire_above, p)


class HardUpdateAfterSpike(Operation):
    """Set where a neuron fired: ``value`` where ``s != 0``, else ``x``.

    Shapes: operand and spikes ``[B, ...]``, or any that broadcast.

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

    Shapes: operand, spikes and update ``[B, ...]``, or any that broadcast.

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

    Shapes: membrane ``[B, ...]``, or any.

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

    Shapes: adaptation and threshold ``[B, ...]``, or any.

    Args:
        v_threshold: threshold without adaptation; seed ``v_th_0``.
    """

    takes = (dynamics.V_THRESHOLD,)

    def forward(self, a: Tensor | float = 0.0) -> Tensor:
        """Return the threshold for an adaptation ``a``."""
        base = self._constants().fire_above
        return self._run(dynamics.adapted, base, a)


# -- second level --------------------------------------------------------------------------------


class ThresholdAccumulateWithSaturate(Operation):
    """Adaptive threshold with a lower bound: ``max(v_threshold + a, v_min)``.

    Shapes: adaptation and threshold ``[B, ...]``, or any.

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


class Refractory(Operation):
    """Count down refractory time: ``refractory_steps`` where ``s != 0``, else ``max(r - 1, 0)``.

    Shapes: counters and spikes ``[B, ...]``, or any that broadcast.

    Args:
        refractory_steps: steps after a spike whose input is lost, a whole number; seed
            ``ref_len``.
    """

    takes = (dynamics.REFRACTORY_STEPS,)

    def forward(self, r: Tensor, spike: Tensor) -> Tensor:
        """Return the counters that the next step starts from."""
        p = self._constants(refractory=1)
        return self._run(dynamics.count_down, r, spike, p)


class ThresholdDynamics(Operation):
    """Adapt the threshold: ``threshold_decay * a + threshold_bias + s * threshold_increment``.

    Shapes: adaptation and spikes ``[B, ...]``, or any that broadcast.

    Args:
        threshold_decay: share of the adaptation that a step keeps, in [0, 1]; seed ``v_th_alpha``.
        threshold_bias: added at every step; seed ``v_th_beta``.
        threshold_increment: added per spike; seed ``v_th_incre``.
    """

    takes = (dynamics.THRESHOLD_DECAY, dynamics.THRESHOLD_BIAS, dynamics.THRESHOLD_INCREMENT)

    def forward(self, a: Tensor, spike: Tensor) -> Tensor:
        """Return the adaptation that the next step starts from."""
        return self._run(dynamics.adapt, a, spike, self._constants())


class ResetAfterSpike(Operation):
    """Reset the membrane of neurons that fired.

    Hard: ``v_reset`` where ``s != 0``, else ``v``. Soft: ``v - s * threshold``. Soft constant:
    ``v - s * dv``. None: ``v``.

    Shapes: membrane, spikes and threshold ``[B, ...]``, or any that broadcast.

    Args:
        v_reset: membrane after a hard reset.
        dv: what one spike subtracts; with ``Reset.SOFT_CONSTANT`` only, and needed there.
        reset: which of them, or its name, such as ``"soft_constant"``.
        learn: names of parameters that training changes.

    Raises:
        UsageError: a parameter does not fit the reset.
    """

    takes = (dynamics.V_RESET, dynamics.DV)

    def __init__(
        self,
        v_reset: Value | None = None,
        dv: Value | None = None,
        *,
        reset: Reset | str = Reset.HARD,
        learn: Collection[str] = (),
    ) -> None:
        super().__init__(v_reset, dv, learn=learn)
        self.reset = reset_of(reset, self._name)
        if (dv is not None) != (self.reset is Reset.SOFT_CONSTANT):
            raise UsageError(
                f"{self._name}: dv belongs to reset=Reset.SOFT_CONSTANT, and only to it; "
                f"reset is Reset.{self.reset.name} and dv is {dv!r}"
            )

    def forward(self, v: Tensor, spike: Tensor, threshold: Tensor | float | None = None) -> Tensor:
        """Return the membrane after the reset; ``threshold`` is read by ``Reset.SOFT`` only."""
        p = self._constants(reset=self.reset)
        if self.reset is Reset.SOFT:
            if threshold is None:
                raise UsageError(f"{self._name}: Reset.SOFT subtracts the threshold; give it")
            p.reset_by = threshold
        return self._run(dynamics.reset, v, spike, p.reset_by, p)
