"""The seed's second level: what a neuron does after its spikes, from the basic operations' texts.

See :mod:`snnquant.nn.operations` for operands, parameters and names. IF, LIF and the larger
neurons are layers over ``[T, B, ...]`` (:mod:`snnquant.nn.neurons`).
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from snnquant.errors import UsageError
from snnquant.neurons import Reset, dynamics
from snnquant.nn.operations import Operation
from snnquant.nn.parameters import Value


class Refractory(Operation):
    """Count down refractory time: ``refractory_steps`` where ``s != 0``, else ``max(r - 1, 0)``.

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

    Args:
        v_reset: membrane after a hard reset.
        dv: what one spike subtracts; with ``Reset.SOFT_CONSTANT`` only, and needed there.
        reset: which of them.
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
        reset: Reset = Reset.HARD,
        learn: Collection[str] = (),
    ) -> None:
        super().__init__(v_reset, dv, learn=learn)
        if reset not in tuple(Reset):
            raise UsageError(f"{self._name}: reset is {reset!r}, must be one of {list(Reset)}")
        self.reset = Reset(reset)
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
