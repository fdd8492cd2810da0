"""sinabs: LIF, IAF, ExpLeak, ALIF, recurrent and squeezing variants over ``[B, T, ...]``.

``i = alpha_syn*(i + x)``; ``v = alpha*v + (1 - alpha)*i`` or ``alpha*v + i``;
``s = H(v >= thr)`` or ``trunc(v/thr)``; then the reset, then ``max(v, v_min)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from snnquant.errors import ModelError
from snnquant.frontends.reading import FRAMEWORK_NAMES
from snnquant.frontends.torch.translation import (
    Described,
    Signals,
    Translation,
    finite,
    is_zero,
)
from snnquant.neurons import CUBALIF, EXTENDEDLIF, LI, LIF, NeuronModel, Reset
from snnquant.neurons.dynamics import MAX_SPIKES

KINDS = (
    "LIF",
    "LIFSqueeze",
    "LIFRecurrent",
    "IAF",
    "IAFSqueeze",
    "IAFRecurrent",
    "ExpLeak",
    "ExpLeakSqueeze",
    "ALIF",
    "ALIFSqueeze",
    "ALIFRecurrent",
)
#: Buffers that hold states; a checkpoint saved after running has them in shapes of its own.
STATE_BUFFERS = ("v_mem", "i_syn", "b")

#: A threshold that no float32 membrane reaches.
_OUT_OF_REACH = 3.0e38


class SinabsNeuron(Described):
    """One of :data:`KINDS`."""

    layout = 1
    first_feedback = 1

    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""
        module: Any = self.module
        kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in KINDS)
        if kind.endswith("Squeeze") and module.num_timesteps < 1:
            raise ModelError(
                "it has a fixed batch_size and no num_timesteps, so that only this batch size "
                "works; build it with num_timesteps=T"
            )
        adapts = kind.startswith("ALIF")
        alpha: Any = finite("tau_mem", module.alpha_mem_calculated.detach())
        synaptic = module.alpha_syn_calculated
        gain: Tensor | float = 1 - alpha if module.norm_input else 1.0
        values: dict[str, Tensor | float] = {"alpha": alpha, "v_init": 0.0, "leak_bias": 0.0}
        if synaptic is not None:
            values["alpha_syn"] = finite("tau_syn", synaptic.detach())
            gain = gain * synaptic.detach()
        scaled = isinstance(gain, Tensor)
        feed = (lambda x: x * gain) if scaled else (lambda x: x)
        name = f"{FRAMEWORK_NAMES['sinabs']} {kind}"
        minimum = module.min_v_mem
        if module.spike_fn is None:
            if minimum is not None:
                return self._bounded_read_out(name, values, feed)
            return Translation(name, LI, values, {"synaptic": int(synaptic is not None)}, feed=feed)
        choices = self._firing(values)
        if (minimum is not None or adapts) and synaptic is not None:
            raise ModelError(
                "tau_syn together with min_v_mem or an adaptive threshold has no counterpart; "
                "leave one of them out"
            )
        model: NeuronModel = LIF if synaptic is None else CUBALIF
        if minimum is not None or adapts:
            model = EXTENDEDLIF
        if minimum is not None:
            # Bounded before the leak there, behind it here; the leak is monotone.
            values["v_min"] = alpha * torch.as_tensor(minimum).detach() + values["leak_bias"]
            bound = torch.as_tensor(values["v_min"])
            if bool((bound > torch.as_tensor(values["v_threshold"])).any()):
                raise ModelError("min_v_mem lies above the threshold; lower it")
        if adapts:
            decay: Any = finite("tau_adapt", module.alpha_adapt_calculated.detach())
            values["threshold_decay"] = decay
            values["threshold_increment"] = module.adapt_scale * (1 - decay)
        connect: Any = getattr(module, "rec_connect", None)

        def recurrence(spikes: Tensor) -> Tensor:
            back: Tensor = connect(spikes).reshape(spikes.shape) * gain
            return back

        return Translation(
            name,
            model,
            values,
            choices,
            feed=feed,
            recurrence=None if connect is None else recurrence,
        )

    def _bounded_read_out(
        self,
        name: str,
        values: dict[str, Tensor | float],
        feed: Callable[[Tensor], Tensor],
    ) -> Translation:
        """Return a read-out with a lower bound: a neuron that has one and never fires."""
        minimum: Any = self.module.min_v_mem
        alpha = torch.as_tensor(values["alpha"])
        values |= {"v_min": alpha * minimum.detach(), "v_threshold": _OUT_OF_REACH}
        choices = {"reset": int(Reset.NONE)}
        return Translation(name, EXTENDEDLIF, values, choices, feed=feed, never_fires=True)

    def _firing(self, values: dict[str, Tensor | float]) -> dict[str, int]:
        """Return the choices of spikes and reset; adds their values."""
        module: Any = self.module
        held = getattr(module, "b0", None)
        held = module.spike_threshold if held is None else held
        threshold = torch.as_tensor(finite("spike_threshold", torch.as_tensor(held).detach()))
        values["v_threshold"] = threshold
        fire = module.spike_fn
        kind = getattr(fire, "__name__", type(fire).__name__)
        most = 1
        if kind in ("MultiSpike", "MaxSpike"):
            limit = getattr(fire, "max_num_spikes_per_bin", None)
            most = MAX_SPIKES.high if limit is None else int(limit)
            if not bool((threshold > 0).all()):
                raise ModelError("several spikes per step need a positive threshold")
            if not MAX_SPIKES.low <= most <= MAX_SPIKES.high:
                raise ModelError(f"more than {MAX_SPIKES.high} spikes per step are not counted")
        elif kind != "SingleSpike":
            raise ModelError(f"spike_fn {kind} is not known; take SingleSpike or MultiSpike")
        choices = {"fire_on_equal": 1, "max_spikes": most}
        reset = module.reset_fn
        if type(reset).__name__ == "MembraneSubtract":
            by = reset.subtract_value
            choices["reset"] = int(Reset.SOFT if by is None else Reset.SOFT_CONSTANT)
            if by is not None:
                values["dv"] = amount = torch.as_tensor(by, dtype=torch.float32)
                if most > 1 and bool((amount != threshold).any()):
                    raise ModelError(
                        "MultiSpike counts by the threshold but subtracts another value; "
                        "take SingleSpike or subtract the threshold"
                    )
        elif type(reset).__name__ == "MembraneReset":
            # reset_value is added at every step, to the membrane that a spike made 0.
            choices["reset"] = int(Reset.HARD)
            values["v_reset"] = 0.0
            values["leak_bias"] = values["alpha"] * float(reset.reset_value)
        else:
            raise ModelError(
                f"reset_fn {type(reset).__name__} is not known; take MembraneSubtract or "
                "MembraneReset"
            )
        return choices

    def reset(self) -> None:
        """Forget all states."""
        for name in (*STATE_BUFFERS, "spike_threshold"):
            if name in self.module._buffers:
                self.module.register_buffer(name, torch.zeros(0))

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the states are fresh, as they must be: a call holds all of time."""
        held = [self.module._buffers.get(name) for name in STATE_BUFFERS]
        if all(state is None or is_zero(state) for state in held):
            return True
        raise ModelError(
            "it goes on from the states of an earlier call; call reset_states() before each "
            "sequence and give the layer all time steps at once"
        )

    def remember(self, answer: Any) -> None:
        """Keep nothing: the module's buffers tell."""

    def unfold(self, given: Tensor) -> Tensor:
        """Return ``[B, T, ...]``, also where batch and time come as one axis."""
        module: Any = self.module
        if not hasattr(module, "num_timesteps"):
            return given
        return given.reshape(-1, module.num_timesteps, *given.shape[1:])

    def answer(self, signals: Signals) -> Any:
        """Return the output in the layout of the input."""
        out = signals.membrane if self.module.spike_fn is None else signals.spikes
        return out.flatten(0, 1) if hasattr(self.module, "num_timesteps") else out
